"""What a stage's loop waits on: the descriptors of its sockets and its lifeline, in one system call."""

from __future__ import annotations

import os
import select
from collections.abc import Container, Iterable
from typing import TYPE_CHECKING

from pipeline import exits

if TYPE_CHECKING:
    from pipeline.stage.link import Link

MAX_WAIT_S = 0.5


class Waits:
    """One `poll` over all of them.

    A descriptor of libzmq announces once, and only a reader that empties the socket arms it again: `Link.turn` does.
    """

    def __init__(self, link: Link) -> None:
        self._link, self._lifeline = link, link.brief.lifeline
        self._poll = select.poll()
        if self._lifeline is not None:
            self._poll.register(self._lifeline, select.POLLIN)
        self.add(link.descriptors())

    def add(self, descriptors: Iterable[int]) -> None:
        """Wait on these too."""
        for descriptor in descriptors:
            self._poll.register(descriptor, select.POLLIN)

    def wait(self, seconds: float | None) -> Container[int]:
        """Wait until something arrives, `seconds` at most; the descriptors that have something.

        The lifeline's end ends the process here and now.
        """
        wait_s = MAX_WAIT_S if seconds is None else min(seconds, MAX_WAIT_S)
        announced = self._link.announced()
        wait_ms = 0 if announced else max(0, -(-int(wait_s * 1e6) // 1000))
        ready = [descriptor for descriptor, _ in self._poll.poll(wait_ms)]
        if self._lifeline in ready:
            os._exit(exits.CRASH)
        return announced + ready
