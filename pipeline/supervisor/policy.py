"""What follows when a stage's process has ended: `decide(history, exit, now)`. Pure; times are seconds.

Crash for bugs, degrade for the world. An unplugged microphone (exit 69, or a device's owner that hangs) says nothing
about the program, nor does a SIGKILL that somebody else sent: it is replaced for ever and never escalates. Only a
stage's own crashes soon after it went live do. One that works for QUICK_S between its deaths serves people meanwhile:
with 30 s for that, a stage that died every 8 s was soon tried every 30 s, and away 4/5 of the time.

| exit | then |
|---|---|
| said `ended` | from session the pipeline ends with 0; else the stage stays down |
| 78 | required: the pipeline ends with 78; else the stage stays down until `restart` |
| 69, or a device's owner hung | again: at once, then with starts 1-2 s apart while the world goes on, not counted |
| anything else (0 unasked, a signal, a hang) | again: at once, then at least 0.1 ... 30 s +-20 % after it went live |
| SIGKILL that is not ours | the same, 2 s at most, never escalates |
| more than `burst` of those in `window_s`, required | the whole pipeline again, in order, once; within 10 min of that: exit 70 under systemd, else again each 30 s for ever |
"""  # noqa: E501

from __future__ import annotations

import signal
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.exits import CONFIG, SOFTWARE, WORLD

SPACING_S = (1.0, 2.0)
"""Between two starts of a stage that the world keeps ending."""
WORLD_AGAIN_S = 10.0
"""An end by the world this long after the one before is a first one: a plug pulled, not a loose port."""
BACKOFF_S = (0.1, 30.0)
JITTER = 0.2
"""Share of a backoff by which it varies, so that stages which died of one cause do not return in step."""
QUICK_S = 5.0
"""A stage that crashes so soon may be crashed by what it is given again at its start. Live for so long, it has shown
that it works: its next crash is its first."""
RESTART_AGAIN_S = 600.0
"""A restart of the pipeline that did not last this long did not help."""
EXHAUSTED_S = 30.0
"""Between attempts once everything else was tried."""


@dataclass(frozen=True)
class Rules:
    """What of a stage's configuration matters here."""

    required: bool = True
    burst: int = 5
    """Own crashes within `window_s` that are still met by restarting the stage alone."""
    window_s: float = 60.0
    ends_pipeline: bool = False
    """When it says `ended`, the conversation is over (session)."""


@dataclass(frozen=True)
class History:
    """What is remembered of a stage's past, and of the pipeline's as a whole."""

    crashes: tuple[float, ...] = ()
    """When its own crashes of the last window were, since it was last live for QUICK_S."""
    streak: int = 0
    """Crashes and kills since it was last live for QUICK_S."""
    quick: int = 0
    """Own crashes in a row, each within QUICK_S of going live. SIGKILL is not its own: something else sent it."""
    exhausted: bool = False
    """Restarting the pipeline did not help it either."""
    world_ended: float | None = None
    """When the world last ended it."""
    pipeline_restarted: float | None = None
    """When the whole pipeline was last restarted for any stage's sake."""


@dataclass(frozen=True)
class Exit:
    """The end of one process."""

    status: int
    """Exit code, or minus the signal."""
    started: float
    live_s: float = 0.0
    """For how long it had been live."""
    hang: str = ""
    """Why the supervisor ended it ("no beat for 2.1 s"); empty if it went by itself."""
    owns_device: bool = False
    bye: str = ""
    """Why it left, in its own words; "ended": its work is complete."""


@dataclass(frozen=True)
class Action:
    """What to do now, and what to remember."""

    kind: Literal["start", "stay_down", "restart_pipeline", "end_pipeline"]
    history: History
    reason: str
    after_s: float = 0.0
    """Until the start (kind "start")."""
    code: int = 0
    """The pipeline's exit code (kind "end_pipeline")."""
    state: Literal["restarting", "degraded", "failed", "ended"] = "restarting"
    """How the stage is meanwhile."""


def decide(
    rules: Rules, history: History, exit: Exit, now: float, *, dice: float = 0.5, under_systemd: bool = False
) -> Action:
    """The action for an unasked exit. `dice` in [0, 1) is its randomness: spacing and jitter."""
    if exit.bye == "ended":
        if rules.ends_pipeline:
            return Action("end_pipeline", history, "its work is complete", code=0, state="ended")
        return Action("stay_down", history, "its work is complete", state="ended")
    if exit.status == CONFIG and not exit.hang:
        reason = exit.bye or "its configuration can't be used (exit 78), see its last lines in the log"
        if rules.required:
            return Action("end_pipeline", history, reason, code=CONFIG, state="failed")
        return Action("stay_down", history, f"{reason}; mend it, then `restart` it", state="failed")
    if exit.status == WORLD or (exit.hang and exit.owns_device):
        spacing = SPACING_S[0] + dice * (SPACING_S[1] - SPACING_S[0])
        again = history.world_ended is not None and now - history.world_ended < WORLD_AGAIN_S
        after_s = max(0.0, exit.started + spacing - now) if again else 0.0
        reason = exit.hang or exit.bye or "its device or stream failed (exit 69)"
        return Action("start", replace(history, world_ended=now), reason, after_s, state="degraded")
    return _own_crash(rules, history, exit, now, dice, under_systemd)


def _own_crash(rules: Rules, history: History, exit: Exit, now: float, dice: float, under_systemd: bool) -> Action:
    if exit.live_s >= QUICK_S:
        history = replace(history, crashes=(), streak=0, exhausted=False)
    # what it worked counts: it is crashes in quick succession that must not wear the machine out
    wait_s = backoff_s(history.streak, dice)
    history = replace(history, streak=history.streak + 1)
    reason = exit.hang or exit.bye or how_it_ended(exit.status)
    if exit.status == -signal.SIGKILL and not exit.hang:
        wait_s = min(wait_s, SPACING_S[1])
        return Action("start", replace(history, quick=0), reason, max(0.0, wait_s - exit.live_s))
    quick = history.quick + 1 if exit.live_s < QUICK_S else 0
    crashes = (*(when for when in history.crashes if now - when < rules.window_s), now)
    history = replace(history, crashes=crashes, quick=quick)
    if history.exhausted:
        return Action("start", history, reason, EXHAUSTED_S)
    if not rules.required or len(crashes) <= rules.burst:
        return Action("start", history, reason, max(0.0, wait_s - exit.live_s))
    reason = f"{len(crashes)} crashes in {rules.window_s:g} s, the last: {reason}"
    last = history.pipeline_restarted
    if last is None or now - last >= RESTART_AGAIN_S:
        return Action("restart_pipeline", replace(history, crashes=(), streak=0, pipeline_restarted=now), reason)
    if under_systemd:
        return Action("end_pipeline", history, f"{reason}; a restart did not help", code=SOFTWARE, state="failed")
    return Action("start", replace(history, exhausted=True), f"{reason}; a restart did not help", EXHAUSTED_S)


def backoff_s(streak: int, dice: float) -> float:
    """Wait before the start that follows `streak` earlier crashes: 0, then doubling from 0.1 s to 30 s, +-20 %."""
    if streak == 0:
        return 0.0
    first, longest = BACKOFF_S
    # the exponent is bounded: a stage may crash for years, and 2.0 ** 1100 raises
    return min(longest, first * 2.0 ** min(streak - 1, 20)) * (1 - JITTER + 2 * JITTER * dice)


def how_it_ended(status: int) -> str:
    """An exit status in words."""
    if status == 0:
        return "exited 0 unasked"
    if status > 0:
        return f"exited {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal has a number only
        return f"killed by signal {-status}"
