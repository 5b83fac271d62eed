"""How long to wait before the next attempt: longer each time, spread by chance, for ever."""

from __future__ import annotations

from collections.abc import Callable

FIRST_S = 0.1
FACTOR = 2.0
SPREAD = 0.2
"""Part of the wait that chance may add or take: a thousand kiosks must not come back in one moment."""
STEADY_S = 10.0
"""A connection that lived so long was good: the next failure starts from the shortest wait. Without it, a service that
accepts and closes would be dialled in a hot loop."""


class Backoff:
    """Exponential backoff with jitter. `random` gives numbers in [0, 1)."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self.attempts = 0
        """Failures in a row."""

    def next_s(self, cap_s: float) -> float:
        """Seconds to wait after one more failure: FIRST_S doubled each time, at most `cap_s`, both +-20 %."""
        # The exponent is bounded: after days of outage 2**attempts would no longer be a float.
        wait_s = min(cap_s, FIRST_S * FACTOR ** min(self.attempts, 32))
        self.attempts += 1
        return wait_s * (1 + SPREAD * (2 * self._random() - 1))

    def worked(self, lived_s: float, answered: bool) -> None:
        """A connection ended that was set up: forget the failures if it was of use, so the next attempt is at once."""
        if answered or lived_s >= STEADY_S:
            self.attempts = 0
