"""Voice that waits to be sent, in order, with its place in time. Pure.

Places are ns of the audio's own clock (`t`): a sample of 16 kHz is exactly 62,500 ns.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

RATE = 16_000
SAMPLE_NS = 62_500
JITTER_NS = 10_000_000
"""Timestamps are no better than that: a smaller overlap is no overlap, a smaller hole no hole."""
CHUNK_BYTES = 40 * RATE // 1000 * 2
"""A backlog goes out in pieces of 40 ms; live frames one by one as they come (20 ms)."""
QUEUE_BYTES = 60 * RATE * 2
"""One minute, twice what the frontend keeps: a line that takes less than it is given has to be replaced."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Voice to send: s16le mono, 16 kHz."""

    t: int
    pcm: bytes
    gated: bool = False
    """Zeros that stand for sound kept from the service."""

    @property
    def end_t(self) -> int:
        """Where the next sample is."""
        return self.t + len(self.pcm) // 2 * SAMPLE_NS


class Backlog:
    """Blocks of voice, oldest first, QUEUE_BYTES at most: what comes when it is full is not taken."""

    def __init__(self) -> None:
        self._blocks: deque[Chunk] = deque()
        self._bytes = 0
        self.passed_t: int | None = None
        """End of what was taken or let go."""

    def __bool__(self) -> bool:
        return bool(self._blocks)

    @property
    def end_t(self) -> int | None:
        """Where the newest block ends."""
        return self._blocks[-1].end_t if self._blocks else None

    def add(self, chunk: Chunk) -> bool:
        """Keep a block. False if it is full."""
        if self._bytes + len(chunk.pcm) > QUEUE_BYTES:
            return False
        self._blocks.append(chunk)
        self._bytes += len(chunk.pcm)
        return True

    def take(self, until_t: int | None = None) -> Chunk | None:
        """The oldest block with those that follow it, 40 ms at most; none that begins at or after `until_t`."""
        if not self._blocks or (until_t is not None and self._blocks[0].t >= until_t):
            return None
        first = self._blocks.popleft()
        self._bytes -= len(first.pcm)
        self.passed_t = first.end_t
        if not self._blocks:
            return first
        parts, size = [first.pcm], len(first.pcm)
        while self._blocks and size + len(self._blocks[0].pcm) <= CHUNK_BYTES:
            following = self._blocks[0]
            if abs(following.t - self.passed_t) > JITTER_NS or following.gated != first.gated:
                break  # a hole: two chunks, so that each has its true place
            if until_t is not None and following.t >= until_t:
                break
            self._blocks.popleft()
            self._bytes -= len(following.pcm)
            parts.append(following.pcm)
            size, self.passed_t = size + len(following.pcm), following.end_t
        return Chunk(first.t, b"".join(parts), first.gated) if len(parts) > 1 else first

    def let_go(self, until_t: int) -> None:
        """Forget the blocks that end at or before `until_t`."""
        while self._blocks and self._blocks[0].end_t <= until_t:
            first = self._blocks.popleft()
            self._bytes -= len(first.pcm)
            self.passed_t = first.end_t

    def clear(self) -> None:
        """Forget everything, where it stood too."""
        self._blocks.clear()
        self._bytes = 0
        self.passed_t = None
