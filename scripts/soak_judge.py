"""What the soak makes of what was asked and what sounded. Pure: times are monotonic s, sound is arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scripts.soak_faults import Fault
from scripts.soak_world import RATE, Recording, Samples, Stretch

AFTERMATH_S = 5.0
"""An answer that begins so soon after a fault was mended may still show it."""
PIECE_S = 0.2
ALIKE = 0.9
"""Correlation from which a piece of speech counts as arrived: it is 1.0 for the same samples, 0.6 for other speech."""
SEAM_S = 0.025
"""What cannot be told from a seam between two places where the sound went on."""
VOICED = 1500
"""Amplitude below which a piece is a pause."""
TRAVEL_S = 0.2
"""What is said is at the microphone so much later."""
HEARABLE_S = 0.8
"""A question of which less was delivered by the microphone could be answered by nobody."""


@dataclass
class Question:
    """One question of the visitor."""

    number: int
    said: Recording
    began: float
    unheard_s: float = 0.0
    """For so long no sound server took what was said."""
    answer: float | None = None
    """When the first sound came after it."""
    sounded_s: float = 0.0
    """How long the answer sounded."""
    captured_s: float = 0.0
    """How much of the voice the microphone's stage delivered."""
    lost_s: float = 0.0
    """How much of what was delivered never arrived at the service."""
    gated_s: float = 0.0
    """How much of it the frontend kept back, because the machine spoke."""
    never_captured_s: float = 0.0
    lost_at: list[float] = field(default_factory=list)
    """Where in the sentence that was, s."""

    @property
    def starts(self) -> float:
        """The first sound of the voice."""
        return self.began + self.said.begin_s

    @property
    def ends(self) -> float:
        """The last sound of the voice."""
        return self.began + self.said.end_s

    @property
    def could_be_heard(self) -> bool:
        """Enough of it was delivered by the microphone."""
        return self.captured_s >= HEARABLE_S


@dataclass
class Verdict:
    """All figures."""

    questions: list[Question]
    faults: list[Fault]
    undisturbed: list[float] = field(default_factory=list)
    disturbed: list[float] = field(default_factory=list)
    """Delays, s."""

    @property
    def asked(self) -> list[Question]:
        """Those that count."""
        return [question for question in self.questions if question.could_be_heard]

    @property
    def unanswered(self) -> list[Question]:
        """Those that count and stayed without an answer."""
        return [question for question in self.asked if question.answer is None]


def covered_s(begin: float, end: float, stretches: Sequence[Stretch]) -> float:
    """How much of [begin, end] lies in the stretches."""
    return sum(max(0.0, min(end, each.end) - max(begin, each.begin)) for each in stretches)


def judge(questions: list[Question], faults: list[Fault]) -> Verdict:
    """Delays from the question's end, or from where the world was whole again if that is later."""
    verdict = Verdict(questions, faults)
    for question in questions:
        if question.answer is None or not question.could_be_heard:
            continue
        near = [
            fault
            for fault in faults
            if fault.at < question.answer and (fault.mended or question.answer) > question.starts - AFTERMATH_S
        ]
        whole = max((fault.mended or 0.0 for fault in near), default=0.0)
        whole = min(whole, question.answer)
        delay = question.answer - max(question.ends, whole)
        (verdict.disturbed if near else verdict.undisturbed).append(delay)
    return verdict


def percentile(values: Sequence[float], percent: float) -> float | None:
    """None of nothing."""
    return round(float(np.percentile(values, percent)), 3) if values else None


