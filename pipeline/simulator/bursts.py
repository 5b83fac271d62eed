"""A service that hears what comes faster than real time only once it is told that the stream has ended."""

from pipeline.simulator.vad import Edge

ALLOWED_S = 0.5
"""Of audio ahead of real time that is still no burst."""


class Bursts:
    """Holds the edges of speech of a burst back, until `audioStreamEnd` lets them count or live audio drops them."""

    def __init__(self) -> None:
        self.over = False
        """The last audio ended a burst that nobody hears any more."""
        self._held: list[Edge] = []
        self._ahead_s = 0.0
        self._last_ns: int | None = None

    def hear(self, edges: list[Edge], seconds: float, now_ns: int) -> list[Edge]:
        """Of the edges found in `seconds` of audio, those that count now."""
        gone_s = seconds if self._last_ns is None else (now_ns - self._last_ns) / 1e9
        self._last_ns = now_ns
        self._ahead_s = max(0.0, self._ahead_s - gone_s) + seconds
        self.over = False
        if gone_s < seconds / 2 and self._ahead_s > ALLOWED_S:
            self._held += edges
            return []
        if self._ahead_s > ALLOWED_S:  # live again behind a burst
            self._ahead_s = 0.0
            self.over = True
            self._held.clear()
            return []
        return edges

    def end(self) -> list[Edge]:
        """The stream ended: all that was held counts."""
        held, self._held = self._held, []
        self._ahead_s = 0.0
        self._last_ns = None
        return held
