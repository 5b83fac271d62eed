"""What the supervisor tells: the `status` reply and the connection file. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from pipeline import __version__
from pipeline.supervisor.recipe import Wiring
from pipeline.supervisor.slot import Slot

CONNECTION_VERSION = 1
"""Of the connection file's form."""

STATES = ("ended", "live", "muted", "waiting", "degraded", "primed", "starting", "restarting", "failed", "stopping")
"""From best to worst. Of `ended`, a stage whose work is complete, nothing is missing."""


def status(wiring: Wiring, slots: Iterable[Slot], *, stopping: str, now: float, began: float) -> dict[str, Any]:
    """The `status` reply: the pipeline is as its worst required stage is. `stopping` says why, while it stops."""
    slots = list(slots)
    state, reason = worst(slots)
    if stopping:
        state, reason = "stopping", stopping
    return {
        "pipeline": {
            "name": wiring.pipeline.name,
            "state": state,
            "reason": reason,
            "pid": os.getpid(),
            "uptime_s": round(now - began, 1),
            "version": __version__,
            "run_dir": str(wiring.run_dir),
        },
        "stages": {slot.name: stage_status(slot, now) for slot in slots},
    }


def stage_status(slot: Slot, now: float) -> dict[str, Any]:
    """One stage's part of it. `pid` is null while no process runs."""
    run = slot.run
    return {
        "state": slot.state,
        "reason": slot.reason,
        "pid": (run.child.pid or None) if run else None,
        "inst": slot.inst,
        "restarts": slot.restarts - slot.swapped,
        "required": slot.rules.required,
        "swap": slot.outcome,
        "uptime_s": round(now - run.started, 1) if run else None,
        "beat_age_s": round(now - run.pulse.last_beat, 2) if run and run.pulse.last_beat is not None else None,
        **({"machine": slot.table.remote} if slot.table.remote else {}),
        **slot.counters,
    }


def worst(slots: Iterable[Slot]) -> tuple[str, str]:
    """State of the pipeline and why: every required stage in that worst state with its reason."""
    required = [slot for slot in slots if slot.rules.required]
    state = max((slot.state for slot in required), key=STATES.index, default="live")
    state = "live" if state == "ended" else state
    if state == "live":
        return state, ""
    worst_ones = [slot for slot in required if slot.state == state]
    return state, "; ".join(f"{slot.name}: {slot.reason}" if slot.reason else slot.name for slot in worst_ones)


def connection(wiring: Wiring, slots: Iterable[Slot], verdict: str = "") -> dict[str, Any]:
    """The connection file: all that a tap, or a stage on another machine, needs to find everybody."""
    slots = list(slots)
    streams = sorted({stream for slot in slots for stream in slot.table.emits})
    return {
        "version": CONNECTION_VERSION,
        "name": wiring.pipeline.name,
        "pid": os.getpid(),
        "control": wiring.control,
        "endpoints": wiring.peers(),
        "streams": {stream: [slot.name for slot in slots if stream in slot.table.emits] for stream in streams},
        "pids": {slot.name: slot.run.child.pid for slot in slots if slot.run and slot.run.child.pid},
        "insts": {slot.name: slot.inst for slot in slots if slot.run},
        "curve": wiring.guard(),
        "verdict": verdict,
        "config": str(wiring.pipeline.file),
        "sets": list(wiring.pipeline.sets),
    }
