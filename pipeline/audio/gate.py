"""When the microphone must not be heard: while the machine itself talks, and while it is muted. Pure.

Half duplex: without echo cancellation whatever the speaker says comes back through the microphone, and the machine
would answer itself.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

_MS = 1_000_000
UNFINISHED_NS = 1_000 * _MS
"""On a machine without time for its sound `played` came so late that the machine heard itself through the gap."""

Why = Literal["", "talking", "muted"]


class Gate:
    """Judges blocks of the microphone by their own time, so that late and replayed blocks are judged alike."""

    KEEP = 64
    """Stretches of talk that are remembered: a replayed block is seconds old, not minutes."""

    def __init__(self, tail_ms: int = 300) -> None:
        self._tail_ns = tail_ms * _MS
        self._talk: deque[tuple[int, int]] = deque(maxlen=self.KEEP)  # (begin, end) in ns, tail not included
        self.muted = False
        self.unfinished = False
        """The speaker has more in hand than it has sounded: what it says next may be told late, so wait for it."""

    def played(self, t: int, duration_ns: int) -> None:
        """The speaker was or is sounding from `t` on. A first sound of unknown length is `duration_ns` 0."""
        begin, end = t, t + duration_ns
        if self._talk:
            last_begin, last_end = self._talk[-1]
            if begin <= last_end + self._tail_ns and end >= last_begin:
                self._talk[-1] = (min(begin, last_begin), max(end, last_end))
                return
        self._talk.append((begin, end))

    def closed(self, t: int, duration_ns: int) -> Why:
        """Why the block of the microphone from `t` on must not be heard; `""`: it may be."""
        if self.muted:
            return "muted"
        end = t + duration_ns
        tail_ns = max(self._tail_ns, UNFINISHED_NS) if self.unfinished else self._tail_ns
        for talk_begin, talk_end in reversed(self._talk):
            if t < talk_end + tail_ns and end > talk_begin:
                return "talking"
            tail_ns = self._tail_ns  # only the newest stretch goes on
        return ""
