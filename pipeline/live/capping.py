"""What happens when the money is spent: the turn is finished, a goodbye is said, the line is closed, and stays so.

The goodbye, and the word to whoever speaks to a machine that has closed, are this machine's own: they cost nothing.
"""

from __future__ import annotations

from pipeline.live.course import Course
from pipeline.live.effects import Dial, Effect, HangUp, Note, Save, Tell
from pipeline.live.parts import Parts
from pipeline.live.want import Want

FINISH_S = 30.0
"""An answer that is not over after this long is cut: a cap is hard."""
AGAIN_S = 15.0
"""Who goes on speaking to a machine that has closed is told so no more often."""
_NS = 1_000_000_000


class Capping:
    """Holds the line closed while `parts.budget` says so."""

    def __init__(self, parts: Parts, course: Course, want: Want) -> None:
        self._parts, self._course, self._want = parts, course, want
        self.closed = False
        """A cap is reached, and the goodbye was said."""
        self._since_ns: int | None = None
        self._said_ns: int | None = None

    def tick(self, now_ns: int) -> list[Effect]:
        """Time passes."""
        budget = self._parts.budget
        effects = budget.tick(now_ns)
        if not budget.capped:
            return [*effects, *self._open()] if self.closed else effects
        if self.closed:
            return effects
        self._since_ns = now_ns if self._since_ns is None else self._since_ns
        turn = self._parts.turns.turn
        answering = (turn is not None and turn.answering) or self._parts.downlink.playing(now_ns)
        if answering and now_ns - self._since_ns < FINISH_S * _NS:
            return effects
        return [*effects, *self._close(now_ns)]

    def speech_started(self, now_ns: int) -> list[Effect]:
        """Somebody speaks to a machine that has closed."""
        self._parts.visit.active(now_ns)
        return self.refuse(now_ns)

    def speech_ended(self, now_ns: int, at_t: int) -> list[Effect]:
        """They ended. Nobody will answer it, not tomorrow either."""
        self._parts.visit.active(now_ns)
        return [*self._course.answered(at_t), Save()]

    def refuse(self, now_ns: int) -> list[Effect]:
        """Somebody wants something of it."""
        if self._said_ns is not None and now_ns - self._said_ns < AGAIN_S * _NS:
            return []
        self._said_ns = now_ns
        return [Tell("play", {"name": "capped", "cause": "capped"}, log=True)]

    def _close(self, now_ns: int) -> list[Effect]:
        parts = self._parts
        self.closed, self._since_ns, self._said_ns = True, None, None
        self._want.hold("capped")
        reached = Note("capped", {"reason": parts.budget.reason}, "warning")
        effects = self._course.changes(parts.turns.abandon(now_ns, "capped"), now_ns)
        effects += parts.downlink.silence(now_ns, "capped")
        effects += self._course.answered(parts.uplink.seen_t)
        if parts.visit.id is not None:
            self._said_ns = now_ns
            effects.append(Tell("play", {"name": "goodbye", "cause": "capped"}, log=True))
        return [reached, *effects, HangUp(), Save()]

    def _open(self) -> list[Effect]:
        self.closed = False
        self._want.release()
        return [Note("no longer capped"), Dial()]
