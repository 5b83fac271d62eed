"""One person's stay: when it begins and ends, and whether the greeting was said in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pipeline.config.kinds import Range
from pipeline.live.memory import Memory

_NS = 1_000_000_000


def days_of(retention: str) -> int | None:
    """`visit` as 0, `30d` as 30, `forever` as None. Raises ValueError for anything else."""
    if retention in ("visit", "forever"):
        return 0 if retention == "visit" else None
    if match := re.fullmatch(r"([1-9]\d{0,3})d", retention):
        return int(match.group(1))
    raise ValueError(f"retention: got '{retention}', expected visit, forever, or a number of days such as 30d")


@dataclass(frozen=True)
class VisitOptions:
    """One person's stay."""

    ends_after_s: Annotated[float, Range(1, 86_400)] = 60.0
    """Without speech and playback for so long, the visitor has left: the next one is told nothing of what was said."""
    retention: str = "visit"
    """How long the words of a visit stay on disk: visit, forever, or a number of days such as 30d."""

    def __post_init__(self) -> None:
        """Raises ValueError for a retention that says nothing."""
        days_of(self.retention)


class Visit:
    """The visit that `memory` keeps. It survives the session; it never outlives its visitor."""

    def __init__(self, memory: Memory, greeting: str, ends_after_s: float) -> None:
        self._memory, self._greeting, self._ends_after_s = memory, greeting, ends_after_s

    @property
    def id(self) -> int | None:
        """None while nobody is here."""
        return self._memory.visit

    def begin(self, now_ns: int) -> bool:
        """Somebody is here. True if that begins a visit."""
        self._memory.active_ns = now_ns
        if self._memory.visit is not None:
            return False
        self._memory.visit = self._memory.next_visit
        self._memory.next_visit += 1
        return True

    def active(self, now_ns: int) -> None:
        """Somebody spoke or listened."""
        if self._memory.visit is not None:
            self._memory.active_ns = now_ns

    def is_over(self, now_ns: int) -> bool:
        """Neither speech nor playback for so long that the visitor must have left."""
        if self._memory.visit is None:
            return False
        active_ns = self._memory.active_ns
        return active_ns is None or now_ns - active_ns > self._ends_after_s * _NS

    def want_greeting(self) -> bool:
        """Ask for a greeting of its own. True if one is to be said."""
        if not self._greeting or self._memory.greeting != "none":
            return False
        self._memory.greeting = "due"
        return True

    @property
    def greeting_in_context(self) -> str:
        """What the first answer shall begin with; empty once it was said, or is a turn of its own."""
        return self._greeting if self._memory.greeting == "none" else ""

    def answer_begins(self) -> None:
        """An answer begins, and the greeting with it."""
        self._memory.greeting = "said"
