"""Whether a speaker is awake. Amplifiers and converters that close their output in silence swallow the first syllable
after it, so after a long silence something that nobody hears goes ahead of the first sound. Pure.
"""

from __future__ import annotations

_NS = 1_000_000_000


class Warmth:
    """Awake for SLEEPS_NS after each sound, and from `preroll_ms` after it was roused.

    Roused by the first sign that something will be said (a person speaks, a turn begins), it is awake long before the
    answer comes, and nothing is waited for.
    """

    SLEEPS_NS = 10 * _NS
    ROUSED_NS = 15 * _NS
    """So long it is kept awake for an answer that does not come."""

    def __init__(self, preroll_ms: int, *, awake_ns: int | None) -> None:
        """`awake_ns`: it sounded then; None: nobody knows."""
        self._preroll_ns = preroll_ms * 1_000_000
        self._sounded_ns = awake_ns
        self._roused_ns: int | None = None

    def sounded(self, now_ns: int) -> None:
        """Something is being said."""
        self._sounded_ns, self._roused_ns = now_ns, None

    def rouse(self, now_ns: int) -> None:
        """Something will soon be said."""
        if not self._warm(now_ns) and not self.rousing(now_ns):
            self._roused_ns = now_ns

    def rousing(self, now_ns: int) -> bool:
        """Whether it must be given something that nobody hears."""
        return self._roused_ns is not None and now_ns - self._roused_ns < self.ROUSED_NS

    def wait_ns(self, now_ns: int) -> int:
        """ns until a first sound is heard whole; 0: now. Rouses it."""
        if self._warm(now_ns):
            return 0
        self.rouse(now_ns)
        assert self._roused_ns is not None
        return max(0, self._roused_ns + self._preroll_ns - now_ns)

    def asleep(self, now_ns: int) -> bool:
        """Whether nothing has sounded for long, and nothing is expected."""
        return not self._recent(now_ns) and not self.rousing(now_ns)

    def _warm(self, now_ns: int) -> bool:
        return self._preroll_ns == 0 or self._recent(now_ns)

    def _recent(self, now_ns: int) -> bool:
        return self._sounded_ns is not None and now_ns - self._sounded_ns < self.SLEEPS_NS
