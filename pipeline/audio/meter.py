"""How loud the microphone is, and whether it is driven over its limit. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.audio import pcm
from pipeline.audio.pcm import Samples

FULL = 32_700
"""A sample from here on is at the limit: some converters never give the last values."""
CLIPPED = 0.001
"""Share of samples at the limit, over a second, that is heard as harshness and harms recognition."""
SECONDS = 2
"""Seconds in a row that must clip, or not, to change the word: one slap on the counter is no wrong gain."""


@dataclass(frozen=True)
class Clipping:
    """Begins or ends; `percent` of the newest second's samples."""

    on: bool
    percent: float


class Meter:
    """Level of the sound on its way out, each 200 ms; clipping of the sound as the device gave it, by the second."""

    LEVEL_MS = 200

    def __init__(self, rate: int) -> None:
        self._size = rate * self.LEVEL_MS // 1000
        self._since_level: list[Samples] = []
        self._count = 0
        self._over = self._frames = self._streak = 0
        self._clipping = False

    def level(self, samples: Samples) -> pcm.Level | None:
        """A block on its way out, shape (n,); the level when another 200 ms are full."""
        self._since_level.append(samples)
        self._count += samples.size
        if self._count < self._size:
            return None
        level = pcm.level(np.concatenate(self._since_level))
        self._since_level.clear()
        self._count = 0
        return level

    def clipping(self, samples: Samples, rate: int) -> Clipping | None:
        """A block as the device gave it, shape (n,) or (n, channels); a word when it changes."""
        self._over += int(np.count_nonzero((samples >= FULL) | (samples <= -FULL)))
        self._frames += samples.size
        if self._frames < rate * (1 if samples.ndim == 1 else samples.shape[1]):
            return None
        share, self._over, self._frames = self._over / self._frames, 0, 0
        self._streak = self._streak + 1 if (share >= CLIPPED) != self._clipping else 0
        if self._streak < SECONDS:
            return None
        self._streak, self._clipping = 0, not self._clipping
        return Clipping(self._clipping, round(100 * share, 2))
