"""Sound on one line of time: the microphone's, and what the speaker said, which is a canceller's reference. Pure."""

from __future__ import annotations

import numpy as np

from pipeline.audio.pcm import Samples
from pipeline.audio.resample import TimedResampler

RATE = 16_000
KEPT = 1 << 16
"""Samples kept: 4 s. A microphone's block that is older than that was not held for its echo."""
SLIP = RATE * 8 // 1000
"""A block that follows the one before within 8 ms is laid right behind it. Times are estimates that move by
milliseconds, and a reference that jumps with them is a delay that jumps; a canceller follows 50 ppm of drift by itself,
but falls from 55 to 25 dB for seconds at each jump."""

_NS = 1_000_000_000


def position(t: int) -> int:
    """The sample of 16 kHz that begins nearest to `t` ns."""
    return (t * RATE + _NS // 2) // _NS


class Line:
    """A ring of samples by their position in time; silence where nothing is known."""

    def __init__(self) -> None:
        self._ring = np.zeros(KEPT, np.int16)
        self.end = 0
        """Position after the newest sample."""
        self.jumps = 0
        """Blocks that came less than a second after the one before, but not right behind it."""

    def lay(self, t: int, samples: Samples) -> None:
        """A block, shape (n,), whose first sample belongs to `t` ns."""
        at = position(t)
        if abs(at - self.end) <= SLIP:
            at = self.end
        elif abs(at - self.end) < RATE:
            self.jumps += 1
        if at > self.end:
            gap = min(at - self.end, KEPT)
            self._write(at - gap, np.zeros(gap, np.int16))
        samples = samples[-KEPT:]
        self._write(at, samples)
        self.end = max(self.end, at + samples.size)

    def _write(self, at: int, samples: Samples) -> None:
        begin = at % KEPT
        first = samples[: KEPT - begin]
        self._ring[begin : begin + first.size] = first
        self._ring[: samples.size - first.size] = samples[first.size :]

    def read(self, at: int, count: int) -> Samples:
        """`count` samples from position `at` on, shape (count,)."""
        out = np.zeros(count, np.int16)
        begin, end = max(at, self.end - KEPT), min(at + count, self.end)
        if begin < end:
            out[begin - at : end - at] = self._ring[np.arange(begin, end) % KEPT]
        return out


class Reference(Line):
    """What left the speaker, from any rate."""

    def __init__(self) -> None:
        super().__init__()
        self._resampler = TimedResampler(RATE)

    def push(self, samples: Samples, rate: int, t: int) -> None:
        """A block, shape (n,), that left the speaker from `t` ns on."""
        for block in self._resampler.push(samples, rate, t):
            self.lay(block.t, block.samples)

    def drain(self) -> None:
        """The answer is over: what the filter still held belongs to it."""
        for block in self._resampler.drain():
            self.lay(block.t, block.samples)
