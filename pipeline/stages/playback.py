"""The speaker: replies in even time, silence at once when they must stop, and the truth about what was heard."""

from __future__ import annotations

import time
from typing import Annotated, ClassVar, NoReturn

import numpy as np

from pipeline import Audio, Event, Stage
from pipeline.audio import devices, pcm
from pipeline.audio.deviceclock import DeviceClock
from pipeline.audio.feed import Feed, Sounded
from pipeline.audio.jitter import JitterBuffer
from pipeline.config.options import Range
from pipeline.stage.life import WorldError, give_way

RATE = 24_000
PROBE_S = 0.5
"""How often an absent device is looked for."""
HEARD_NS = 100_000_000
"""How often `heard` is said while speaking."""
PLAYED = 480
"""Samples of a `played` block: 20 ms; the last one before silence may be shorter."""
LOOK_S = 0.005
"""Time between two looks at the queue. It holds 32 ms, but the server takes 10 at a time; a look costs 0.1 ms."""
STUCK_NS = 1_500_000_000
STUCK_LOOKS = 50
"""A queue that has not moved for so long, and in so many looks that it was not we who slept, stands still: a frozen
server or a suspended sink is asked after and named."""
LAZY_NS = 3_000_000_000
"""Where neither is found. A sink of PulseAudio that nobody hurries renders 2 s ahead and lets a stream stand still for
0.9 to 2.0 s; who gives up sooner reopens for ever and is never heard."""


