"""The supervisor's one thread: waits on descriptors and timers, reads control before it judges anybody."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import selectors
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

LATE_S = 0.2
"""Later than this, and what was not read meanwhile is our fault."""


@dataclass(order=True)
class Timer:
    """A callback to come."""

    at: float
    number: int
    callback: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        """It will not be called."""
        self.cancelled = True


class Loop:
    """Descriptors, timers and signals. In each turn: `first`, then descriptors, then timers."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.first: Callable[[], float | None] = lambda: None
        """Called at the begin of each turn and before each wait: reads all sockets, returns seconds until it wants
        to be called again."""
        self.late: Callable[[float], None] = lambda late_s: None
        """Called at the begin of a turn that comes more than LATE_S too late, and in one that takes so long."""
        self.signalled: Callable[[int], None] = lambda number: None
        self._selector = selectors.DefaultSelector()
        self._timers: list[Timer] = []
        self._numbers = itertools.count()
        self._code: int | None = None
        self._ours, self._signals = socket.socketpair()
        for end in (self._ours, self._signals):
            end.setblocking(False)
        self.watch(self._ours.fileno(), self._read_signals)

    def watch(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call back whenever `descriptor` is readable."""
        self._selector.register(descriptor, selectors.EVENT_READ, callback)

    def unwatch(self, descriptor: int) -> None:
        """No more of it; nothing happens if it was not watched."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(descriptor)

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back once."""
        timer = Timer(self.clock() + seconds, next(self._numbers), callback)
        heapq.heappush(self._timers, timer)
        return timer

    def take_signals(self, *numbers: int) -> None:
        """Have these delivered to `signalled` by the loop instead of anywhere.

        An ignored SIGHUP stays ignored: that is what nohup means. An ignored SIGINT is what a shell gives to every
        command in the background, and there it still is the word by which people and programs stop us.
        """
        signal.set_wakeup_fd(self._signals.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: None)

    def finish(self, code: int) -> None:
        """Leave `run` after this turn."""
        self._code = code

    def run(self) -> int:
        """Turn until `finish`; returns its code."""
        began, wait_s = self.clock(), 0.0
        while self._code is None:
            wait_s = self._wait_s(self.first())
            ready = self._selector.select(wait_s)
            now = self.clock()
            if now - began - wait_s > LATE_S:
                self.late(now - began - wait_s)
            began = now
            self.first()
            for key, _ in ready:
                # a callback before this one may have taken the descriptor away
                if self._selector.get_map().get(key.fd) is key:
                    key.data()
            # a machine that stood still in mid-turn left words unread, by which nobody may be judged
            if (took_s := self.clock() - began) > LATE_S:
                began += took_s
                self.late(took_s)
                self.first()
            self._run_timers()
        return self._code

    def close(self) -> None:
        """Give the descriptors back."""
        signal.set_wakeup_fd(-1)
        self._selector.close()
        self._ours.close()
        self._signals.close()

    def _wait_s(self, wanted_s: float | None) -> float:
        while self._timers and self._timers[0].cancelled:
            heapq.heappop(self._timers)
        until = self._timers[0].at - self.clock() if self._timers else 1.0
        return max(0.0, until if wanted_s is None else min(until, wanted_s))

    def _run_timers(self) -> None:
        now = self.clock()
        while self._timers and self._timers[0].at <= now and self._code is None:
            timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                timer.callback()

    def _read_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in self._ours.recv(64):
                self.signalled(number)
