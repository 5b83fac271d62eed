"""A wake word, heard on this machine: the paid line need not listen for it. `pip install voice-pipeline[wake]`.

Of the four models in the package `okay_nabu` and `alexa` are heard best; "hey_jarvis" misses half of the voices. They
take 2 % of a core, so they run only where a word is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.audio.pcm import Samples, to_bytes

if TYPE_CHECKING:
    from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures

WORDS = ("okay_nabu", "alexa", "hey_mycroft", "hey_jarvis")
STEP = 320
"""Bytes of 10 ms at 16 kHz."""
AGAIN_NS = 2_000_000_000
"""One word is heard in several steps; it counts once."""


class Wake:
    """16 kHz mono in, the moments of the word out."""

    def __init__(self, word: str) -> None:
        """ValueError for a word without a model. `load` before the first `push`."""
        if word not in WORDS:
            raise ValueError(f"wake_word: expected {', '.join(WORDS)}, not {word!r}")
        self._word = word
        self._rest = b""
        self._model: MicroWakeWord | None = None
        self._features: MicroWakeWordFeatures | None = None
        self._heard_ns: int | None = None

    def load(self) -> None:
        """ModuleNotFoundError without the package."""
        from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model

        self._model = MicroWakeWord.from_builtin(Model(self._word))
        self._features = MicroWakeWordFeatures()

    def push(self, t: int, samples: Samples) -> bool:
        """A block from `t` ns on; whether the word was heard with it."""
        assert self._model is not None, "load() comes before push()"
        assert self._features is not None
        self._rest += to_bytes(samples)
        heard = False
        while len(self._rest) >= STEP:
            step, self._rest = self._rest[:STEP], self._rest[STEP:]
            for features in self._features.process_streaming(step):
                heard = bool(self._model.process_streaming(features)) or heard
        if not heard or (self._heard_ns is not None and t - self._heard_ns < AGAIN_NS):
            return False
        self._heard_ns = t
        return True
