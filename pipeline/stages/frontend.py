"""The audio front end: any microphone to 16 kHz mono without the machine's own voice, and who is speaking when."""

from __future__ import annotations

import importlib.util
import re
import time
from collections import deque
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

import numpy as np

from pipeline import Audio, Event, Stage
from pipeline.audio import apm, pcm
from pipeline.audio.barge_in import BargeInOptions, Decision, Duck, Verdict
from pipeline.audio.clockrate import RateWatch
from pipeline.audio.duplex import Canceller, Duplex
from pipeline.audio.gate import Gate, Why
from pipeline.audio.hearing import REMEDIES, Hearing, HearingTest
from pipeline.audio.listening import Listener
from pipeline.audio.meter import Meter
from pipeline.audio.near_end import NearEnd
from pipeline.audio.plugged import Plugged, plugged
from pipeline.audio.reference import Reference
from pipeline.audio.resample import Framer, Timed, TimedResampler
from pipeline.audio.segmenter import SpeechEnded, SpeechEvent, SpeechStarted, VadOptions
from pipeline.audio.talk import Talk
from pipeline.audio.troubles import Troubles
from pipeline.audio.vad import SileroVad, Vad
from pipeline.audio.wake import Wake
from pipeline.config.options import OptionError, Range
from pipeline.stage.life import WorldError

RATE = 16_000
BLOCK = 320
JUDGE_AFTER_S = 0.004
"""By then a block is at the service: 1 ms at the median, 3 ms in the worst hundredth."""
UNJUDGED_BLOCKS = 500
"""Blocks (10 s) that wait for the detector; over it the oldest goes unjudged."""
CATCH_UP_S = 0.3
"""Who takes over gets the microphone's last seconds at once, and waits for so long at most for what the speaker said
meanwhile: without it the machine's own voice is a person's, who speaks over it."""
TEST_SOUND = "self-test"
"""Name of the prompt that the daily test plays and must hear."""

_NS = 1_000_000_000


def time_of_day() -> str:
    """By the clock on the wall, "05:30"."""
    return time.strftime("%H:%M")


