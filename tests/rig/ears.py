"""The frontend's cores on a simulated counter: what goes out, and what is said of it, without a process or a clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.audio.apm import Apm
from pipeline.audio.barge_in import BargeInOptions, Verdict
from pipeline.audio.duplex import Duplex
from pipeline.audio.hearing import Hearing, HearingTest
from pipeline.audio.listening import Listener
from pipeline.audio.near_end import NearEnd
from pipeline.audio.pcm import Samples
from pipeline.audio.reference import Reference
from pipeline.audio.resample import Resampler, Timed
from pipeline.audio.segmenter import SpeechEnded, SpeechStarted, VadOptions
from pipeline.audio.talk import Talk
from pipeline.audio.vad import Vad
from tests.rig.acoustics import RATE, Wave, as_samples

NS = 1_000_000_000
BEGIN = 10 * NS
BLOCK = 320
LATE_NS = 12_000_000
"""How late `played` comes."""
JUDGED_NS = 4_000_000
"""How long after a block went on it is judged."""


@dataclass
class Scene:
    """What came of it. Seconds are counted from the begin."""

    voice: Samples = field(default_factory=lambda: np.empty(0, np.int16))
    facts: list[tuple[float, Any]] = field(default_factory=list)
    """(second in which it was said, SpeechStarted | SpeechEnded | Duck | Verdict)."""
    hearing: list[Hearing] = field(default_factory=list)

    def starts(self) -> list[tuple[float, SpeechStarted]]:
        return [(s, fact) for s, fact in self.facts if isinstance(fact, SpeechStarted)]

    def verdicts(self, verdict: str) -> list[tuple[float, Verdict]]:
        return [(s, fact) for s, fact in self.facts if isinstance(fact, Verdict) and fact.verdict == verdict]

    def speech(self, begin_s: float, end_s: float) -> Samples:
        """For each 10 ms between the two, whether it lay in an utterance."""
        out = np.zeros(round((end_s - begin_s) * 100), np.int16)
        for _, fact in self.facts:
            if isinstance(fact, SpeechEnded):
                first, last = ((t - BEGIN) / NS - begin_s for t in (fact.start_t, fact.t))
                out[max(0, round(first * 100)) : max(0, round(last * 100))] = 1
        return out


class Ears:
    """Takes a scene in pieces, so that an hour of it needs no memory."""

    def __init__(self, vad: Vad, options: VadOptions | None = None) -> None:
        vad.reset()
        self._talk, self._reference = Talk(), Reference()
        near = NearEnd()
        self._duplex = Duplex(Apm(), self._talk, self._reference, near)
        self._listener = Listener(vad, options or VadOptions(), BargeInOptions(), self._talk.at, near)
        self._hearing = HearingTest(self._reference)
        self._up = Resampler(RATE, 24_000)
        self._waiting = np.empty(0, np.int16)  # played, 24 kHz, not told yet
        self._told = self._at = 0  # samples of 24 kHz and of 16 kHz so far
        self._voice: list[Samples] = []  # of this piece
        self.scene = Scene()

    def hear(self, mic: Wave, played: Wave | None = None, *, keep: bool = True) -> Scene:
        """Some seconds; `played` as long as `mic`, None: the machine is silent. `keep`: the voice too."""
        samples, self._voice = as_samples(mic), []
        for begin in range(0, samples.size - BLOCK + 1, BLOCK):
            if played is not None:
                self._play(as_samples(played[begin : begin + BLOCK]))
            elif self._talk.unfinished:
                self._stop()
            self._at += BLOCK
            now_ns = BEGIN + self._at * NS // RATE
            self._tell(now_ns)
            block = Timed(now_ns - BLOCK * NS // RATE, samples[begin : begin + BLOCK])
            if found := self._hearing.heard(block):
                self.scene.hearing.append(found)
            self._listen(self._duplex.push(block, now_ns), now_ns)
        if keep:
            self.scene.voice = np.concatenate((self.scene.voice, *self._voice))
        return self.scene

    def _listen(self, blocks: list[Timed], now_ns: int) -> None:
        self._listener.wary = not self._duplex.settled
        for out in blocks:
            self._voice.append(out.samples)
            said_s = (now_ns + JUDGED_NS - BEGIN) / NS
            self._hearing.sent(out)
            for fact in self._listener.push(out):
                self.scene.facts.append((said_s, fact))
                if isinstance(fact, SpeechEnded) and (found := self._hearing.uttered(fact.start_t, fact.t)):
                    self.scene.hearing.append(found)

    def _play(self, samples: Samples) -> None:
        if not self._talk.unfinished:
            self._told = self._at * 3 // 2
            self._talk.sounding(BEGIN + self._at * NS // RATE)
        self._waiting = np.concatenate((self._waiting, self._up.convert(samples)))

    def _stop(self) -> None:
        self._waiting = np.concatenate((self._waiting, self._up.drain()))
        self._tell(1 << 62, said_ns=BEGIN + self._at * NS // RATE)
        self._talk.unfinished = False
        self._reference.drain()

    def _tell(self, now_ns: int, *, said_ns: int = 0) -> None:
        """What is known of the speaker by `now_ns`, each block when it comes: it sets free what waited for it."""
        while self._waiting.size and (due_ns := BEGIN + (self._told + 480) * NS // 24_000 + LATE_NS) <= now_ns:
            part, self._waiting = self._waiting[:480], self._waiting[480:]
            t = BEGIN + self._told * NS // 24_000
            self._told += part.size
            self._talk.played(t, part.size, 24_000)
            self._reference.push(part, 24_000, t)
            self._hearing.played(t, part.size * NS // 24_000)
            self._listen(self._duplex.release(said_ns or due_ns), said_ns or due_ns)


def onset_s(sound: Wave) -> float:
    """When speech begins in a recording: its first 10 ms within 20 dB of its loudness, rumble and breath left out."""
    spectrum, hz = np.fft.rfft(sound), np.fft.rfftfreq(sound.size, 1 / RATE)
    clear = np.fft.irfft(spectrum * (hz > 150), sound.size)
    power = (clear[: clear.size // 160 * 160].reshape(-1, 160) ** 2).mean(axis=1)
    return float(np.flatnonzero(power > np.percentile(power, 90) / 100)[0]) / 100
