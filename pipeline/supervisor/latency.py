"""From the end of speech to the first sample at the speaker, turn by turn, the service's time apart from ours. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

KEPT: Final = 500
"""Turns that the percentiles are of."""
LATEST_NS: Final = 10_000_000_000
"""An answer that is not audible so long after its first byte was silenced before."""
ROUNDING: Final = 240
"""Samples of 24 kHz by which two stages may disagree about a place."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer's way. ms."""

    turn: int
    service_ms: float
    """End of speech to the first audio byte: network, service, and the silence by which it knows the end."""
    playback_ms: float
    """First byte to first audible sample."""
    uplink_ms: float
    """Microphone to service; part of what the service seems to take."""

    @property
    def ours_ms(self) -> float:
        """What this machine adds."""
        return self.playback_ms + self.uplink_ms

    def body(self) -> dict[str, Any]:
        """For `event.latency`."""
        return {
            "turn": self.turn,
            "total_ms": round(self.service_ms + self.playback_ms),
            "service_ms": round(self.service_ms - self.uplink_ms),
            "ours_ms": round(self.ours_ms),
            "uplink_ms": round(self.uplink_ms, 1),
            "playback_ms": round(self.playback_ms, 1),
        }


class Latency:
    """Puts a turn's events together. `budget_ms`: what our part may take before it is worth a warning."""

    def __init__(self, budget_ms: float = 300.0) -> None:
        self._budget_ms = budget_ms
        self._first: tuple[int, int, float] | None = None
        self._first_place: tuple[int, int] = (0, 0)
        self._audible: tuple[int, tuple[int, int]] | None = None
        self._hops_ms: dict[str, float] = {}
        self.turns: deque[Turn] = deque(maxlen=KEPT)

    def hop(self, name: str, late_ms: float) -> None:
        """How late blocks came at a stage on the way up, ms from their last sample."""
        self._hops_ms[name] = late_ms

    def event(self, name: str, body: Mapping[str, Any], sent_ns: int) -> Turn | None:
        """An event of a stage, sent at `sent_ns`. A turn, once its answer is audible.

        The two that it is made of come from two stages, in either order, and speak of one place: what is audible
        after a pause in an answer is no turn's first sound.
        """
        place = (body.get("epoch"), body.get("at"))
        match name, place:
            case "first_audio", (int(epoch), int(at)):
                since_ms, turn = body.get("since_speech_end_ms"), body.get("turn")
                known = isinstance(since_ms, int | float) and isinstance(turn, int)
                self._first = (turn, sent_ns, float(since_ms)) if known else None  # type: ignore[arg-type,assignment]
                self._first_place = (epoch, at)
            case "audible", (int(epoch), int(at)) if isinstance(t := body.get("t"), int):
                self._audible = (t, (epoch, at))
        if self._first is None or self._audible is None:
            return None
        (turn, first_ns, since_ms), (t, (epoch, at)) = self._first, self._audible
        if epoch != self._first_place[0] or abs(at - self._first_place[1]) > ROUNDING:
            return None
        self._first = self._audible = None
        if abs(t - first_ns) >= LATEST_NS:
            return None
        done = Turn(turn, since_ms, max(0.0, (t - first_ns) / 1e6), sum(self._hops_ms.values()))
        self.turns.append(done)
        return done

    def over(self, turn: Turn) -> str:
        """The part to look at, if ours took more than its budget; else nothing."""
        if turn.ours_ms <= self._budget_ms:
            return ""
        part = "playback" if turn.playback_ms >= turn.uplink_ms else max(self._hops_ms, key=self._hops_ms.__getitem__)
        return f"{part} took most of the {turn.ours_ms:.0f} ms that this machine added (budget {self._budget_ms:g} ms)"

    def percentiles(self) -> dict[str, Any]:
        """p50 and p95 over the run, ms; {} before the first turn."""
        if not self.turns:
            return {}
        parts = {
            "total_ms": [turn.service_ms + turn.playback_ms for turn in self.turns],
            "service_ms": [turn.service_ms - turn.uplink_ms for turn in self.turns],
            "ours_ms": [turn.ours_ms for turn in self.turns],
        }
        return {"turns": len(self.turns)} | {
            name: {"p50": round(percentile(values, 50)), "p95": round(percentile(values, 95))}
            for name, values in parts.items()
        }


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of at least one value."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * int(percent) // 100) - 1)]
