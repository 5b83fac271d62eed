"""When the machine itself sounds, told by playback: a little late, and sometimes not to the end. Pure."""

from __future__ import annotations

from collections import deque

GONE_NS = 500_000_000
"""A speaker that has more to say and has not been heard of for so long is dead: nobody waits for it any longer."""
JOIN_NS = 300_000_000
"""Sounds with less silence between them are one stretch of talk."""
KEPT = 16
"""Stretches remembered: a block that comes again is seconds old."""

_NS = 1_000_000_000


class Talk:
    """The newest stretches in which the speaker sounded."""

    def __init__(self) -> None:
        self.unfinished = False
        """The speaker has more in hand than it has sounded."""
        self._stretches: deque[tuple[int, int]] = deque([(-(1 << 62), -(1 << 62))], maxlen=KEPT)

    @property
    def end_ns(self) -> int:
        """When the newest sound of the speaker ended, as far as is known."""
        return self._stretches[-1][1]

    def sounding(self, t: int) -> None:
        """The speaker begins to sound at `t` ns; how long is not known yet."""
        self.unfinished = True
        self._add(t, t)

    def played(self, t: int, count: int, rate: int) -> None:
        """`count` samples left the speaker from `t` on."""
        self._add(t, t + count * _NS // rate)

    def _add(self, begin: int, end: int) -> None:
        last_begin, last_end = self._stretches[-1]
        if begin <= last_end + JOIN_NS:
            self._stretches[-1] = (min(begin, last_begin) if end >= last_begin else last_begin, max(end, last_end))
        else:
            self._stretches.append((begin, end))

    def coming(self, t: int) -> bool:
        """Whether news of what sounds at `t` is still to come."""
        return self.unfinished and t < self.end_ns + GONE_NS

    def at(self, t: int) -> bool:
        """Whether the machine sounds at `t`."""
        if t >= self.end_ns:
            return self.coming(t)
        return any(begin <= t < end for begin, end in reversed(self._stretches))
