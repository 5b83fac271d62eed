"""The queue of a device that is written to and polled: what is at the speaker now, whether it moves, when to look
again. Pure.
"""

from __future__ import annotations

from pipeline.audio.deviceclock import DeviceClock

_NS = 1_000_000_000


class DeviceQueue:
    """Frames between this process and the speaker. The device tells of them in lumps of 10 ms, the clock in between."""

    CALM_S = 0.012
    """Time between two looks. The queue holds 32 ms and the device takes 11 at a time, so 9 are left for a scheduler
    that is late; each look costs 0.2 ms of a core, which at 200 a second was 5 % of it."""
    PRESSED_S = 0.005
    PRESSED_NS = 10 * _NS
    """After a look that found the queue nearly empty it is looked at more often for so long."""
    WITNESSED_NS = 300_000_000
    """Longest time between two looks that counts as seen: a process that was stopped has watched nothing."""

    def __init__(self, rate: int, capacity: int) -> None:
        self.rate, self.capacity = rate, capacity
        self.restart()
        self._pressed_ns = -self.PRESSED_NS

    def restart(self) -> None:
        """It was emptied by us, and counts from 0 again."""
        self.clock = DeviceClock(self.rate)
        self.queued = 0
        self._begin = 0
        self._broken = True
        self._sounded = 0
        self._looked_ns: int | None = None
        self.stood_ns = 0
        """How long it holds frames and has not moved, as far as it was watched."""

    def look(self, given: int, free: int, now_ns: int) -> int:
        """The frame that is at the speaker, of `given` ones, when `free` could be written."""
        self.queued = self.capacity - free
        sounded = given - self.queued
        seen_ns = 0 if self._looked_ns is None else min(self.WITNESSED_NS, now_ns - self._looked_ns)
        self._looked_ns = now_ns
        self.stood_ns = self.stood_ns + seen_ns if self.queued > 0 and sounded == self._sounded else 0
        self._sounded = sounded
        if self.queued <= 0:
            self._broken = True  # its line through time ends here
            return sounded
        if self._broken:
            self._broken, self._begin = False, sounded
            self.clock = DeviceClock(self.rate)
        if sounded > self._begin:  # before that the device has not begun again
            self.clock.observe(sounded, now_ns)
        if not self.clock.running:
            return sounded
        return max(sounded, min(given, self.clock.index_at(now_ns)))

    def missing_ms(self, given: int, now_ns: int) -> int:
        """How long the device has stood without sound since it sounded frame `given`; 0 while it holds some."""
        if self.queued > 0 or not self.clock.running:
            return 0
        return max(0, now_ns - self.clock.time_of(given)) // 1_000_000

    def time_of(self, frame: int, now_ns: int) -> int:
        """When `frame` was or will be at the speaker, ns."""
        return self.clock.time_of(frame) if self.clock.running else now_ns

    def again_s(self, now_ns: int) -> float:
        """When to look again while something sounds, s; asked right after a look, before anything is written."""
        if 0 < self.queued < self.capacity // 4:
            self._pressed_ns = now_ns
        return self.PRESSED_S if now_ns - self._pressed_ns < self.PRESSED_NS else self.CALM_S
