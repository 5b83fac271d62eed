"""The audio front end: any microphone to 16 kHz mono, the half-duplex gate, and who is speaking when."""

from __future__ import annotations

import importlib.util
from collections import deque
from typing import Annotated, ClassVar, Literal

import numpy as np

from pipeline import Audio, Event, Stage
from pipeline.audio import pcm
from pipeline.audio.clockrate import RateWatch
from pipeline.audio.gate import Gate, Why
from pipeline.audio.resample import GAP_NS, Framer, Timed, TimedResampler
from pipeline.audio.segmenter import Segmenter, SpeechEnded, SpeechEvent, SpeechStarted, VadOptions
from pipeline.audio.vad import HOP, SileroVad
from pipeline.config.options import OptionError, Range
from pipeline.stage.life import WorldError
from pipeline.stage.memory import settle

RATE = 16_000
BLOCK = 320
LEVEL_BLOCKS = 10
"""Blocks of 20 ms to one level event: five a second."""
LOAD_AFTER_NS = 150_000_000
"""After this long without voice the detector is loaded: the microphone takes longer than that to open."""
CAUGHT_UP_NS = 100_000_000
"""A block this young is no backlog."""
UNJUDGED_BLOCKS = 500
"""Blocks (10 s) that wait for the detector; over it the oldest goes unjudged."""

_NS = 1_000_000_000


class Frontend(Stage):
    """Forwards a block first and judges it after: no decision may cost the voice time."""

    reads: ClassVar[tuple[str, ...]] = ("mic", "played")
    emits: ClassVar[tuple[str, ...]] = ("voice",)

    channel: str = "mix"
    """Which channel of the microphone: mix, left, right or a number counted from 0."""
    aec: Literal["half_duplex", "none"] = "half_duplex"
    """half_duplex: what the microphone hears while the machine talks goes out as zeros. none: for headsets."""
    tail_ms: Annotated[int, Range(0, 5_000)] = 300
    """How long the room still sounds after the machine's last word."""
    vad: VadOptions = VadOptions()
    """Voice activity detection."""

    def prime(self) -> None:
        """Raises OptionError for a detector or a channel that can't be, ImportError if the detector is not installed.

        Its model is loaded later: that takes 80 ms, in which the voice already flows.
        """
        try:
            pcm.check_channel(self.channel)
        except ValueError as error:
            raise OptionError(str(error)) from error
        if self.vad.use != "silero":
            raise OptionError(f"vad.use: expected silero, not {self.vad.use!r}")
        if importlib.util.find_spec("onnxruntime") is None:
            raise ModuleNotFoundError("onnxruntime is missing: install the package again", name="onnxruntime")
        self._vad = SileroVad()

    def start(self) -> None:
        """Silence so far."""
        self._resampler = TimedResampler(RATE)
        self._framer = Framer(RATE, BLOCK)
        self._segmenter = Segmenter(self.vad)
        self._gate = Gate(self.tail_ms)
        self._watch = RateWatch()
        self._why: Why = ""
        self._end_t: int | None = None  # of the newest block judged
        self._unjudged: deque[Timed] | None = deque(maxlen=UNJUDGED_BLOCKS)  # None: the detector is loaded
        self._caught_up = False
        self._load_by_ns = self.now_ns() + LOAD_AFTER_NS
        self._since_level: list[pcm.Samples] = []

    def step(self) -> float | None:
        """Load the detector once the voice flows, or is not there; then judge what has passed meanwhile."""
        if self._unjudged is None:
            return None
        if not self._caught_up and (wait_ns := self._load_by_ns - self.now_ns()) > 0:
            return wait_ns / 1e9
        self._vad.load()
        settle()
        unjudged, self._unjudged = self._unjudged, None
        for block in unjudged:
            self._judge(block)
        return None

    def on_audio(self, audio: Audio) -> None:
        """A block of the microphone, or one that has just left the speaker."""
        if audio.t is None:
            return
        if audio.stream == "played":
            if self.aec == "half_duplex":
                self._gate.played(audio.t, audio.duration_ns)
            return
        try:
            mono = pcm.pick(audio.samples, self.channel)
        except ValueError as error:
            self.state("degraded", str(error))
            raise WorldError(str(error)) from error
        for block in self._resampler.push(mono, audio.rate, audio.t):
            for framed in self._framer.push(block):
                self._send(framed)
        self._watch_rate(audio)

    def on_audible(self, event: Event) -> None:
        """The first sound of an answer: said before `played`, which waits until a block has left whole."""
        if self.aec == "half_duplex":
            self._gate.played(event.body["t"], 0)
            self._gate.unfinished = True

    def on_heard(self, event: Event) -> None:
        """Whether the answer goes on."""
        self._gate.unfinished = (event.number("at") or 0) < (event.number("buffered_to") or 0)

    def on_mute(self, event: Event) -> None:
        """Muted holds here too, for what was captured before."""
        self._gate.muted = bool(event.body["muted"])

    def _send(self, block: Timed) -> None:
        duration_ns = block.samples.size * _NS // RATE
        why = self._gate.closed(block.t, duration_ns)
        heard = np.zeros_like(block.samples) if why else block.samples
        self.emit("voice", Audio("voice", pcm.to_bytes(heard), RATE, 1, t=block.t, gated=bool(why)))
        if why != self._why:
            self._why = why
            self.tell("gate", closed=bool(why), reason=why)
        self._judge(Timed(block.t, heard))
        self._caught_up = self.now_ns() - block.t < CAUGHT_UP_NS
        self._measure(block.samples)

    def _judge(self, block: Timed) -> None:
        if self._unjudged is not None:
            self._unjudged.append(block)
            return
        if self._end_t is not None and abs(block.t - self._end_t) > GAP_NS:
            self._vad.reset()
            self._say(self._segmenter.close())
        begin = block.t - self._vad.waiting * _NS // RATE
        for number, probability in enumerate(self._vad.push(block.samples)):
            hop_t = begin + number * HOP * _NS // RATE
            self._say(self._segmenter.push(hop_t, HOP * _NS // RATE, probability))
        self._end_t = block.t + block.samples.size * _NS // RATE

    def _say(self, events: list[SpeechEvent]) -> None:
        for event in events:
            match event:
                case SpeechStarted(t, preroll_t):
                    self.tell("speech_started", sticky=True, t=t, preroll_t=preroll_t)
                case SpeechEnded(t, start_t):
                    self.unstick("speech_started")
                    self.tell("speech_ended", t=t, start_t=start_t)

    def _measure(self, samples: pcm.Samples) -> None:
        self._since_level.append(samples)
        if len(self._since_level) == LEVEL_BLOCKS:
            level = pcm.level(np.concatenate(self._since_level))
            self._since_level.clear()
            self.tell("level", rms_dbfs=round(level.rms_dbfs, 1), peak_dbfs=round(level.peak_dbfs, 1))

    def _watch_rate(self, audio: Audio) -> None:
        assert audio.t is not None
        verdict = self._watch.push(audio.rate, audio.frames, audio.t)
        if verdict is None:
            return
        if verdict.off:
            self.tell("rate_off", declared=verdict.declared, measured=verdict.measured)
            self.log.warning("microphone rate is off", declared=verdict.declared, measured=verdict.measured)
            self.state(
                "degraded",
                f"the microphone says {verdict.declared} Hz and delivers {verdict.measured:.0f}: "
                "name another device or another rate in the sound server",
            )
        else:
            self.state("live")
