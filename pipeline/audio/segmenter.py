"""From probabilities to utterances: when speech began, when it ended. Pure: time comes with each probability."""

from __future__ import annotations

from dataclasses import dataclass

_MS = 1_000_000


@dataclass(frozen=True)
class VadOptions:
    """How speech is told from the rest; the table `vad:` of frontend."""

    use: str = "silero"
    """silero, or the `module:Class` of a detector of your own, derived from `pipeline.audio.vad.Vad`."""
    start: float = 0.35
    """Probability from which a hop counts as speech. 10 dB over babble and music 0.5 is 100 ms later in one of 20
    beginnings; that 0.35 takes a crowd for speech is what `above_noise_db` is for."""
    stop: float = 0.3
    """Probability below which a hop of an open utterance counts as silence; between the two it goes on."""
    hangover_ms: int = 320
    """Silence that ends an utterance. Shorter cuts people off between words, longer makes the answer late."""
    preroll_ms: int = 300
    """How much before the first hop of speech an utterance is taken to begin: a detector is 30 to 60 ms late, and soft
    first consonants are longer still."""
    min_speech_ms: int = 32
    """Speech without a break that opens an utterance: 32 is one hop, 64 waits for a second one."""
    above_noise_db: float = 7.5
    """By how much the first hop of an utterance is louder than the room: a crowd behind the visitor is speech too."""

    def __post_init__(self) -> None:
        if not 0.0 < self.stop <= self.start < 1.0:
            raise ValueError(f"vad: expected 0 < stop <= start < 1, not stop {self.stop} and start {self.start}")
        for name in ("hangover_ms", "preroll_ms", "min_speech_ms"):
            if getattr(self, name) < 0:
                raise ValueError(f"vad.{name}: expected 0 or more, not {getattr(self, name)}")


@dataclass(frozen=True)
class SpeechStarted:
    """`t`: where the first hop of speech begins. `preroll_t`: where to begin listening to lose no first sound; never
    inside the utterance before. Both in ns of the audio."""

    t: int
    preroll_t: int


@dataclass(frozen=True)
class SpeechEnded:
    """`t`: end of the last hop of speech, without the hangover. `start_t`: the `t` of its SpeechStarted."""

    t: int
    start_t: int


SpeechEvent = SpeechStarted | SpeechEnded


class Segmenter:
    """Hops in order, utterances out; at most one is open."""

    def __init__(self, options: VadOptions) -> None:
        self.options = options
        self._start_t: int | None = None  # of the open utterance
        self._rising_t: int | None = None  # first hop of speech that is not yet long enough
        self._last_t = 0  # end of the last hop of speech
        self._closed_t: int | None = None  # end of the utterance before

    @property
    def open(self) -> bool:
        return self._start_t is not None

    def push(self, t: int, duration_ns: int, probability: float) -> list[SpeechEvent]:
        """One hop that begins at `t`."""
        end = t + duration_ns
        if self._start_t is None:
            return self._wait(t, end, probability)
        if probability >= self.options.stop:
            self._last_t = end
        elif end - self._last_t >= self.options.hangover_ms * _MS:
            return self.close()
        return []

    def _wait(self, t: int, end: int, probability: float) -> list[SpeechEvent]:
        if probability < self.options.start:
            self._rising_t = None
            return []
        if self._rising_t is None:
            self._rising_t = t
        if end - self._rising_t < self.options.min_speech_ms * _MS:
            return []
        start = self._rising_t
        self._start_t, self._rising_t, self._last_t = start, None, end
        preroll = start - self.options.preroll_ms * _MS
        return [SpeechStarted(start, preroll if self._closed_t is None else max(preroll, self._closed_t))]

    def close(self) -> list[SpeechEvent]:
        """The stream ends or jumps: an open utterance ends with its last speech."""
        self._rising_t = None
        if self._start_t is None:
            return []
        ended = SpeechEnded(self._last_t, self._start_t)
        self._start_t, self._closed_t = None, self._last_t
        return [ended]
