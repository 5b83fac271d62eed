"""One writer at two addresses: in the run directory for this machine, over tcp for others."""

from __future__ import annotations

import select
from collections.abc import Sequence

from pipeline.bus import ends


class Doors:
    """As `ends.Writes`, for both at once."""

    def __init__(self, context: ends.Context, endpoints: Sequence[str], high_water: int) -> None:
        self._lines = [(ends.publisher(context, endpoint, high_water), endpoint) for endpoint in endpoints]
        self._epoll = select.epoll()
        for line, _ in self._lines:
            self._epoll.register(line.fileno, select.EPOLLIN)
        self.fileno = self._epoll.fileno()

    @property
    def due_ns(self) -> int | None:
        """The sooner one."""
        return min((line.due_ns for line, _ in self._lines if line.due_ns is not None), default=None)

    @property
    def waits(self) -> bool:
        """At either."""
        return any([line.waits for line, _ in self._lines])  # all are asked: asking arms a descriptor again

    def bind(self, path: str) -> None:
        """`path` is that of the first; each has its own."""
        for line, endpoint in self._lines:
            line.bind(ends.path_of(endpoint) or endpoint)

    def take(self) -> bytes | None:
        """The next subscription at either."""
        for line, _ in self._lines:
            if (frame := line.take()) is not None:
                return frame
        return None

    def send(self, parts: Sequence[bytes]) -> None:
        """To the readers of both."""
        for line, _ in self._lines:
            line.send(parts)

    def close(self, linger_s: float = 0.2) -> None:
        """Give both back."""
        for line, _ in self._lines:
            line.close(linger_s)
        self._epoll.close()
