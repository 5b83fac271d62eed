"""The speaker: replies in even time, silence at once when they must stop, and the truth about what was heard."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, ClassVar, NoReturn

import numpy as np

from pipeline import Audio, Event, Stage
from pipeline.audio import devices, pcm
from pipeline.audio.account import TimeOf
from pipeline.audio.complaints import Complaints
from pipeline.audio.devicequeue import DeviceQueue
from pipeline.audio.mouth import RATE, Mouth
from pipeline.audio.prompting import Prompt
from pipeline.audio.prompts import Prompts
from pipeline.audio.warmth import Warmth
from pipeline.config.options import OptionError, Range
from pipeline.stage.life import WorldError, give_way

PROBE_S = 0.5
"""How often an absent device is looked for."""
REST_S = 0.25
"""Time between two looks at a device that rests: is it still there."""
STUCK_NS = 1_500_000_000
"""A queue that has not moved for so long stands still: a frozen server or a suspended sink is asked after and named."""
END_S = 0.003
"""Time between two looks where nothing more is to be given. PipeWire sounds whole periods only: the last piece of one
would lie in the queue as if the speaker hung, so it is filled up with silence, and soon enough that no gap is heard."""
LAZY_NS = 3_000_000_000
"""Where neither is found. A sink of PulseAudio that nobody hurries renders 2 s ahead and lets a stream stand still for
0.9 to 2.0 s; who gives up sooner reopens for ever and is never heard."""


class Playback(Stage):
    """Owns the speaker. Absent: degraded, looked for without PortAudio. Lost: exits 69 and is replaced.

    The stream runs on between answers: a sink that fell asleep swallows the first syllable. After a long silence it
    rests, and is woken by the first sign that something will be said.
    """

    reads: ClassVar[tuple[str, ...]] = ("reply",)
    emits: ClassVar[tuple[str, ...]] = ("played",)

    device: str = "auto"
    """A part of the name that `devices` prints; `auto` follows PULSE_SINK where it is set, else the default."""
    volume: Annotated[int, Range(0, 100)] = 70
    """Until somebody sets another."""
    jitter_ms: Annotated[int, Range(0, 2_000)] = 40
    """Audio in hand before an answer starts."""
    jitter_most_ms: Annotated[int, Range(0, 5_000)] = 200
    """And at most, on a line that is often late."""
    prompts: str = ""
    """A folder of sounds that go before those of the package: NAME.LANGUAGE.wav or NAME.wav."""
    preroll_ms: Annotated[int, Range(0, 2_000)] = 200
    """What an amplifier that fell asleep takes to wake up; 0: it never does."""
    offline_after_s: Annotated[float, Range(0.0, 60.0)] = 2.0
    """Whoever speaks to a line or a session that has been down for so long is told so."""

    def prime(self) -> None:
        """Raises OptionError for a folder of prompts that is none."""
        folder = self.config_dir / self.prompts if self.prompts else None
        if folder is not None and not folder.is_dir():
            raise OptionError(f"prompts: {folder} is no folder: make it, or leave the option out")
        self._prompts = Prompts(
            folder, self.brief.language, lambda why: self.log.warning("prompt can't be played", error=why)
        )

    def start(self) -> None:
        """Nothing is opened yet; what arrives is kept."""
        self._speaker: devices.Speaker | None = None
        most_ms = self.jitter_most_ms
        self._mouth = Mouth(self.tell, self._emit, jitter_ms=self.jitter_ms, most_ms=most_ms, percent=self.volume)
        self._complaints = Complaints(self.offline_after_s)
        # Who was replaced a moment ago finds the amplifier awake.
        self._warmth = Warmth(self.preroll_ms, awake_ns=self.now_ns() if self.brief.restarts else None)
        self._probe_ns = self._next_ns = 0
        self._resting = False
        self.state("waiting", "the speaker is being opened")

    def step(self) -> float | None:
        """Keep the device's queue filled, and say what has left it."""
        if self._speaker is None:
            return self._look()
        try:
            return self._turn(self._speaker)
        except devices.DeviceLost as error:
            self._lost(error)

    def on_audio(self, audio: Audio) -> None:
        """A frame of a reply: older epochs are dropped, a newer one silences what was before."""
        if audio.epoch is None or audio.at is None:
            return
        self._renew(audio.epoch, "new_answer", audio.at)
        self._complaints.answered()
        self._mouth.push(audio.epoch, audio.at, audio.samples, self.now_ns())

    def on_flush(self, event: Event) -> None:
        """Older speech must no longer be heard, also when nothing newer has come yet."""
        if (epoch := event.number("epoch")) is not None:
            self._renew(epoch, str(event.body.get("cause")))

    def on_volume(self, event: Event) -> None:
        """0 to 100."""
        self._mouth.volume(event.number("percent") or 0)

    def on_duck(self, event: Event) -> None:
        """Lower the answer while it is found out whether somebody speaks over it."""
        self._mouth.duck(event.body, self.now_ns())

    def on_play(self, event: Event) -> None:
        """A prompt or an earcon, from whoever has something to say that the service does not."""
        body = event.body
        self._say(str(body.get("name")), str(body.get("cause", "")), loop=bool(body.get("loop")))

    def on_play_stop(self, event: Event) -> None:
        """It is wanted no more."""
        self._mouth.play_stop(str(event.body.get("name")))

    def on_connection(self, event: Event) -> None:
        """The line to the service went up or down."""
        self._complaints.connection(bool(event.body.get("up")), str(event.body.get("reason", "")), self.now_ns())

    def on_stage(self, event: Event) -> None:
        """The supervisor says how a stage is."""
        if event.body.get("stage") == self.brief.inputs.get("reply"):
            self._complaints.session(str(event.body.get("state")), self.now_ns())

    def on_speech_started(self, _event: Event) -> None:
        """Whoever speaks will be answered: the amplifier has until then to wake up."""
        self._complaints.speech_started(self.now_ns())
        self._warmth.rouse(self.now_ns())

    def on_speech_ended(self, _event: Event) -> None:
        """And waits for it."""
        self._complaints.speech_ended(self.now_ns())

    def on_turn_started(self, _event: Event) -> None:
        """A greeting is on its way, too."""
        self._warmth.rouse(self.now_ns())

    def stop(self) -> None:
        """Say to the end what is in hand, within the grace given; then release the device."""
        if self._speaker is None:
            return
        end_ns = self.now_ns() + int((self.grace_s - 0.3) * 1e9)
        while self._mouth.unfinished and self.now_ns() < end_ns:
            time.sleep(min(0.01, self.step() or 0.01))
        if self._mouth.speaking:  # whoever follows goes on where this stops
            try:
                self._silence(self._speaker, partial(self._mouth.leave, now_ns=self.now_ns()))
            except devices.DeviceLost as error:
                self._lost(error)
        self._speaker.close()

    # -- the device

    def _look(self) -> float:
        if (wait_ns := self._probe_ns - self.now_ns()) > 0:
            return wait_ns / 1e9
        found = devices.find("speaker", self.device)
        if isinstance(found, str):
            self.state("degraded", found)
            self._probe_ns = self.now_ns() + int(PROBE_S * 1e9)
            return PROBE_S
        try:
            self._speaker = devices.Speaker(found, give_up=self._hung)
        except devices.DeviceLost as error:
            self._lost(error)
        self._mouth.open(self._speaker.rate, low=devices.PERIOD)
        self._queue = DeviceQueue(self._speaker.rate, self._speaker.capacity)
        self._excused = False
        self._warmth.rouse(self.now_ns())
        self.log.info("speaker open", device=self._speaker.name, rate=self._speaker.rate)
        self.state("live")
        return 0.0

    def _lost(self, error: devices.DeviceLost) -> NoReturn:
        self.state("degraded", str(error))
        raise WorldError(str(error)) from error

    def _hung(self, reason: str) -> NoReturn:
        self.link.beat()  # the last one is old, and what follows may take a moment on a busy machine
        self.state("degraded", reason)
        give_way(self, reason)

    def _turn(self, speaker: devices.Speaker) -> float:
        now_ns, mouth = self.now_ns(), self._mouth
        if mouth.sounding and now_ns < self._next_ns:
            return (self._next_ns - now_ns) / 1e9  # woken by the bus: a look at the device costs more than the message
        if due := self._complaints.due(now_ns):
            self._say(*due)
        speaker.check()
        if self._resting:
            if mouth.ready_in(now_ns) is None and self._warmth.asleep(now_ns):
                self._prompts.load_next()
                return REST_S
            self._wake(speaker)
        free = self._progress(speaker, now_ns)
        ready_ns = mouth.ready_in(now_ns)
        if mouth.sounding or (ready_ns == 0 and not self._warmth.wait_ns(now_ns)):
            return self._speak(speaker, free, now_ns)
        if ready_ns is None and self._warmth.asleep(now_ns):
            speaker.rest()
            self._resting = True
            return REST_S
        self._fill(speaker, free, now_ns)
        return min(self._queue.CALM_S, ready_ns / 1e9) if ready_ns else self._queue.CALM_S

    def _progress(self, speaker: devices.Speaker, now_ns: int) -> int:
        """Say what has left the speaker; frames that can be written."""
        free = speaker.free()
        queue, mouth = self._queue, self._mouth
        frame = queue.look(mouth.given, free, now_ns)
        if queue.stood_ns == 0:
            self._excused = False
        elif queue.stood_ns > LAZY_NS or (queue.stood_ns > STUCK_NS and not self._excused):
            self._stands_still(speaker, queue.stood_ns)
        if missing_ms := queue.missing_ms(mouth.given, now_ns):
            mouth.late(missing_ms)
        mouth.left(frame, lambda index: queue.time_of(index, now_ns), now_ns)
        return free

    def _stands_still(self, speaker: devices.Speaker, for_ns: int) -> None:
        why = speaker.why_stuck()
        if why or for_ns > LAZY_NS:
            raise devices.DeviceLost(why or f"{speaker.name}: the speaker stands still: restart the sound server")
        self._excused = True

    def _wake(self, speaker: devices.Speaker) -> None:
        speaker.wake()
        self._mouth.emptied()
        self._queue.restart()
        self._resting = False

    def _drop(self, speaker: devices.Speaker) -> int:
        """Forget the silence that is queued; frames that can be written."""
        speaker.flush()
        self._mouth.emptied()
        self._queue.restart()
        return speaker.free()

    def _speak(self, speaker: devices.Speaker, free: int, now_ns: int) -> float:
        again_s = self._queue.again_s(now_ns)
        if not self._mouth.sounding and self._queue.queued and not self._warmth.rousing(now_ns):
            free = self._drop(speaker)
        frames = self._mouth.frames(free, speaker.capacity - free, now_ns)
        if free and not frames.size:
            again_s = min(again_s, END_S)
        if self._mouth.sounding:
            self._warmth.sounded(now_ns)
            self._next_ns = now_ns + int(again_s * 1e9)
        if free == speaker.capacity and frames.size < devices.PERIOD:
            # A device that stands does not start for less than a period.
            frames = np.concatenate((frames, self._mouth.silence(devices.PERIOD - frames.size)))
        elif not frames.size and 0 < self._queue.queued < devices.PERIOD:
            frames = self._mouth.fill(-self._mouth.given % devices.PERIOD, now_ns)
        if frames.size:
            speaker.write(pcm.to_bytes(frames))
        return again_s

    def _fill(self, speaker: devices.Speaker, free: int, now_ns: int) -> None:
        """Nothing sounds, but may soon: the stream goes on, and an amplifier that is to wake up is given something."""
        if free:
            frames = self._mouth.comfort(free) if self._warmth.rousing(now_ns) else self._mouth.silence(free)
            speaker.write(pcm.to_bytes(frames))

    # -- what is said

    def _renew(self, epoch: int, cause: str, at: int = 0) -> None:
        """A newer epoch: what was before is cut where it stands, or faded, and said so."""
        if self._speaker is not None and self._mouth.must_cut(epoch, cause):
            try:
                self._silence(self._speaker, self._mouth.cut)
            except devices.DeviceLost as error:
                self._lost(error)
        self._mouth.renew(epoch, cause, self.now_ns(), at)

    def _silence(self, speaker: devices.Speaker, cut: Callable[[int, TimeOf], None]) -> None:
        """Silence now: the queue of the device is dropped, and with it what it would have said."""
        queue, now_ns = self._queue, self.now_ns()
        frame = queue.look(self._mouth.given, speaker.free(), now_ns)
        speaker.flush()
        cut(frame, lambda index: queue.time_of(index, now_ns))
        queue.restart()

    def _say(self, name: str, cause: str, *, loop: bool = False) -> None:
        samples = self._prompts.samples(name)
        if samples is None:
            self.log.warning("no such prompt", name=name, there_is=", ".join(self._prompts.names()))
            self.tell("no_prompt", name=name, there_is=self._prompts.names())
            return
        refused = self._mouth.play(Prompt(name, samples, cause, loop), self.now_ns())
        self.log.info("prompt", name=name, cause=cause, refused=refused)

    def _emit(self, samples: pcm.Samples, t: int, epoch: int | None, at: int | None) -> None:
        self.emit("played", Audio("played", pcm.to_bytes(samples), RATE, 1, t, epoch, at))
