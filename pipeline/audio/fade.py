"""A gain that moves without a click. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.pcm import Samples, gain


class Fader:
    """Multiplies samples by a factor that goes to each new value along half a cosine.

    A jump is a click at every pitch; a straight line bends twice, which of loud speech is still heard as a tick. Half a
    cosine of 5 to 10 ms is neither heard as a click nor as a fade.
    """

    def __init__(self, rate: int, value: float = 1.0) -> None:
        self._rate = rate
        self._value = value
        self._curve: NDArray[np.float32] = np.empty(0, np.float32)

    @property
    def target(self) -> float:
        """Where it is or goes."""
        return float(self._curve[-1]) if self._curve.size else self._value

    def jump(self, value: float) -> None:
        """At once: for the silence before a first sample only."""
        self._value = value
        self._curve = np.empty(0, np.float32)

    def to(self, value: float, ms: float) -> None:
        """Go to `value` within `ms`, from wherever it is now."""
        count = max(1, round(self._rate * ms / 1000))
        part = (1 - np.cos(np.linspace(0, np.pi, count + 1, dtype=np.float32)[1:])) / 2
        self._curve = (self._value + (value - self._value) * part).astype(np.float32)
        self._curve[-1] = value

    def apply(self, samples: Samples) -> Samples:
        """The next mono samples, clipped at full scale."""
        if not self._curve.size:
            return gain(samples, self._value)
        now, self._curve = self._curve[: samples.size], self._curve[samples.size :]
        if not now.size:
            return samples
        self._value = float(now[-1])
        factors = np.full(samples.size, self._value, np.float32)
        factors[: now.size] = now
        clipped: Samples = np.clip(np.rint(samples * factors), -32768, 32767).astype(np.int16)
        return clipped
