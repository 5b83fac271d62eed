"""A visitor comes, stays and goes: what that means for the line, the calls, the voice and the greeting."""

from __future__ import annotations

from pipeline.live.calls import Calls
from pipeline.live.course import Course
from pipeline.live.effects import Effect, Note, Renew
from pipeline.live.kept import KeptVoice
from pipeline.live.parts import Parts
from pipeline.live.tending import Tending

GOODBYE_S = 20.0
"""A goodbye takes no longer; a visit that was to end with it ends then all the same."""
_NS = 1_000_000_000


class Stay:
    """One visitor after the other. Nothing of one may reach the next."""

    def __init__(self, parts: Parts, course: Course, calls: Calls, tending: Tending, kept: KeptVoice) -> None:
        self._parts, self._course, self._calls, self._tending, self._kept = parts, course, calls, tending, kept
        self.left = False
        """Whatever the line that is up still says is for a visitor who has left."""
        self._ends_ns: int | None = None
        """The visit ends when all is heard, at the latest then."""

    def somebody(self, now_ns: int) -> list[Effect]:
        """Somebody is here, and needs a line."""
        return self._course.somebody(now_ns) + self._tending.needed(now_ns)

    def speaks(self, now_ns: int) -> list[Effect]:
        """They begin to speak: a visit that was to end goes on."""
        self._ends_ns = None
        return self.somebody(now_ns)

    def arrives(self, now_ns: int) -> tuple[list[Effect], bool]:
        """A sensor saw them. True if they are to be greeted: whoever begins a visit is, once."""
        visit = self._parts.visit
        if visit.id is not None:
            visit.active(now_ns)
            return self._tending.needed(now_ns), False
        return self.somebody(now_ns), visit.want_greeting()

    def goes(self, now_ns: int) -> list[Effect]:
        """They have left."""
        parts = self._parts
        if parts.visit.id is None:
            return []
        effects = self._calls.void(now_ns) + self._course.leave(now_ns)
        if parts.uplink.seen_t is not None:
            self._kept.forget(parts.uplink.seen_t)
        self.left, self._ends_ns = self._tending.up, None
        # Whoever comes next must not be answered out of this visitor's context.
        return [*effects, Renew("the visit is over")]

    def goes_after_goodbye(self, now_ns: int) -> list[Effect]:
        """They leave when the goodbye was heard."""
        if self._parts.visit.id is None:
            return []
        self._ends_ns = now_ns + int(GOODBYE_S * _NS)
        return [Note("the visit ends after the goodbye")]

    def line_up(self) -> None:
        """A line that knows nobody who has left."""
        self.left = False

    def tick(self, now_ns: int, *, playing: bool) -> list[Effect]:
        """Time passes. `playing`: something of an answer is still to be heard."""
        parts = self._parts
        if playing or not parts.uplink.quiet:
            parts.visit.active(now_ns)
        if parts.visit.is_over(now_ns):
            return self.goes(now_ns)
        if self._ends_ns is None or (now_ns < self._ends_ns and (playing or parts.turns.open)):
            return []
        return self.goes(now_ns)