class Frontend(Stage):
    """Forwards a block first and judges it after: no decision may cost the voice time."""

    reads: ClassVar[tuple[str, ...]] = ("mic", "played")
    emits: ClassVar[tuple[str, ...]] = ("voice",)

    channel: str = "mix"
    """Which channel of the microphone: mix, left, right or a number counted from 0."""
    aec: Literal["webrtc", "half_duplex", "server", "none"] | Plugged = "webrtc"
    """webrtc: the machine's own voice is taken out, and it can be spoken over. half_duplex: what the microphone hears
    while the machine talks goes out as zeros. server: the sound server takes it out (`device: echo_cancel` of capture
    and playback). none: for headsets. {use: module:Class}: a canceller of your own; its one
    method is `cancel(mic, played)`, 10 ms of both at 16 kHz (int16 arrays of 160) to 160 samples without echo, `delay`
    (an attribute of the class) samples late."""
    tail_ms: Annotated[int, Range(0, 5_000)] = 300
    """half_duplex: how long the room still sounds after the machine's last word."""
    ns: bool = False
    """webrtc: suppress steady noise too. The service hears better without."""
    agc: bool = False
    """webrtc: bring all speech to one level."""
    vad: VadOptions = VadOptions()
    """Voice activity detection."""
    barge_in: BargeInOptions = BargeInOptions()
    """Speaking over the machine."""
    wake_word: str = ""
    """okay_nabu, alexa, hey_mycroft or hey_jarvis: heard here, told as `trigger`. Needs voice-pipeline[wake]."""
    self_test: str = "replies"
    """replies: the microphone must hear each answer of the machine. A time of day, "05:30": and a test sound then.
    none: for headsets, where it can't."""

    def prime(self) -> None:
        """Raises OptionError for what can't be, ImportError if a detector is not installed."""
        try:
            pcm.check_channel(self.channel)
            self._vad = self._detector()
            self._new_canceller = self._cancellation()
            self._wake = Wake(self.wake_word) if self.wake_word else None
        except ValueError as error:
            raise OptionError(str(error)) from error
        if not re.fullmatch(r"replies|none|([01]\d|2[0-3]):[0-5]\d", self.self_test):
            raise OptionError(f'self_test: expected replies, none or a time such as "05:30", not {self.self_test!r}')
        if self._wake is not None and importlib.util.find_spec("pymicro_wakeword") is None:
            remedy = "pip install voice-pipeline[wake]"
            raise ModuleNotFoundError(f"pymicro_wakeword is missing: {remedy}", name="pymicro_wakeword")
        self._load()

    def _detector(self) -> Vad:
        if self.vad.use == "silero":
            return SileroVad()
        detector: Vad = plugged(self.vad.use, "vad.use", ("judge", "load", "reset"))()
        return detector

    def _cancellation(self) -> Callable[[], Canceller] | None:
        if isinstance(self.aec, Plugged):
            made: Callable[[], Canceller] = plugged(self.aec.use, "aec.use", ("cancel",))
            return made
        return (lambda: apm.Apm(noise=self.ns, gain=self.agc)) if self.aec == "webrtc" else None

    def _load(self) -> None:
        """Detectors and canceller take 8 ms, a wake word 15 more. Plugged ones may take seconds: in the loop that would
        be a stage that hangs, which is killed, and again."""
        self._vad.load()
        if self._wake is not None:
            self._wake.load()
        self._canceller: Canceller | None = None
        self._no_aec = ""
        if self._new_canceller is not None:
            try:
                self._canceller = self._new_canceller()
            except apm.NoLibrary as error:
                self._no_aec = f"no echo cancellation, so deaf while the machine talks: {error}"
        self._near = NearEnd() if self._canceller is not None and self.vad.use == "silero" else None

    def start(self) -> None:
        """Silence so far."""
        self._resampler, self._framer = TimedResampler(RATE), Framer(RATE, BLOCK)
        self._talk, self._reference = Talk(), Reference()
        self._listener = Listener(self._vad, self.vad, self.barge_in, self._talk.at, self._near)
        self._duplex: Duplex | None = None
        if self._canceller is not None:
            self._duplex = Duplex(self._canceller, self._talk, self._reference, self._near, always=self.ns or self.agc)
        self._gate = Gate(self.tail_ms)
        self._gates = self._duplex is None and self.aec not in ("server", "none")  # while the machine talks
        self._prompt = self._answering = False  # a prompt sounds; an answer is not over
        self._watch, self._meter, self._hearing = RateWatch(), Meter(RATE), HearingTest(self._reference)
        self._tests = self.self_test != "none"
        self._troubles = Troubles()
        self._ends = dict.fromkeys((self.brief.inputs.get("mic", ""), self.brief.inputs.get("played", "")), 0)  # inst
        self._why: Why = ""
        self._soon: deque[Timed] = deque(maxlen=UNJUDGED_BLOCKS)  # a few ms of blocks, or all that is replayed
        self._replayed_ns = 0
        self._early: deque[Timed] | None = None  # blocks of the microphone that wait for the speaker's past
        if self._duplex is not None and self.brief.restarts:
            self._early = deque(maxlen=UNJUDGED_BLOCKS)
            self.after(CATCH_UP_S, self._caught_up)
        self._tested = ""
        if self._no_aec:
            self._trouble("aec", self._no_aec)
        if ":" in self.self_test:
            self._look_at_the_clock()

    def step(self) -> float | None:
        """Release what waits for the canceller."""
        return self._release()

    def _release(self) -> float | None:
        if self._duplex is None:
            return None
        for block in self._duplex.release(self.now_ns()):
            self._forward(block)
        return self._duplex.wait_s(self.now_ns())

    # -- the bus

    def on_audio(self, audio: Audio) -> None:
        """A block of the microphone, or one that has just left the speaker."""
        if audio.t is None:
            return
        if audio.stream == "played":
            self._played(audio, audio.t)
            return
        try:
            mono = pcm.pick(audio.samples, self.channel)
        except ValueError as error:
            self.state("degraded", str(error))
            raise WorldError(str(error)) from error
        if audio.replay is not None:
            self._replayed_ns = self.now_ns()
        for block in self._resampler.push(mono, audio.rate, audio.t):
            if self._early is None:
                self._hear(block)
            else:
                self._early.append(block)
        self._watch_microphone(audio, audio.t)

    def on_replayed(self, event: Event) -> None:
        """Of the speaker: what it said before us is known."""
        ours = str(event.body.get("id", "")).startswith(f"{self.name}/{self.inst}/played/")
        if ours and event.src == self.brief.inputs.get("played"):
            self._caught_up()

    def _caught_up(self) -> None:
        early, self._early = self._early, None
        for block in early or ():
            self._hear(block)

    def _played(self, audio: Audio, t: int) -> None:
        samples = pcm.pick(audio.samples, "mix")
        self._talk.played(t, samples.size, audio.rate)
        self._reference.push(samples, audio.rate, t)
        self._hearing.played(t, audio.duration_ns)
        if self._gates:
            self._gate.played(t, audio.duration_ns)
        self._release()

    def on_audible(self, event: Event) -> None:
        """The first sound of an answer: said before `played`, which waits until a block has left whole."""
        self._sounds(event.body["t"])
        self._answering = True
        self._unfinished()

    def on_heard(self, event: Event) -> None:
        """Whether the answer goes on."""
        self._answering = (event.number("at") or 0) < (event.number("buffered_to") or 0)
        self._unfinished()

    def on_prompt(self, event: Event) -> None:
        """A prompt or an earcon begins or ends; it comes in `played` too."""
        self._prompt = bool(event.body.get("on"))
        if self._prompt:
            self._sounds(self.now_ns())
        self._unfinished()

    def _sounds(self, t: int) -> None:
        self._talk.sounding(t)
        if self._gates:
            self._gate.played(t, 0)

    def _unfinished(self) -> None:
        before, self._talk.unfinished = self._talk.unfinished, self._answering or self._prompt
        self._gate.unfinished = self._gates and self._talk.unfinished
        if before and not self._talk.unfinished:
            self._reference.drain()
            self._release()

    def on_state(self, event: Event) -> None:
        """A speaker or a microphone that was replaced or opened anew is another way through the room."""
        if event.src in self._ends and self._ends[event.src] not in (0, event.inst) and self._duplex is not None:
            assert self._new_canceller is not None
            self._duplex.renew(self._new_canceller())
        if event.src in self._ends:
            self._ends[event.src] = event.inst

    def on_mute(self, event: Event) -> None:
        """Muted holds here too, for what was captured before."""
        self._gate.muted = bool(event.body["muted"])
        self._hearing.forget()

    # -- the voice

    def _hear(self, block: Timed) -> None:
        for out in [block] if self._duplex is None else self._duplex.push(block, self.now_ns()):
            self._forward(out)
        if self._tests and not self._gate.muted:
            self._hears(self._hearing.heard(block))

    def _hears(self, found: Hearing | None) -> None:
        if found is not None:
            self.tell("hearing", True, verdict=found.verdict, reason=found.reason, since=found.since)
            remedy = REMEDIES[found.verdict]
            self._trouble("hearing", f"{found.reason}: {remedy}" if remedy else "")

    def _forward(self, block: Timed) -> None:
        for framed in self._framer.push(block):
            self._send(framed)

    def _send(self, block: Timed) -> None:
        duration_ns = block.samples.size * _NS // RATE
        why = self._gate.closed(block.t, duration_ns)
        heard = np.zeros_like(block.samples) if why else block.samples
        self.emit("voice", Audio("voice", pcm.to_bytes(heard), RATE, 1, t=block.t, gated=bool(why)))
        if why != self._why:
            self._why = why
            self.tell("gate", closed=bool(why), reason=why)
        self._judge_soon(Timed(block.t, heard))
        if level := self._meter.level(block.samples):
            noise = self._listener.noise.dbfs
            floor = None if noise is None else round(noise, 1)
            rms, peak = round(level.rms_dbfs, 1), round(level.peak_dbfs, 1)
            self.tell("level", rms_dbfs=rms, peak_dbfs=peak, noise_floor_dbfs=floor)

    def _judge_soon(self, block: Timed) -> None:
        """Not while the block is on its way: the detector would take the core that session or service need for it."""
        if not self._soon:
            self.after(JUDGE_AFTER_S, self._judge_all)
        self._soon.append(block)

    def _judge_all(self) -> None:
        if self.now_ns() - self._replayed_ns < JUDGE_AFTER_S * _NS:  # who has just taken over is waited for
            self.after(JUDGE_AFTER_S, self._judge_all)
            return
        while self._soon:
            self._judge(self._soon.popleft())

    def _judge(self, block: Timed) -> None:
        self._hearing.sent(block)
        self._listener.wary = self._duplex is not None and not self._duplex.settled
        for fact in self._listener.push(block):
            self._say(fact)
        if self._wake is not None and self._wake.push(block.t, block.samples):
            self.tell("trigger", by=f"wake word {self.wake_word}")

    def _say(self, fact: SpeechEvent | Decision) -> None:
        match fact:
            case SpeechStarted(t, preroll_t):
                self.tell("speech_started", sticky=True, t=t, preroll_t=preroll_t)
            case SpeechEnded(t, start_t):
                self.unstick("speech_started")
                self.tell("speech_ended", t=t, start_t=start_t)
                if self._tests:
                    self._hears(self._hearing.uttered(start_t, t))
            case Duck(on):
                self.tell("duck", on=on, db=self.barge_in.duck_db, fade_ms=self.barge_in.fade_ms)
            case Verdict(t, verdict, reason):
                self.tell("barge_in", t=t, verdict=verdict, reason=reason)
                self.log.info("barge-in", verdict=verdict, reason=reason)

    # -- the microphone itself

    def _watch_microphone(self, audio: Audio, t: int) -> None:
        if clipping := self._meter.clipping(audio.samples, audio.rate):
            self.tell("clipping", on=clipping.on, percent=clipping.percent)
            loud = f"the microphone is too loud, {clipping.percent} % of its samples are cut off: turn it down"
            self._trouble("clipping", loud if clipping.on else "")
        rate = self._watch.push(audio.rate, audio.frames, t)
        if rate is None:
            return
        if rate.off:
            self.tell("rate_off", declared=rate.declared, measured=rate.measured)
        wrong = f"the microphone says {rate.declared} Hz and delivers {rate.measured:.0f}: "
        self._trouble("rate", wrong + "name another device or another rate in the sound server" if rate.off else "")

    def _look_at_the_clock(self) -> None:
        """The hour of the day is for people, so the wall clock is asked: one that is set tests once more or less."""
        now = time_of_day()
        if now == self.self_test and self._tested != now and not self._gate.muted and not self._talk.unfinished:
            self._hearing.expect()
            self.tell("play", name=TEST_SOUND, cause="self_test")
        self._tested = now
        self.after(20.0, self._look_at_the_clock)

    def _trouble(self, watch: str, reason: str) -> None:
        if reason:
            self.log.warning("trouble", of=watch, reason=reason)
        self._troubles.set(watch, reason)
        self.state(*self._troubles.state)
