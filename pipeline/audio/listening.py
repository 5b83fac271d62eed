"""From sound to what is said of it: who speaks when, over whom, and how loud the room is. Pure; times come with blocks.

A detector alone takes a murmuring crowd for speech: 4 false starts a minute in babble. A hop opens an utterance only
if it also stands out of the room by `above_noise_db`: none in 15 minutes, and no voice 10 dB over the crowd is lost.
With 7 instead of 7.5 dB half an hour of music has 5, with 6.5 it has 15, for 3 ms; to ask less of a certain hop brings
5 to 30 in babble. Of voices that nothing here was tuned on, 10 dB over a noise, sentences are heard after 60 ms, 19 of
20 within 160; single words within 240: with a voiceless first sound the detector waits for the vowel behind it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.audio import pcm
from pipeline.audio.barge_in import BargeIn, BargeInOptions, Decision
from pipeline.audio.near_end import NearEnd
from pipeline.audio.pcm import Samples
from pipeline.audio.resample import GAP_NS, Timed
from pipeline.audio.segmenter import Segmenter, SpeechEvent, VadOptions
from pipeline.audio.vad import Vad

RATE = 16_000
LEARN_S = 1.0
"""Time constant of the room's level, in pauses."""
LONG_NS = 4_000_000_000
RISE_DB_S = 2.0
"""In an utterance that lasts longer the room's level rises: a noise that began in it is no speech for ever."""
FALL_S = 0.3
"""And falls with that time constant to each pause of who speaks so long, so that it never reaches the voice."""
LOST_DB = 2.0
"""What does not stand out of the room by that much is no part of an utterance: a crowd held one of three open for good,
and who spoke next had no beginning. Of 207 voices 10 dB over noise it parts two."""
WARY = 0.9
"""Probability that opens an utterance over the machine's talk while its canceller still learns: what comes through then
is taken for speech with 0.66 at most."""
OFFSET_SHARE = 0.01
"""Of a hop's mean in what is taken for the converter's: a voice does not move it."""
DEAF_DBFS = -90.0
"""The room is never taken to be quieter: the faintest click would stand out of digital silence."""

_NS = 1_000_000_000


class Noise:
    """Level of the room when nobody speaks, in dB of full scale."""

    def __init__(self) -> None:
        self.dbfs: float | None = None

    def push(self, dbfs: float, duration_s: float, open_for_ns: int | None) -> None:
        """One hop, `open_for_ns` after the begin of an utterance, None outside. Digital silence is no room's: it stands
        for what was kept back."""
        if dbfs <= pcm.FLOOR_DBFS:
            return
        dbfs = max(dbfs, DEAF_DBFS)
        if self.dbfs is None:
            self.dbfs = dbfs
        elif open_for_ns is None:
            self.dbfs += (dbfs - self.dbfs) * min(1.0, duration_s / LEARN_S)
        elif open_for_ns > LONG_NS:
            over = dbfs - self.dbfs
            self.dbfs += RISE_DB_S * duration_s if over > 0 else over * min(1.0, duration_s / FALL_S)


class Listener:
    """Blocks of 16 kHz in, events and decisions out."""

    def __init__(
        self,
        vad: Vad,
        options: VadOptions,
        barge_in: BargeInOptions,
        talking: Callable[[int], bool],
        near: NearEnd | None = None,
    ) -> None:
        """`talking(t)`: whether the machine sounds at `t` ns. `near`: a second opinion meanwhile. The detector is
        loaded before the first `push`."""
        self.wary = False
        """The canceller still learns the room."""
        self._vad, self._options, self._talking = vad, options, talking
        self._near = near
        self._segmenter, self._barge_in = Segmenter(options), BargeIn(barge_in)
        self._hop_ns = vad.hop * _NS // RATE
        self._end_t: int | None = None  # of the newest block
        self._start_t = 0  # of the open utterance
        self._rest = np.empty(0, np.int16)
        self._offset: float | None = None
        self.noise = Noise()

    def push(self, block: Timed) -> list[SpeechEvent | Decision]:
        """What became certain with this block, in order."""
        out: list[SpeechEvent | Decision] = []
        if self._end_t is not None and abs(block.t - self._end_t) > GAP_NS:
            out += self.close("the microphone's time jumped")
        t = block.t - self._rest.size * _NS // RATE
        self._rest = np.concatenate((self._rest, block.samples))
        while self._rest.size >= self._vad.hop:
            hop, self._rest = self._rest[: self._vad.hop], self._rest[self._vad.hop :]
            out += self._hop(t, hop)
            t += self._hop_ns
        self._end_t = block.t + block.samples.size * _NS // RATE
        return out

    def close(self, why: str) -> list[SpeechEvent | Decision]:
        """The stream ends or jumps."""
        self._vad.reset()
        self._rest = np.empty(0, np.int16)
        return [*self._barge_in.cancel(why), *self._segmenter.close()]

    def _hop(self, t: int, hop: Samples) -> list[SpeechEvent | Decision]:
        hop = self._centred(hop)
        probability = min(1.0, max(0.0, self._vad.judge(hop)))
        dbfs = pcm.level(np.asarray(np.clip(hop - hop.mean(), -32768, 32767), np.int16)).rms_dbfs
        was_open = self._segmenter.open
        talking = self._talking(t)
        if talking and self._near is not None:
            beside = self._near.judge(t)  # it learns from each
            probability = probability if self.wary else max(probability, beside)
        if not (self._goes_on(dbfs) if was_open else self._stands_out(dbfs, probability, talking)):
            probability = min(probability, self._options.stop / 2)
        events = self._segmenter.push(t, self._hop_ns, probability)
        is_open = self._segmenter.open
        if is_open and not was_open:
            self._start_t = t
        self.noise.push(dbfs, self._hop_ns / _NS, t - self._start_t if is_open else None)
        speech = is_open and probability >= self._options.start
        return [*events, *self._barge_in.push(t, self._hop_ns, probability, speech=speech, talking=talking)]

    def _centred(self, hop: Samples) -> Samples:
        """Without the constant that cheap converters add: beside a tenth of full scale no voice stands out."""
        mean = float(hop.mean())
        self._offset = mean if self._offset is None else self._offset + (mean - self._offset) * OFFSET_SHARE
        constant = round(self._offset)
        if not constant or not hop.any():
            return hop
        return np.clip(hop.astype(np.int32) - constant, -32768, 32767).astype(np.int16)

    def _goes_on(self, dbfs: float) -> bool:
        """Whether a hop may be part of the open utterance."""
        return self.noise.dbfs is None or dbfs >= self.noise.dbfs + LOST_DB

    def _stands_out(self, dbfs: float, probability: float, talking: bool) -> bool:
        """Whether a hop may open an utterance."""
        if talking and self.wary and probability < WARY:
            return False
        return self.noise.dbfs is None or dbfs >= self.noise.dbfs + self._options.above_noise_db
