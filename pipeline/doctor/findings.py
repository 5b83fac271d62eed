"""What a check found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Grade = Literal["ok", "warning", "bad", "skipped"]


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's."""

    what: str
    """`microphone`, `dns`, `clock`, …"""
    grade: Grade
    words: str
    """What was measured or seen."""
    remedy: str = ""
    """What to do; empty when nothing is."""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def worst(findings: list[Finding]) -> Grade:
    """`bad` if one is, else `warning`, else `ok`."""
    grades = {finding.grade for finding in findings}
    return "bad" if "bad" in grades else "warning" if "warning" in grades else "ok"
