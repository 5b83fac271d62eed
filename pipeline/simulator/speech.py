"""From text to sound: bundled recordings first, then an installed synthesiser, then tones.

The search is by sentence, so a fixed sentence keeps its natural voice beside one that only this moment could know
("I looked it up. shipped on Monday").
"""

import itertools
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.simulator.clips import RATE, Samples, clip, decode
from pipeline.simulator.synthesiser import Silent, program, synthesise
from pipeline.simulator.tones import tone_speech

PAUSE_MS = 220
"""Between two sentences."""

KEPT = 64
"""Rendered answers kept in memory; the oldest goes."""

_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class Word:
    """One word of a transcript with the white space before it, and the sample at which it begins."""

    text: str
    at: int


@dataclass(frozen=True)
class Speech:
    """Sound at 24 kHz mono, shape (n,), and when its words are said."""

    samples: Samples
    words: tuple[Word, ...]

    @property
    def seconds(self) -> float:
        """Length when played."""
        return self.samples.size / RATE


def joined(speeches: Sequence[Speech]) -> Speech:
    """One speech after the other, with a pause between."""
    pause = np.zeros(RATE * PAUSE_MS // 1000, np.int16)
    blocks: list[Samples] = []
    words: list[Word] = []
    for speech in speeches:
        if blocks:
            blocks.append(pause)
        at = sum(block.size for block in blocks)
        space = " " if words else ""
        words += (
            replace(word, text=space * (not place) + word.text, at=at + word.at)
            for place, word in enumerate(speech.words)
        )
        blocks.append(speech.samples)
    return Speech(np.concatenate(blocks) if blocks else np.empty(0, np.int16), tuple(words))


class Voice:
    """Says things. Blocking (a synthesiser takes 25 ms and may hang for seconds) and safe to call from many threads."""

    def __init__(self, language: str, complain: Callable[[str], None]) -> None:
        self.language = language
        self._complain = complain
        self._kept: OrderedDict[tuple[str, Path | None], Speech] = OrderedDict()
        self._lock = threading.Lock()

    def speak(self, text: str, wav: Path | None = None) -> Speech:
        """`text` as speech; with `wav` that file is the sound and `text` its transcript."""
        key = (text, wav)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        speech = self._recorded(text, wav) if wav else self._spoken(text)
        speech.samples.flags.writeable = False  # it is shared
        with self._lock:
            self._kept[key] = speech
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return speech

    def _recorded(self, text: str, wav: Path) -> Speech:
        try:
            samples = decode(wav)
        except (OSError, ValueError) as error:
            self._complain(f"{error}; its words are synthesised instead")
            return self._spoken(text)
        return Speech(samples, _spread(text, samples.size))

    def _spoken(self, text: str) -> Speech:
        parts: list[Speech] = []
        for known, group in itertools.groupby(
            _BETWEEN_SENTENCES.split(text.strip()), lambda part: clip(part) is not None
        ):
            for part in group if known else [" ".join(group)]:
                samples = clip(part)
                if samples is None:
                    samples = self._synthesised(part)
                parts.append(Speech(samples, _spread(part, samples.size)))
        return joined(parts)

    def _synthesised(self, text: str) -> Samples:
        path = program()
        if path is None:
            self._complain(
                "no espeak-ng is installed: text without a recording is said in tones (apt install espeak-ng)"
            )
            return tone_speech(text)
        try:
            return synthesise(path, text, self.language)
        except Silent as error:
            self._complain(f"{error}; said in tones instead")
            return tone_speech(text)


def _spread(text: str, samples: int) -> tuple[Word, ...]:
    """The words of `text` over `samples` of sound, each in proportion to its letters."""
    pieces = re.findall(r"\s*\S+", text)
    letters = sum(map(len, pieces)) or 1
    begun = itertools.accumulate(map(len, pieces), initial=0)
    return tuple(Word(piece, samples * before // letters) for piece, before in zip(pieces, begun, strict=False))
