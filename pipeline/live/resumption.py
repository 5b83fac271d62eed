"""By which handle the next line goes on."""

from __future__ import annotations

from pipeline.live.memory import Memory
from pipeline.live.turns import Turns


class Resumption:
    """The handle that `memory` keeps. `line_for` names service and model."""

    def __init__(self, memory: Memory, turns: Turns, line_for: str) -> None:
        self._memory, self._turns, self._line_for = memory, turns, line_for

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
