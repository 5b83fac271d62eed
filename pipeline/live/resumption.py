"""By which handle the next line goes on, and when a line that the service will end is given up."""

from __future__ import annotations

from pipeline.live.memory import Memory
from pipeline.live.turns import Turns

GO_AWAY_MARGIN_S = 2.0
"""Before the service hangs up, hang up: a roll takes less, and nothing is under way on a line that we close."""
_NS = 1_000_000_000


class Resumption:
    """The handle that `memory` keeps, and the deadline of the line. `line_for` names service and model."""

    def __init__(self, memory: Memory, turns: Turns, line_for: str) -> None:
        self._memory, self._turns, self._line_for = memory, turns, line_for
        self._deadline_ns: int | None = None

    @property
    def handle(self) -> str | None:
        """By which the next line resumes the session; None if it must be fresh."""
        memory = self._memory
        if memory.handle_for != self._line_for or memory.handle_turn < memory.answered_turn:
            return None  # another service's, or older than the last turn: the transcript knows more
        return memory.handle

    def update(self, handle: str, resumable: bool) -> None:
        """The service gave a handle. One that does not resume leaves the one before, good for what it knew."""
        if not resumable:
            return
        turn = self._turns.turn
        newest = turn if turn is not None and turn.answering else self._turns.last
        self._memory.handle, self._memory.handle_for = handle, self._line_for
        self._memory.handle_turn = newest.id if newest is not None else self._memory.handle_turn

    def line_changed(self) -> None:
        """Another line, or none."""
        self._deadline_ns = None

    def go_away(self, now_ns: int, left_s: float) -> None:
        """The service ends the line in `left_s`."""
        self._deadline_ns = now_ns + int(left_s * _NS)

    def roll_due(self, now_ns: int, at_rest: bool) -> bool:
        """Change the line now: in a gap, or at the latest before the deadline. True once."""
        if self._deadline_ns is None:
            return False
        if not at_rest and now_ns < self._deadline_ns - GO_AWAY_MARGIN_S * _NS:
            return False
        self._deadline_ns = None
        return True