def figures(verdict: Verdict) -> dict[str, Any]:
    """For the table and the JSON."""
    asked, usual = verdict.asked, percentile(verdict.undisturbed, 50)
    added = [max(0.0, delay - usual) for delay in verdict.disturbed] if usual is not None else []
    clean = [fault for fault in verdict.faults if fault.changes]
    return {
        "asked": len(asked),
        "answered": len(asked) - len(verdict.unanswered),
        "answered_rate": round(1 - len(verdict.unanswered) / len(asked), 4) if asked else 0.0,
        "said_into_a_dead_microphone": len(verdict.questions) - len(asked),
        "undisturbed": len(verdict.undisturbed),
        "disturbed": len(verdict.disturbed),
        "delay_p50_s": usual,
        "delay_p95_s": percentile(verdict.undisturbed, 95),
        "delay_disturbed_p50_s": percentile(verdict.disturbed, 50),
        "delay_disturbed_p95_s": percentile(verdict.disturbed, 95),
        "added_by_a_fault_p50_s": percentile(added, 50),
        "added_by_a_fault_p95_s": percentile(added, 95),
        "speech_lost_ms": round(1000 * sum(question.lost_s for question in asked)),
        "speech_gated_ms": round(1000 * sum(question.gated_s for question in asked)),
        "speech_never_captured_ms": round(1000 * sum(question.never_captured_s for question in verdict.questions)),
        "faults": len(verdict.faults),
        "faults_with_one_down_and_one_up": sum(all(c == (1, 1) for c in fault.changes.values()) for fault in clean),
        "faults_that_should": len(clean),
    }


def pieces_lost(
    question: Question, arrived: Sequence[Samples], mic: Sequence[Stretch], voice: Sequence[Stretch] = ()
) -> None:
    """Sets what of the question was never captured, and what was captured and never arrived at the service.

    `voice`: what the frontend made of the microphone. Where it cancels an echo, the service is given other samples than
    the microphone's: there it is that which must have arrived.
    """
    size = int(PIECE_S * RATE)
    spectra = [_Searched(sound) for sound in arrived if sound.size >= size]
    missing_s = question.ends - question.starts - question.captured_s
    question.never_captured_s = missing_s if missing_s > PIECE_S / 4 else 0.0
    for stretch in mic:
        sound = stretch.between(question.starts, question.ends + TRAVEL_S)
        for begin in range(0, sound.size - size, size):
            piece = sound[begin : begin + size].astype(np.float64)
            if np.abs(piece).max() < VOICED:
                continue
            at = max(stretch.begin, question.starts) + begin / RATE
            lost = _lost_s(piece, spectra)
            made = [part for part in (each.between(at, at + PIECE_S) for each in voice) if part.size >= SEAM_S * RATE]
            if lost and made:
                question.gated_s += sum(part.size for part in made if not part.any()) / RATE
                lost = sum(_lost_s(part.astype(np.float64), spectra) for part in made if part.any())
            if lost:
                question.lost_s += lost
                question.lost_at.append(round(at - question.began, 2))


def _lost_s(piece: np.ndarray[Any, np.dtype[np.float64]], spectra: Sequence[_Searched]) -> float:
    """How much of a piece is in none of them. Its halves are looked for apart: between them may lie the seam where a
    resampler caught up with the clock, or where one connection ended and the next one went on."""
    if max((searched.likeness(piece) for searched in spectra), default=0.0) >= ALIKE:
        return 0.0
    if piece.size <= SEAM_S * RATE:
        return piece.size / RATE
    half = piece.size // 2
    halves = sum(_lost_s(part, spectra) for part in (piece[:half], piece[half:]))
    return halves if halves > SEAM_S else 0.0


class _Searched:
    """Sound in which many short pieces are looked for."""

    def __init__(self, sound: Samples) -> None:
        values = sound.astype(np.float64)
        self._size = 1 << (values.size + int(PIECE_S * RATE)).bit_length()
        self._spectrum = np.fft.rfft(values, self._size)
        self._squares = np.concatenate([[0.0], np.cumsum(values**2)])

    def likeness(self, piece: np.ndarray[Any, np.dtype[np.float64]]) -> float:
        """Highest normalised correlation with any stretch."""
        if not piece.any():
            return 1.0  # silence of a device that came and went: nothing is lost of it
        count = self._squares.size - piece.size
        matched = np.fft.irfft(self._spectrum * np.conj(np.fft.rfft(piece, self._size)), self._size)[:count]
        energy = self._squares[piece.size :] - self._squares[: -piece.size]
        norm = np.sqrt(np.maximum(energy[: matched.size], 1.0)) * np.linalg.norm(piece)
        return float((matched[: energy.size] / norm).max())
