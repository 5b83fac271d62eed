"""What sounded at the speaker beside the answer that was to sound: which of its samples, when, in which order."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.resample import Resampler
from tests.rig.ear import RATE

Sound = NDArray[np.int16]

BLOCK = 240
"""Frames (5 ms) by which a place in the answer is looked for."""
AUDIBLE = 200
"""A block that is quieter all through says nothing of its place."""
EXACT = 8
"""Of 32768: what a server's way from 16 bit to its own and back leaves."""


@dataclass(frozen=True)
class Stretch:
    """`size` frames of what was heard, from `begin` on, are those of the answer from `at` on."""

    begin: int
    at: int
    size: int

    @property
    def end(self) -> int:
        """Of the answer, the frame after the last one."""
        return self.at + self.size


@dataclass(frozen=True)
class Compared:
    """An answer and what was heard of it, 48 kHz. All but `stretches` in ms."""

    stretches: list[Stretch]
    """In the order in which they were heard."""
    lost: float
    """Audible, of the answer, and never heard."""
    strange: float
    """Audible, and not of the answer."""

    @property
    def steps(self) -> list[float]:
        """From each stretch to the next one: so much was said again (< 0) or left out."""
        return [(after.at - before.end) * 1000 / RATE for before, after in pairwise(self.stretches)]


def at_the_speaker(answer: Sound, rate: int) -> Sound:
    """An answer as it is to sound at full volume, 48 kHz."""
    up = Resampler(rate, RATE)
    return np.concatenate((up.convert(answer), up.drain()))


def compare(answer: Sound, heard: Sound) -> Compared:
    """Both 48 kHz."""
    found, here, places = list[Stretch](), 0, Places(answer)
    while here + BLOCK <= heard.size:
        block = heard[here : here + BLOCK]
        at = places.of(block) if _audible(block).any() else None
        if at is None:
            here += BLOCK // 2
            continue
        stretch = _grown(answer, heard, here, at, found[-1].begin + found[-1].size if found else 0)
        found.append(stretch)
        here = stretch.begin + stretch.size
    lost, strange = _audible(answer), _audible(heard)
    for stretch in found:
        lost[stretch.at : stretch.end] = False
        strange[stretch.begin : stretch.begin + stretch.size] = False
    return Compared(found, int(lost.sum()) * 1000 / RATE, int(strange.sum()) * 1000 / RATE)


class Places:
    """Finds blocks in an answer."""

    def __init__(self, answer: Sound) -> None:
        self._answer = answer
        self._size = 1 << (answer.size + BLOCK - 1).bit_length()
        self._spectrum = np.fft.rfft(answer.astype(float), self._size)
        energy = np.concatenate(([0.0], np.cumsum(answer.astype(float) ** 2)))
        self._loudness = np.sqrt(energy[BLOCK:] - energy[:-BLOCK]) + BLOCK

    def of(self, block: Sound) -> int | None:
        """Where in the answer these very samples are."""
        like = np.fft.irfft(self._spectrum * np.conj(np.fft.rfft(block.astype(float), self._size)), self._size)
        at = int(np.argmax(like[: self._loudness.size] / self._loudness))
        return at if _alike(self._answer[at : at + BLOCK], block).all() else None


def _audible(sound: Sound) -> NDArray[np.bool_]:
    return np.asarray(np.abs(sound.astype(int)) > AUDIBLE)


def _alike(a: Sound, b: Sound) -> NDArray[np.bool_]:
    return np.asarray(np.abs(a.astype(int) - b.astype(int)) <= EXACT)


def _grown(answer: Sound, heard: Sound, here: int, at: int, after: int) -> Stretch:
    """The stretch around a place, as far as it goes, but not before frame `after` of what was heard."""
    back = min(here - after, at)
    other = np.flatnonzero(~_alike(answer[at - back : at], heard[here - back : here]))
    before = back - 1 - int(other[-1]) if other.size else back
    size = min(answer.size - at, heard.size - here)
    other = np.flatnonzero(~_alike(answer[at : at + size], heard[here : here + size]))
    return Stretch(here - before, at - before, before + (int(other[0]) if other.size else size))
