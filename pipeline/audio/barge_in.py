"""Does somebody speak over the machine, or was it a cough? Pure; time comes with each hop.

At the first sign the reply is ducked, which costs nothing if it was nothing. Then speech has `decide_ms` to show
itself: enough of it confirms, and the reply is cut; too little restores the volume, and no word of the reply is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CUT_NS = 1_000_000_000
"""A machine that still talks so long after a confirmed barge-in was not cut, and may be spoken over again."""

_MS = 1_000_000


@dataclass(frozen=True)
class BargeInOptions:
    """Speaking over the machine; the table `barge_in:` of frontend."""

    duck_db: float = -12.0
    """By how much the reply is lowered while it is being decided."""
    decide_ms: int = 300
    """How long a sound has to prove that it is speech."""
    confirm_ms: int = 72
    """Certain speech that proves it, within `decide_ms`."""
    probability: float = 0.65
    """From which a hop counts, by how far it is beyond: a certain one counts in full, and one that is half way to
    certainty half. Two certain hops are speech sooner than five doubtful ones, and a cough is hardly ever certain."""
    fade_ms: int = 5
    """Of the reply, down and up: no click (-93 dB beside a tone), and 4 ms sooner ducked than with 10."""

    def __post_init__(self) -> None:
        if self.duck_db > 0:
            raise ValueError(f"barge_in.duck_db: expected 0 or less, not {self.duck_db}")
        if not 0 < self.confirm_ms <= self.decide_ms:
            raise ValueError(
                f"barge_in: expected 0 < confirm_ms <= decide_ms, not {self.confirm_ms} and {self.decide_ms}"
            )
        if not 0.0 < self.probability < 1.0:
            raise ValueError(f"barge_in.probability: expected a number between 0 and 1, not {self.probability}")
        if self.fade_ms < 0:
            raise ValueError(f"barge_in.fade_ms: expected 0 or more, not {self.fade_ms}")


@dataclass(frozen=True)
class Duck:
    """Lower the reply, or give it its volume back."""

    on: bool


@dataclass(frozen=True)
class Verdict:
    """`t`: where the sound began, ns. `reason`: what decided, in numbers."""

    t: int
    verdict: Literal["confirmed", "restored"]
    reason: str


Decision = Duck | Verdict


class BargeIn:
    """Hops in order, decisions out. Each `Duck(True)` is followed by one verdict and one `Duck(False)`: of a confirmed
    one when the machine has fallen silent, for the next answer."""

    def __init__(self, options: BargeInOptions) -> None:
        self.options = options
        self._begun_t: int | None = None  # of the trial under way
        self._speech_ns = 0
        self._cut_t: int | None = None  # when it was confirmed, until the machine has fallen silent

    @property
    def on_trial(self) -> bool:
        return self._begun_t is not None

    def push(self, t: int, duration_ns: int, probability: float, *, speech: bool, talking: bool) -> list[Decision]:
        """One hop from `t` on. `speech`: it opens or belongs to an utterance, and is speech by itself; `talking`: the
        machine sounds meanwhile."""
        if self._cut_t is not None:
            if talking and t - self._cut_t < CUT_NS:
                return []  # what still sounds is the tail of what was cut
            self._cut_t = None
            return [Duck(False)]
        if self._begun_t is None:
            if not talking or not speech:
                return []
            self._begun_t, self._speech_ns = t, 0
            return [Duck(True), *self._judge(t, duration_ns, probability, talking)]
        return self._judge(t, duration_ns, probability, talking)

    def cancel(self, why: str) -> list[Decision]:
        """The sound cannot be judged to its end: muted, or the microphone's time jumped."""
        return self._restore(why) if self._begun_t is not None else []

    def _judge(self, t: int, duration_ns: int, probability: float, talking: bool) -> list[Decision]:
        assert self._begun_t is not None
        least = self.options.probability
        self._speech_ns += round(duration_ns * max(0.0, probability - least) / (1 - least))
        after_ms, speech_ms = (t + duration_ns - self._begun_t) // _MS, self._speech_ns // _MS
        if speech_ms >= self.options.confirm_ms:
            begun, self._begun_t, self._cut_t = self._begun_t, None, t
            return [Verdict(begun, "confirmed", f"{speech_ms} ms of speech within {after_ms} ms")]
        if after_ms >= self.options.decide_ms:
            return self._restore(f"{speech_ms} ms of speech within {after_ms} ms, {self.options.confirm_ms} are needed")
        if not talking:
            return self._restore("the machine had finished")
        return []

    def _restore(self, reason: str) -> list[Decision]:
        assert self._begun_t is not None
        begun, self._begun_t = self._begun_t, None
        return [Duck(False), Verdict(begun, "restored", reason)]
