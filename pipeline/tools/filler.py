"""No dead air: when a function keeps the person waiting, something is played until the answer sounds. Pure; ns.

It begins after `after_ms` of quiet, in which nobody speaks, neither person nor machine: a model that may go on talking,
or says itself that it takes a moment, is not talked over.
"""

from __future__ import annotations

from typing import Literal

ANSWER_S = 6.0
"""From a function's answer to the first word of the model's; longer, and the filler promises what does not come."""
STALE_S = 1.0
"""Playback says what it plays each 100 ms: silent for so long, it plays nothing, or is being replaced."""
_NS = 1_000_000_000


class Filler:
    """Decides when a filler is to be heard."""

    def __init__(self, after_ms: float) -> None:
        self._after_ns = int(after_ms * 1e6)
        self._waits: dict[str, int] = {}
        """Calls to be filled for, and since when."""
        self._answer_due_ns: int | None = None
        """Until when the model's answer to a result may still begin."""
        self._sounding = self._person = False
        self._sounded_ns = self._quiet_ns = 0
        self.on = False

    def began(self, now_ns: int, call_id: str) -> None:
        """A call that the person waits for."""
        self._waits[call_id] = now_ns

    def ended(self, now_ns: int, call_id: str, *, answer_follows: bool) -> None:
        """It was answered or cancelled. `answer_follows`: the model will speak of the result."""
        if self._waits.pop(call_id, None) is not None and answer_follows:
            self._answer_due_ns = now_ns + int(ANSWER_S * _NS)

    def nobody_waits(self) -> None:
        """The line is down or the visit is over."""
        self._waits.clear()
        self._answer_due_ns = None

    def machine(self, now_ns: int, *, sounding: bool) -> None:
        """An answer is being played, or has been."""
        if sounding:
            self._sounded_ns, self._answer_due_ns = now_ns, None
        elif self._sounding:
            self._quiet_ns = now_ns
        self._sounding = sounding

    def person(self, now_ns: int, *, speaking: bool) -> None:
        """The person began to speak, or ended."""
        if self._person and not speaking:
            self._quiet_ns = now_ns
        self._person = speaking

    @property
    def waiting(self) -> bool:
        """`tick` has something to decide."""
        return self.on or bool(self._waits)

    def tick(self, now_ns: int) -> Literal["play", "stop"] | None:
        """What is to be done now."""
        if self._sounding and now_ns - self._sounded_ns > STALE_S * _NS:
            self._sounding, self._quiet_ns = False, now_ns
        if self._answer_due_ns is not None and now_ns > self._answer_due_ns:
            self._answer_due_ns = None
        wanted = bool(self._waits) or (self.on and self._answer_due_ns is not None)
        wanted = wanted and not self._sounding and not self._person
        if self.on and not wanted:
            self.on, self._quiet_ns = False, now_ns
            return "stop"
        if wanted and not self.on and now_ns - max(min(self._waits.values()), self._quiet_ns) >= self._after_ns:
            self.on = True
            return "play"
        return None
