"""Voice as the service wants it that detects speech itself: all of it, and a word when none comes. Pure.

The service waits for silence before it takes a turn for over. So a gate that closes is followed by its zeros for a
while, which it can count; then it is told that the stream has ended, and no more zeros are paid for. What it is given
next begins the stream again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.live.backlog import SAMPLE_NS, Backlog, Chunk

PAUSE_NS = 1_000_000_000
"""Without voice for so long: the service is told. Its documentation asks for that after more than a second."""


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """No more voice comes for now: the service does not wait for silence that nobody sends."""


class Pauses:
    """`after_ns` of zeros behind a closing gate are sent: not less than the silence that ends a turn."""

    def __init__(self, after_ns: int = PAUSE_NS) -> None:
        self._after_ns = after_ns
        self._flows = False
        """Voice was given, and its end not said."""
        self._gated_ns = 0

    def line_up(self) -> None:
        """A service that was given nothing yet."""
        self._flows, self._gated_ns = False, 0

    def take(self, backlog: Backlog, over: Callable[[], bool]) -> Chunk | StreamEnd | None:
        """What to send next. `over`: behind what was sent comes nothing, or nothing soon; asked when all is sent."""
        while (chunk := backlog.take()) is not None:
            if not chunk.gated:
                self._flows, self._gated_ns = True, 0
                return chunk
            if not self._flows:
                continue
            self._gated_ns += len(chunk.pcm) // 2 * SAMPLE_NS
            if self._gated_ns <= self._after_ns:
                return chunk
            return self._end()
        return self._end() if over() and self._flows else None

    def _end(self) -> StreamEnd:
        self._flows = False
        return StreamEnd()
