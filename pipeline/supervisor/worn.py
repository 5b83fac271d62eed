"""A stage that dies of the same cause again and again, and how much of that is worth a line. Pure.

A broken card is tried again each two seconds for as long as it takes, which may be a weekend. What its stage says of
itself, and what is said of its deaths, is in the log in full for the first FULL of them; from then on the 4th, the 8th,
the 16th … death is a line with its count. `log.level: debug` shows everything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

FULL: Final = 3
STEADY_S: Final = 30.0
"""Whoever was live for so long has recovered; of what it dies next is news."""
_NUMBERS: Final = re.compile(r"[0-9]+")


@dataclass
class Series:
    """Deaths in a row of one cause."""

    times: int = 0
    cause: str = ""

    def death(self, cause: str, live_s: float) -> None:
        """It died, after `live_s` at work. Causes that differ in their numbers only are the same."""
        cause = _NUMBERS.sub("#", cause)
        again = cause == self.cause and live_s < STEADY_S
        self.times, self.cause = self.times + 1 if again else 1, cause

    @property
    def worn(self) -> bool:
        """What its next process says was read often enough."""
        return self.times >= FULL

    @property
    def counted(self) -> bool:
        """The death that was noted last is worth a line."""
        return self.times <= FULL or self.times & (self.times - 1) == 0

    def recovered(self, live_s: float) -> bool:
        """Whether a worn one has now proven itself, which is said once; what it does counts afresh."""
        if not self.worn or live_s < STEADY_S:
            return False
        self.times, self.cause = 0, ""
        return True