class Playback(Stage):
    """Owns the speaker. Absent: degraded, looked for without PortAudio. Lost: exits 69 and is replaced.

    The stream stays open and is fed silence between answers: a sink that fell asleep swallows the first syllable.
    """

    reads: ClassVar[tuple[str, ...]] = ("reply",)
    emits: ClassVar[tuple[str, ...]] = ("played",)

    device: str = "auto"
    """A part of the name that `devices` prints; `auto` follows PULSE_SINK where it is set, else the default."""
    volume: Annotated[int, Range(0, 100)] = 70
    """Until somebody sets another."""
    jitter_ms: Annotated[int, Range(0, 2_000)] = 40
    """Audio in hand before an answer starts."""

    def start(self) -> None:
        """Nothing is opened yet; what arrives is kept."""
        self._speaker: devices.Speaker | None = None
        self._buffer = JitterBuffer(RATE, self.jitter_ms)
        self._percent = self.volume
        self._probe_ns = 0
        self._speaking = False
        self._played: list[Sounded] = []
        self._heard_at = 0
        self._heard_ns = 0
        self.state("waiting", "the speaker is being opened")

    def step(self) -> float | None:
        """Keep the device's queue filled, and say what has left it."""
        if self._speaker is None:
            return self._look()
        try:
            return self._turn(self._speaker)
        except devices.DeviceLost as error:
            self.state("degraded", str(error))
            raise WorldError(str(error)) from error

    def on_audio(self, audio: Audio) -> None:
        """A frame of a reply: older epochs are dropped, a newer one silences what was before."""
        if audio.epoch is None or audio.at is None:
            return
        self._renew(audio.epoch)
        self._buffer.push(audio.epoch, audio.at, audio.samples, self.now_ns())

    def on_flush(self, event: Event) -> None:
        """Older speech must no longer be heard, also when nothing newer has come yet."""
        self._renew(event.body["epoch"])

    def on_volume(self, event: Event) -> None:
        """0 to 100."""
        self._percent = int(event.body["percent"])
        if self._speaker is not None:
            self._feed.volume = pcm.volume_factor(self._percent)

    def stop(self) -> None:
        """Say to the end what is in hand, within the grace given; then release the device."""
        if self._speaker is None:
            return
        end_ns = self.now_ns() + int((self.grace_s - 0.3) * 1e9)
        while (self._speaking or not self._buffer.drained) and self.now_ns() < end_ns:
            time.sleep(min(LOOK_S, self.step() or LOOK_S))
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
            self.state("degraded", str(error))
            raise WorldError(str(error)) from error
        self._feed = Feed(self._buffer, self._speaker.rate, pcm.volume_factor(self._percent))
        self._restart_clock()
        self.log.info("speaker open", device=self._speaker.name, rate=self._speaker.rate)
        self.state("live")
        return 0.0

    def _hung(self, reason: str) -> NoReturn:
        self.link.beat()  # the last one is old, and what follows may take a moment on a busy machine
        self.state("degraded", reason)
        give_way(self, reason)

    def _restart_clock(self) -> None:
        assert self._speaker is not None
        self._clock = DeviceClock(self._speaker.rate)
        self._moved_to, self._moved_ns, self._looks, self._excused = -1, self.now_ns(), 0, False

    def _turn(self, speaker: devices.Speaker) -> float:
        if speaker.watch.moved:
            raise devices.DeviceLost(f"{speaker.watch.moved}: plug it in again")
        now_ns = self.now_ns()
        free = speaker.free()
        frame = self._progress(speaker, free, now_ns)
        self._report(frame, now_ns)
        ready_ns = self._buffer.ready_in(now_ns)
        if ready_ns == 0 and not self._buffer.running:
            free = self._begin(speaker, free, now_ns)
        if self._buffer.running:
            self._speak(speaker, free, now_ns)
        elif free >= devices.PERIOD:
            speaker.write(pcm.to_bytes(self._feed.silence(free - free % devices.PERIOD)))
        return min(LOOK_S, ready_ns / 1e9) if ready_ns else LOOK_S

    def _progress(self, speaker: devices.Speaker, free: int, now_ns: int) -> int:
        """The device frame that is at the speaker now. The device tells it in whole periods, the clock in between."""
        sounded = self._feed.given - (speaker.capacity - free)
        if sounded != self._moved_to:
            self._moved_to, self._moved_ns, self._looks, self._excused = sounded, now_ns, 0, False
        self._looks += 1
        if self._looks > STUCK_LOOKS and free < speaker.capacity:
            self._stands_still(speaker, now_ns - self._moved_ns)
        if free == speaker.capacity:
            self._ran_out(speaker, now_ns)
            return sounded
        if sounded > 0:  # before that the device has not begun, and its line with it
            self._clock.observe(sounded, now_ns)
        if not self._clock.running:
            return 0
        return max(sounded, min(self._feed.given, self._clock.index_at(now_ns)))

    def _stands_still(self, speaker: devices.Speaker, for_ns: int) -> None:
        if for_ns > LAZY_NS or (for_ns > STUCK_NS and not self._excused):
            why = speaker.why_stuck()
            if why or for_ns > LAZY_NS:
                raise devices.DeviceLost(why or f"{speaker.name}: the speaker stands still: restart the sound server")
            self._excused = True

    def _ran_out(self, speaker: devices.Speaker, now_ns: int) -> None:
        """The device's queue is empty: this process came too late, or nothing was ever written."""
        if self._speaking and self._clock.running and not self._buffer.drained:
            missing_ms = (now_ns - self._clock.time_of(self._feed.given)) // 1_000_000
            self.tell("underrun", epoch=self._buffer.epoch, at=self._buffer.next_at, missing_ms=max(1, missing_ms))
        self._clock = DeviceClock(speaker.rate)  # its line through time is broken

    # -- speech

    def _begin(self, speaker: devices.Speaker, free: int, now_ns: int) -> int:
        underrun = self._buffer.begin(now_ns)
        if underrun is not None:
            self.tell("underrun", epoch=underrun.epoch, at=underrun.at, missing_ms=underrun.missing_ms)
        if self._speaking:
            return free
        speaker.flush()
        self._feed.reset()
        self._restart_clock()
        return speaker.free()

    def _speak(self, speaker: devices.Speaker, free: int, now_ns: int) -> None:
        frames = self._feed.speech(free)
        queued = speaker.capacity - free + frames.size
        if self._buffer.drained and queued < 2 * devices.PERIOD:
            frames = np.concatenate((frames, self._feed.end()))  # 1 ms that the filter still held
            if queued < devices.PERIOD:
                self._buffer.ran_dry(now_ns)
        if frames.size:
            speaker.write(pcm.to_bytes(frames))
        if frames.size and not self._speaking:
            self._speaking = True
            self._say_audible(now_ns)

    def _say_audible(self, now_ns: int) -> None:
        first = self._feed.first
        assert first is not None
        t = self._clock.time_of(first.begin) if self._clock.running else now_ns
        self.tell("audible", epoch=first.chunk.epoch, at=first.chunk.at, t=max(now_ns, t))

    def _renew(self, epoch: int) -> None:
        """A newer epoch: what was before is cut where it stands, and said so."""
        before = self._buffer.epoch
        if epoch <= before:
            return
        if self._speaking:
            self._cut()
        if before >= 0:
            self._say_heard(self._buffer.buffered_to)
        self._buffer.flush(epoch)
        self._heard_at = 0
        self._say_heard(0)

    def _cut(self) -> None:
        """Silence now: the queue of the device is dropped, and with it what it would have said."""
        assert self._speaker is not None
        try:
            now_ns = self.now_ns()
            frame = self._progress(self._speaker, self._speaker.free(), now_ns)
            self._speaker.flush()
        except devices.DeviceLost as error:
            self.state("degraded", str(error))
            raise WorldError(str(error)) from error
        self._publish(self._feed.cut(frame), last=True)
        self._restart_clock()
        self._speaking = False

    # -- what was heard

    def _report(self, frame: int, now_ns: int) -> None:
        if not self._speaking:
            return
        silent = not self._buffer.running
        self._publish(self._feed.left(frame), last=silent and self._feed.silent)
        if silent and self._feed.silent:
            self._speaking = False
        elif now_ns - self._heard_ns < HEARD_NS:
            return
        self._heard_ns = now_ns
        self._say_heard(self._buffer.buffered_to)

    def _publish(self, sounded: list[Sounded], *, last: bool) -> None:
        """`played` in blocks of 20 ms: a block is said when it has left whole."""
        for part in sounded:
            previous = self._played[-1] if self._played else None
            if previous and (part.chunk.epoch, part.chunk.at) != (previous.chunk.epoch, previous.chunk.end):
                self._emit_played()
            self._played.append(part)
            self._heard_at = part.chunk.end
            if sum(p.chunk.samples.size for p in self._played) >= PLAYED:
                self._emit_played()
        if last and self._played:
            self._emit_played()

    def _emit_played(self) -> None:
        first = self._played[0]
        samples = np.concatenate([part.chunk.samples for part in self._played])
        t = self._clock.time_of(first.begin) if self._clock.running else self.now_ns()
        self._played.clear()
        place = first.chunk
        self.emit("played", Audio("played", pcm.to_bytes(samples), RATE, 1, t, place.epoch, place.at))

    def _say_heard(self, buffered_to: int) -> None:
        self.tell("heard", sticky=True, epoch=self._buffer.epoch, at=self._heard_at, buffered_to=buffered_to)
