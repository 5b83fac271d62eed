"""A figure: what was measured, beside its floor of the same run, and the goal that it is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


def percentile(samples: Sequence[float], percent: float) -> float:
    """Nearest rank: a value that was measured, never one between two."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * percent // 100).__int__() - 1))]


@dataclass
class Figure:
    """`ratio`: p50 at most so many times the floor's; `p50`, `p95`, `p99`, `worst`: at most so much."""

    name: str
    unit: str
    samples: Sequence[float]
    floor: Sequence[float] = ()
    ratio: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    worst: float | None = None
    note: str = ""
    broken: list[str] = field(default_factory=list)
    """What went wrong apart from time: gaps, answers that never came."""

    def goals(self) -> list[tuple[str, float, float]]:
        """(in words, measured, at most)."""
        found = []
        if not self.samples:
            return []
        for name, percent in (("p50", 50), ("p95", 95), ("p99", 99), ("worst", 100)):
            if (limit := getattr(self, name)) is not None:
                found.append((f"{name} <= {limit:g} {self.unit}", percentile(self.samples, percent), limit))
        if self.ratio is not None and self.floor:
            limit = self.ratio * percentile(self.floor, 50)
            found.append((f"p50 <= {self.ratio:g} x floor", percentile(self.samples, 50), limit))
        return found

    @property
    def met(self) -> bool | None:
        """None without a goal."""
        if self.broken or not self.samples:
            return False
        goals = self.goals()
        return all(measured <= limit for _, measured, limit in goals) if goals else None

    def row(self) -> dict[str, Any]:
        """For JSON: the percentiles, not the thousands of samples."""
        return {
            "figure": self.name,
            "unit": self.unit,
            "n": len(self.samples),
            **_spread(self.samples),
            "floor": {"n": len(self.floor), **_spread(self.floor)} if self.floor else None,
            "goals": [{"goal": words, "measured": got, "limit": limit} for words, got, limit in self.goals()],
            "met": self.met,
            "note": self.note,
            "broken": self.broken,
        }


def _spread(samples: Sequence[float]) -> dict[str, float]:
    if not samples:
        return {}
    named = {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    return {name: round(percentile(samples, percent), 3) for name, percent in named.items()}
