"""Stages on other machines: not ours to start, to kill or to bury. `join` over there does that, and tells us."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from pipeline.exits import WORLD
from pipeline.supervisor import health
from pipeline.supervisor.children import Child
from pipeline.supervisor.control import Control, Word
from pipeline.supervisor.recipe import Recipe, Wiring
from pipeline.supervisor.slot import Run, Slot
from pipeline.supervisor.telling import Telling

HUNG_S = 10.0
"""A stage that stays silent for so long while its `join` is heard hangs: after a cut their lines come back one by one,
and the later of them up to 7 s after the other."""
SERIES_S = 2.0
"""`join` speaks each 0.5 s; after a longer break its series begins anew."""
ALONE_S = 3.0
"""Who runs a stage and was heard so recently is not replaced by another who offers to."""

log = structlog.get_logger()


@dataclass
class Away(Child):
    """A process on another machine, or the wait for one. Its death is what `join` tells of it, or our forgetting it."""

    machine: str = ""
    joined: int | None = None
    """Process id of the `join` that has it."""
    status: int | None = None
    """How it ended."""
    told: float = 0.0
    """When `join` last said what it runs."""
    unwell_since: float = 0.0
    """Since when it has said so, and nothing was heard of that process itself or it is not the one that is wanted."""

    @classmethod
    def expected(cls, recipe: Recipe) -> Away:
        """Nobody has come yet. Raises OSError."""
        said, write = os.pipe()
        os.close(write)  # its lines are in the log of the other machine
        return cls(recipe.stage, recipe.inst, 0, None, said, -1, recipe.remote or "")

    def kill(self, number: int) -> None:
        """Out of reach."""

    def kill_group(self) -> None:
        """Wait for it no longer. If it lives, it is told to stop as soon as it speaks again."""
        self.status = WORLD if self.status is None else self.status

    def reap(self) -> int | None:
        """How it ended."""
        return self.status

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.stderr)


def judge_away(slot: Slot, run: Run, child: Away, now: float, telling: Telling) -> None:
    """Say so if nothing is heard of it. It is kept: after a cut it goes on, and what it said meanwhile is replayed."""
    if child.joined is None:
        if now - run.started > health.BEAT_S:
            remedy = f"start it there with `voice-pipeline join {slot.name} …`"
            telling.state(slot, "degraded", f"nobody runs it on {child.machine}: {remedy}")
    elif health.hang(run.pulse, now):
        silent = f"nothing is heard of {child.machine}: look at its power and its network"
        hangs = f"it hangs on {child.machine}, and is ended and started again there"
        telling.state(slot, "degraded", hangs if now - child.told < SERIES_S else silent)


class Joining:
    """Answers those who offer to run a stage on another machine."""

    def __init__(self, wiring: Wiring, slots: Mapping[str, Slot], control: Control) -> None:
        self._wiring, self._slots, self._control = wiring, slots, control

    def hear(self, word: Word, now: float) -> None:
        """`join {stage, runs?: inst, ended?: {inst, status}}`: the wiring of a process to start, or whether what runs
        hangs, or to ask again later."""
        name = word.fields.get("stage")
        slot = self._slots.get(name) if isinstance(name, str) else None
        if slot is None or not word.machine or slot.table.remote != word.machine:
            here = ", ".join(each.name for each in self._slots.values() if each.table.remote == word.machine)
            error = f"no stage {str(name)[:40]!r} is to run on {word.machine or 'another machine'}"
            self._control.answer(word, kind="joined", ok=False, error=f"{error}: there is {here or 'none'}")
            return
        self._control.answer(word, kind="joined", ok=True, **self._answer(slot, word, now))

    def _answer(self, slot: Slot, word: Word, now: float) -> dict[str, Any]:
        run = slot.run
        if isinstance(runs := word.fields.get("runs"), int):
            return self._of_a_running(runs, slot, word, now)
        if run is None or not isinstance(child := run.child, Away) or child.status is not None or slot.stopping:
            if run is not None and isinstance(run.child, Away):
                self._note_end(run.child, word)
            return {"wait": "it is not wanted now"}
        if self._note_end(child, word):
            return {"wait": "it is started again"}
        if (child.joined is not None and child.joined != word.number) or run.connected:
            last = run.pulse.last_beat
            if child.joined != word.number and last is not None and now - last < ALONE_S:
                return {"wait": f"process {child.joined} there runs it already"}
            child.kill_group()  # who ran it is gone, and the process with it
            return {"wait": "it is started again"}
        if child.joined is None:
            log.info("stage joined", stage=slot.name, machine=word.machine, inst=child.inst)
            child.joined, run.pulse = word.number, health.Pulse.begun(now)
        past = {"restarts": slot.restarts, "crashes": slot.history.quick}
        return {"inst": child.inst, "wiring": {**self._wiring.wiring_elsewhere(slot.table), **past}}

    def _of_a_running(self, runs: int, slot: Slot, word: Word, now: float) -> dict[str, Any]:
        """`hangs: INST` to have it ended: nobody waits for it, or it has been silent beside a `join` that is not."""
        run = slot.run
        if run is None or not isinstance(child := run.child, Away) or child.status is not None:
            return {"hangs": runs}
        wanted = (runs, word.number) == (child.inst, child.joined)
        if (wanted and not health.hang(run.pulse, now)) or now - child.told > SERIES_S:
            child.unwell_since = now
        child.told = now
        return {"hangs": runs} if now - child.unwell_since > HUNG_S else {"runs": runs}

    def _note_end(self, child: Away, word: Word) -> bool:
        ended = word.fields.get("ended")
        if not isinstance(ended, Mapping) or ended.get("inst") != child.inst or child.status is not None:
            return False
        status = ended.get("status")
        child.status = status if isinstance(status, int) else WORLD
        return True
