"""Whether somebody is there at the other end of the line.

The kernel notices a peer that acknowledges nothing, and pings one that is silent for a minute; a service that takes
voice and answers nothing is found here. Slow pongs are no sign: they were seen on living connections.
"""

from __future__ import annotations

SILENT_S = 8.0
"""Nothing at all from the service for so long, though an answer is owed and all of the question was sent: the line is
dead. Sooner than the turn is given up, so that the question is asked again."""
_NS = 1_000_000_000


class Liveness:
    """Of one line after the other."""

    def __init__(self) -> None:
        self._since_ns: int | None = None
        self._blamed: int | None = None
        """The turn for which a line was already changed: two silent ones in a row mean that there is no answer."""

    def sign(self, now_ns: int) -> None:
        """The service said something, or the line is new."""
        self._since_ns = now_ns

    def dead(self, now_ns: int, owed: int | None) -> bool:
        """True once for each turn when its line is to be given up. `owed`: the turn whose answer is due, if any."""
        if owed is None or self._since_ns is None:
            self._since_ns = now_ns
            return False
        if owed == self._blamed or now_ns - self._since_ns < SILENT_S * _NS:
            return False
        self._blamed = owed
        return True
