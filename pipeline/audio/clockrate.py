"""Does a microphone deliver as many samples a second as it says? Pure.

A device (or a driver) that declares 48 kHz and delivers 44.1 makes every voice higher and every recognition worse, and
nothing else would ever say so.
"""

from __future__ import annotations

from dataclasses import dataclass

_NS = 1_000_000_000


@dataclass(frozen=True)
class RateVerdict:
    """`off` or right again: what the device says and what a second of clock holds, in samples a second."""

    off: bool
    declared: int
    measured: float


class RateWatch:
    """Off after `hold_s` seconds in a row that each miss the declared rate by more than `tolerance` and agree with each
    other to that; right again after as many that do not miss it.

    A wrong clock is wrong evenly. Seconds that scatter are those of a machine without time for its sound, and a sound
    server that catches up after a stall is as even as a clock for some seconds.
    """

    def __init__(self, tolerance: float = 0.02, hold_s: int = 10) -> None:
        self._tolerance = tolerance
        self._hold = hold_s
        self.off = False
        self._rate = 0
        self._begin()

    def _begin(self) -> None:
        self._since: int | None = None  # t of the second under way
        self._count = 0
        self._streak: list[float] = []  # samples a second of seconds that contradict the verdict so far

    def push(self, rate: int, count: int, t: int) -> RateVerdict | None:
        """A block of `count` samples beginning at `t` ns. A verdict when it changes, else None."""
        if rate != self._rate or (self._since is not None and t < self._since):
            self._rate = rate
            self._begin()
        if self._since is None:
            self._since = t
        if t - self._since >= _NS:
            verdict = self._judge(self._count * _NS / (t - self._since))
            self._since, self._count = t, count
            return verdict
        self._count += count
        return None

    def _judge(self, measured: float) -> RateVerdict | None:
        off = abs(measured / self._rate - 1.0) > self._tolerance
        if off == self.off:
            self._streak.clear()
            return None
        self._streak.append(measured)
        while off and max(self._streak) > min(self._streak) * (1.0 + self._tolerance):
            self._streak.pop(0)
        if len(self._streak) < self._hold:
            return None
        mean = sum(self._streak) / len(self._streak)
        self.off = off
        self._streak.clear()
        return RateVerdict(off, self._rate, round(mean, 1))
