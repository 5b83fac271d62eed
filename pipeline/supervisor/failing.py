"""Which stage does not work by its own fault, not the world's: it dies again and again, hangs, or stays away. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

FAILING_S: Final = 1.5
"""Away for longer is worth a word; a restart takes a tenth of it."""
OFTEN, OFTEN_S = 3, 30.0
"""So many restarts in so long are a failing stage, however quickly each was over,"""
QUIET_S, PAUSES = 5.0, 1.5
"""until it has lived for so long, and so many times longer than between its deaths."""
HANGS: Final = ("no beat for", "deaf: took in nothing", "not started within")
"""How `health` words a process that is being ended because it hangs: it was silent for long enough before."""
KILLED: Final = "killed by SIGKILL"
_PASSING: Final = ("starting", "primed", "stopping")
"""States without a reason of their own: the one before holds."""
_AWAY: Final = ("restarting", "starting", "primed", "failed", "stopping")
_NS: Final = 1_000_000_000


class Fault(NamedTuple):
    """What is the matter with a stage."""

    words: str
    remedy: str


class Failing:
    """`required`: the stages without which the pipeline is nothing; only these count."""

    def __init__(self, required: Mapping[str, bool]) -> None:
        self._required = required
        self._states: dict[str, tuple[str, str]] = {}
        self._away_ns: dict[str, int] = {}
        self._deaths: list[tuple[int, str, str]] = []

    def stage(self, now_ns: int, name: str, state: str, reason: str) -> None:
        """How a stage is, each change."""
        if not self._required.get(name, True):
            return
        before, reason_before = self._states.get(name, ("", ""))
        self._states[name] = (state, reason or (reason_before if state in _PASSING else ""))
        if state not in _AWAY:
            self._away_ns.pop(name, None)
        elif state != "stopping":  # by order; but one that was away before it still is
            self._away_ns.setdefault(name, now_ns)
        if state == "restarting" and before != state:
            self._deaths = [*self._deaths[-20:], (now_ns, name, reason)]

    def fault(self, now_ns: int) -> Fault | None:
        """Of the stage that is worst off."""
        for name, since_ns in self._away_ns.items():
            state, reason = self._states[name]
            hangs = reason.startswith(HANGS)
            if state in ("starting", "primed") and not self._died(name):
                continue
            if state == "failed" or hangs or now_ns - since_ns > FAILING_S * _NS:
                return _fault(name, "hangs" if hangs else "", reason)
        recent = [death for death in self._deaths if now_ns - death[0] < OFTEN_S * _NS]
        for name in dict.fromkeys(name for _, name, _ in recent):
            times = [at_ns for at_ns, dead, _ in recent if dead == name]
            if len(times) >= OFTEN and not self._recovered(now_ns, name, times):
                last = next(reason for _, dead, reason in reversed(recent) if dead == name)
                return _fault(name, f"restarted {len(times)} times in {OFTEN_S:g} s", last)
        return None

    def _recovered(self, now_ns: int, name: str, times: list[int]) -> bool:
        pause_ns = (times[-1] - times[0]) / (len(times) - 1)
        alive = self._states[name][0] not in _AWAY
        return alive and now_ns - times[-1] > max(QUIET_S * _NS, PAUSES * pause_ns)

    def _died(self, name: str) -> bool:
        return any(name == dead for _, dead, _ in self._deaths)


def _fault(name: str, how: str, reason: str) -> Fault:
    words = ": ".join(part for part in (f"{name} {how}".strip(), reason) if part)
    if KILLED in reason:
        return Fault(words, f"too little memory? `dmesg | tail` says who ended it; voice-pipeline restart {name}")
    return Fault(words, f"see its last words in the log; voice-pipeline restart {name}")
