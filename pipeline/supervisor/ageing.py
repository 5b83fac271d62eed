"""When a stage is replaced before it hurts, and when nobody would notice. Pure; times are seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.config import Restart

AGAIN_S = 600.0
"""Between two replacements of one stage for its size: a limit below what a fresh process needs must not wear it out."""
QUIET_S = 2.0
"""Nobody spoke and nothing sounded for so long: whoever comes now is met by the new process."""
OPEN_S = 60.0
"""Longer than this no utterance and no turn is open: who would have said its end is gone."""


def overdue(limits: Restart, age_s: float, rss_mb: float | None) -> str:
    """Why a process has to be replaced, or "". `rss_mb` is None where it can't be known."""
    if limits.max_age_h is not None and age_s > limits.max_age_h * 3600:
        return f"it is older than max_age_h: {limits.max_age_h:g}"
    if limits.max_rss_mb is not None and rss_mb is not None and rss_mb > limits.max_rss_mb:
        return f"it takes {rss_mb:.0f} MB, over max_rss_mb: {limits.max_rss_mb:g}"
    return ""


@dataclass
class Quiet:
    """Whether anybody speaks, from the events that pass. What began before this was listening is told by the sticky
    ones; a turn that waits for its answer is not, so it takes QUIET_S of listening to call it quiet."""

    since: float
    """When something was last heard of, or the listening began."""
    _open: dict[str, float] = field(default_factory=dict)
    """What is under way, and since when."""

    def event(self, name: str, body: dict[str, Any], now: float) -> None:
        """One event of any stage."""
        if name in ("speech_started", "turn_started"):
            self._open[name.removesuffix("_started")] = now
        elif name in ("speech_ended", "turn_ended"):
            self._open.pop(name.removesuffix("_ended"), None)
        elif name == "heard":
            at, buffered_to = body.get("at"), body.get("buffered_to")
            if not isinstance(at, int) or not isinstance(buffered_to, int) or at >= buffered_to:
                self._open.pop("answer", None)
                return  # said once more at each subscription: no sign that somebody is here
            self._open["answer"] = now
        else:
            return
        self.since = now

    def holds(self, now: float) -> bool:
        """Nobody speaks, nothing plays, and that for QUIET_S."""
        self._open = {what: since for what, since in self._open.items() if now - since < OPEN_S}
        return not self._open and now - self.since >= QUIET_S
