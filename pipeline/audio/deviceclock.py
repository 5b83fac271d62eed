"""When was sample n at the device? A straight line through observations that are only ever late. Pure.

A read returns, and a queue shrinks, some time after the sound moved: never before. So the earliest observation is the
truest, and is taken at once; later ones pull slowly, which follows a clock that drifts, but not a scheduler's jitter.
"""

from __future__ import annotations

_NS = 1_000_000_000


class DeviceClock:
    """Samples of one device against the monotonic clock."""

    SLEW = 64
    """One part of a late observation that is believed: at 50 a second, 2 % of drift stays within 26 ms."""
    STEP_NS = 100_000_000
    """Later than this is no jitter: sound is missing, and time goes on without it."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.steps = 0
        self._origin: int | None = None  # ns: time of sample 0

    @property
    def running(self) -> bool:
        return self._origin is not None

    def observe(self, count: int, now_ns: int) -> None:
        """By `now_ns` the device had moved `count` samples since the start.

        Only for a moment that was not itself late: after a stall of the reader the device's backlog comes at once, is
        old, and keeps its old times.
        """
        origin = now_ns - count * _NS // self.rate
        if self._origin is None or origin < self._origin:
            self._origin = origin
        elif origin - self._origin > self.STEP_NS:
            self._origin = origin
            self.steps += 1
        else:
            self._origin += (origin - self._origin) // self.SLEW

    def time_of(self, index: int) -> int:
        """ns at which sample `index` was or will be at the device. RuntimeError before the first observation."""
        if self._origin is None:
            raise RuntimeError("observe() comes before time_of()")
        return self._origin + index * _NS // self.rate

    def index_at(self, now_ns: int) -> int:
        """Sample that is at the device at `now_ns`."""
        if self._origin is None:
            raise RuntimeError("observe() comes before index_at()")
        return (now_ns - self._origin) * self.rate // _NS
