"""Timers of the main loop: a heap and no clock of its own."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable


class Timer:
    """One call to come."""

    def __init__(self, due_ns: int, callback: Callable[[], None]) -> None:
        self.due_ns = due_ns
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """It will not be called."""
        self.callback = None


class Timers:
    """Calls to come, in order of time."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._count = itertools.count()

    def add(self, due_ns: int, callback: Callable[[], None]) -> Timer:
        """Have `callback` called at `due_ns`."""
        timer = Timer(due_ns, callback)
        heapq.heappush(self._heap, (due_ns, next(self._count), timer))
        return timer

    def due_ns(self) -> int | None:
        """When the next call is due."""
        while self._heap and self._heap[0][2].callback is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def run(self, now_ns: int) -> None:
        """Call what is due. A timer added meanwhile waits for the next call of `run`."""
        ready: list[Timer] = []
        while self._heap and self._heap[0][0] <= now_ns:
            ready.append(heapq.heappop(self._heap)[2])
        for timer in ready:
            if timer.callback is not None:
                timer.callback()
