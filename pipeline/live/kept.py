"""The newest voice, kept by the session itself: a line that comes is given from here what was not answered.

The frontend keeps as much. But it may die while the line is away, and then what its successor can tell goes back only
as far as the microphone's ring.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

KEPT_NS = 30_000_000_000
"""As much as the frontend keeps: about 1 MB."""
_SAMPLE_NS = 62_500
"""Of 16 kHz."""


class Block(NamedTuple):
    """A block of voice: s16le mono, 16 kHz, from `t` on. `gated`: zeros stand for sound that was kept back."""

    t: int
    pcm: bytes
    gated: bool = False

    @property
    def end_t(self) -> int:
        """Where the next sample is."""
        return self.t + len(self.pcm) // 2 * _SAMPLE_NS


class KeptVoice:
    """Blocks of voice, the newest KEPT_NS of them; older ones are forgotten first."""

    def __init__(self) -> None:
        self._blocks: deque[Block] = deque()

    @property
    def end_t(self) -> int | None:
        """Where the newest ends; None while there is none."""
        return self._blocks[-1].end_t if self._blocks else None

    def add(self, block: Block) -> None:
        """Keep a block. One that lies before the newest is known already, or of a clock that was set anew."""
        end_t = self.end_t
        if end_t is not None and block.end_t <= end_t:
            return
        self._blocks.append(block)
        self.forget(block.end_t - KEPT_NS)

    def since(self, t: int | None) -> list[Block]:
        """The blocks that end after `t`, oldest first; all of them for None."""
        return [block for block in self._blocks if t is None or block.end_t > t]

    def forget(self, until_t: int) -> None:
        """Forget what ends by `until_t`."""
        while self._blocks and self._blocks[0].end_t <= until_t:
            self._blocks.popleft()
