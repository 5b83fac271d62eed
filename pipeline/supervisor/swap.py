"""One process of a stage in place of another without a gap: the new one is primed while the old one works, then the
old one stops and the new one is told to go. Whoever dies meanwhile is followed by the new one at once."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from pipeline.bus.consumer import Consumer
from pipeline.bus.messages import Event
from pipeline.supervisor import ageing, health
from pipeline.supervisor.children import NoSuchProgram
from pipeline.supervisor.slot import Run, Slot

if TYPE_CHECKING:
    from pipeline.config import StageTable
    from pipeline.supervisor.supervisor import Supervisor

LOOK_S = 0.2
"""Between two looks at swaps under way."""
TRIAL_S = 5.0
"""Another recipe that fails within so long of taking over is taken back."""
AGE_S = 5.0
"""Between two looks at sizes and ages."""
TOPICS = ("event.speech_started", "event.speech_ended", "event.turn_started", "event.turn_ended", "event.heard")

log = structlog.get_logger()


class Swaps:
    """The swaps of all stages, one at a time: each holds a second process, and memory may be what is short."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._slot: Slot | None = None
        self._reason = ""
        self._listening: Listening | None = None
        self._done_at: dict[str, float] = {}

    def open(self) -> None:
        """Begin to look at sizes and ages."""
        self._supervisor.loop.after(AGE_S, self._age)

    def begin(self, slot: Slot, reason: str, table: StageTable | None = None) -> bool:
        """Prime a second process for a stage; it takes over when nobody speaks. False if one is being swapped.

        `table`: another recipe, that somebody asked for. It takes over as soon as it is primed (session: in a gap), and
        is taken back if it fails before or within TRIAL_S.
        """
        if self._slot is not None or slot.run is None or slot.stopping:
            return False
        self._slot, self._reason = slot, reason
        if table is not None:
            slot.previous, slot.outcome, slot.trial_until = slot.table, "priming", math.inf
            slot.take(table)
        log.info("stage is to be replaced", stage=slot.name, reason=reason)
        if slot.run.connected:  # who never spoke on control can't be primed ahead: it is restarted when it is quiet
            try:
                slot.incoming = self._supervisor.spawn(slot, slot.restarts + 1)
            except (NoSuchProgram, OSError) as error:
                self._end(str(error))
                return False
        self._listening = Listening(self._supervisor)
        self._supervisor.loop.after(LOOK_S, self._look)
        return True

    def drop(self, slot: Slot) -> None:
        """Its stage is stopping for good: the new process is not wanted any more."""
        if (run := slot.incoming) is not None:
            run.child.kill_group()
        if self._slot is slot:
            self._end("it is stopping" if slot.previous is not None else "")

    def taken_over(self, slot: Slot) -> None:
        """The new process has the place: its trial begins."""
        if slot.previous is not None and slot.trial_until == math.inf:
            slot.outcome = "on trial"
            slot.trial_until = self._supervisor.loop.clock() + TRIAL_S
            self._supervisor.loop.after(TRIAL_S, lambda: self._prove(slot))

    def failed(self, slot: Slot, how: str) -> bool:
        """A process of the stage has died: True if it was on trial. Then the recipe before it holds again."""
        if slot.previous is None or slot.trial_until == math.inf:
            return False
        self._take_back(slot, how)
        return True

    def _prove(self, slot: Slot) -> None:
        if slot.previous is not None and self._supervisor.loop.clock() >= slot.trial_until:
            slot.previous, slot.outcome = None, "done"
            log.info("stage swapped", stage=slot.name, recipe=slot.table.use or slot.table.command)

    def _take_back(self, slot: Slot, why: str) -> None:
        assert slot.previous is not None
        log.error("swap taken back", stage=slot.name, reason=why)
        slot.take(slot.previous)
        slot.previous, slot.outcome = None, f"taken back: {why}"

    def incoming_ended(self, slot: Slot) -> None:
        """The new process ended before its time: the old one stays."""
        if self._slot is slot:
            self._end("the new process ended before it was needed")

    def _look(self) -> None:
        slot, listening = self._slot, self._listening
        if slot is None or listening is None:
            return
        now = self._supervisor.loop.clock()
        if slot.incoming is not None and (hung := health.hang(slot.incoming.pulse, now)):
            slot.incoming.child.kill_group()
            self._end(hung)
            return
        if slot.run is None and slot.pending is None and slot.leaving is None:
            self.drop(slot)  # the old one has ended, and it stays down
            return
        if slot.run is not None and slot.incoming is None and slot.run.connected:
            self._end("")  # the old one has ended, and the new one has taken over
            return
        if slot.run is None or slot.stopping:
            self._supervisor.loop.after(LOOK_S, self._look)
            return
        primed = slot.incoming is None or slot.incoming.pulse.deadline is None
        soon = slot.previous is not None and slot.name != "session"
        if not (soon or listening.quiet()) or not primed:
            self._supervisor.loop.after(LOOK_S, self._look)
            return
        reason = self._reason
        self._end("")
        if slot.incoming is None:  # nothing could be primed ahead: what is started next is the new one
            self.taken_over(slot)
        slot.restarts += 1
        slot.swapped += slot.previous is not None
        slot.down_since = slot.down_since or now
        slot.start_again = True
        self._supervisor.stop(slot, f"replaced: {reason}")

    def _end(self, why: str) -> None:
        """No swap is under way any more; `why` it failed, if it did."""
        slot, self._slot = self._slot, None
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        if slot is None:
            return
        self._done_at[slot.name] = self._supervisor.loop.clock()
        if why:
            log.warning("stage not replaced", stage=slot.name, reason=why)
            if slot.previous is not None and slot.trial_until == math.inf:
                self._take_back(slot, why)

    def _age(self) -> None:
        now = self._supervisor.loop.clock()
        for slot in self._supervisor.slots.values():
            run = slot.run
            if (
                run is None
                or run.pulse.live_since is None
                or slot.state not in ("live", "waiting", "muted", "degraded")
            ):
                continue
            if now - self._done_at.get(slot.name, -ageing.AGAIN_S) < ageing.AGAIN_S:
                continue
            reason = ageing.overdue(slot.table.restart, now - run.started, rss_mb(run))
            if reason and self.begin(slot, reason):
                break
        self._supervisor.loop.after(AGE_S, self._age)


class Listening:
    """An ear on every stage's events, for as long as a swap waits."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._clock: Callable[[], float] = supervisor.loop.clock
        self._quiet = ageing.Quiet(self._clock())
        peers = supervisor.wiring.peers()
        self._consumers = [Consumer(None, endpoint, TOPICS) for endpoint in peers.values()]

    def quiet(self) -> bool:
        """Whether nobody speaks, after reading all that has come."""
        now = self._clock()
        for consumer in self._consumers:
            consumer.drain(time.monotonic_ns())
            while (entry := consumer.next()) is not None:
                if isinstance(event := entry[1], Event):
                    self._quiet.event(event.name, dict(event.body), now)
        return self._quiet.holds(now)

    def close(self) -> None:
        """Listen no more."""
        for consumer in self._consumers:
            consumer.close()


def rss_mb(run: Run) -> float | None:
    """Resident memory of a process, shared pages included; None where there is no /proc."""
    try:
        pages = int(Path(f"/proc/{run.child.pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
