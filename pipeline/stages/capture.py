"""The microphone: blocks of 20 ms as the device gives them, each with the time of its first sample."""

from __future__ import annotations

from collections import deque
from typing import ClassVar, NoReturn

from pipeline import Audio, Event, Stage
from pipeline.audio import devices, pcm
from pipeline.audio.deviceclock import DeviceClock
from pipeline.config.options import OptionError
from pipeline.stage.life import WorldError, give_way

PROBE_S = 0.5
"""How often an absent device is looked for."""
HELD_BLOCKS = 100
"""Blocks (2 s) that wait while it is being checked whose sound they are, or how old. Over it the oldest is dropped and
counted."""
STALL_NS = 100_000_000
"""A read that took longer was held up: what comes now lay somewhere meanwhile and is older than it looks."""
BEGIN_NS = 3_000_000_000
"""A source of PulseAudio that nobody hurries lets a new stream wait for up to 2 s."""
BEGIN_LOOK_S = 0.005
EARLY_NS = 2_000_000
"""Until so long before a block is due the bus is listened to, and only then the device: a front end that comes back in
the meantime has its answer at once, not after the block."""
SETTLED_NS = 50_000_000
"""In which the pieces of a backlog follow each other."""


class Capture(Stage):
    """Owns the microphone. Absent: degraded, looked for without PortAudio. Lost: exits 69 and is replaced."""

    reads: ClassVar[tuple[str, ...]] = ()
    emits: ClassVar[tuple[str, ...]] = ("mic",)

    device: str = "auto"
    """A part of the name that `devices` prints; `auto` follows PULSE_SOURCE where it is set, else the default."""
    channel: str = "mix"
    """mix, left, right, a number counted from 0, or all: every channel goes on, and frontend chooses."""

    def prime(self) -> None:
        """Raises OptionError for a channel that can't be one."""
        try:
            if self.channel != "all":
                pcm.check_channel(self.channel)
        except ValueError as error:
            raise OptionError(f"{error}, nor all") from error

    def start(self) -> None:
        """Nothing is opened yet."""
        self._microphone: devices.Microphone | None = None
        self._muted = False  # what `go` says of it comes before the first step
        self._probe_ns = 0
        self._held: deque[tuple[int, bytes]] = deque()  # number of the first sample, block
        self._stalled, self._stall_ended_ns = False, 0
        self._waits_since_ns = 0
        self.dropped_blocks = 0
        self.state("waiting", "the microphone is being opened")

    def step(self) -> float | None:
        """One block, or one look for the device."""
        if self._muted:
            return None
        if self._microphone is None:
            return self._look()
        if not self._clock.running and not self._has_begun(self._microphone):
            return BEGIN_LOOK_S
        if (early_s := self._early_s(self._microphone)) > 0:
            return early_s
        self._read(self._microphone)
        return 0.0

    def on_mute(self, event: Event) -> None:
        """Muted is closed: no program of this machine gets sound through us."""
        self._muted = event.body.get("muted") is True
        if self._muted:
            self._close()
            by = event.body.get("by")
            self.state("muted", f"muted by {by}" if by else "muted")

    def stop(self) -> None:
        """Release the device."""
        self._close()

    def _look(self) -> float:
        if (wait_ns := self._probe_ns - self.now_ns()) > 0:
            return wait_ns / 1e9
        found = devices.find("microphone", self.device)
        if isinstance(found, str):
            self.state("degraded", found)
            self._probe_ns = self.now_ns() + int(PROBE_S * 1e9)
            return PROBE_S
        self._open(found)
        return 0.0

    def _open(self, found: devices.Found) -> None:
        try:
            self._microphone = devices.Microphone(found, give_up=self._hung)
        except devices.DeviceLost as error:
            self.state("degraded", str(error))
            raise WorldError(str(error)) from error
        self._clock = DeviceClock(self._microphone.rate)
        self._count = self._waits_since_ns = 0  # samples read so far; when waiting for the next ones began
        self._opened_ns = self.now_ns()
        self._sounding = False

    def _has_begun(self, microphone: devices.Microphone) -> bool:
        """Whether a new stream gives sound yet. Asked, not read: a read would hang for as long as it does not."""
        try:
            begun = microphone.waiting() > 0
            if not begun and self.now_ns() - self._opened_ns > BEGIN_NS:
                raise devices.DeviceLost(microphone.why_silent())
        except devices.DeviceLost as error:
            self.state("degraded", str(error))
            raise WorldError(str(error)) from error
        return begun

    def _early_s(self, microphone: devices.Microphone) -> float:
        """How long there is no use in reading yet."""
        now_ns = self.now_ns()
        self._waits_since_ns = self._waits_since_ns or now_ns
        if self._stalled or not self._clock.running:
            return 0.0
        return (self._clock.time_of(self._count + microphone.frames) - now_ns - EARLY_NS) / 1e9

    def _read(self, microphone: devices.Microphone) -> None:
        begun_ns, self._waits_since_ns = self._waits_since_ns or self.now_ns(), 0
        try:
            self._held.append((self._count, microphone.read()))
            self._count += microphone.frames
            self._set_clock(microphone, begun_ns, self.now_ns())
        except devices.DeviceLost as error:
            self.state("degraded", str(error))
            raise WorldError(str(error)) from error
        self._release(microphone)

    def _set_clock(self, microphone: devices.Microphone, begun_ns: int, now_ns: int) -> None:
        """Tell the clock what is certain: a block that was waited for, in time, is the newest there is.

        One that did not wait comes from a backlog, and when it was at the microphone the clock knows better. After a
        stall even the first block may be old, so all are held until one had to be waited for again and left nothing;
        or, of a device that gives its sound in heaps, until nothing is left some time after.
        """
        waited_ns, block_ns = now_ns - begun_ns, microphone.frames * 1_000_000_000 // microphone.rate
        if self._stalled:
            settled = waited_ns > block_ns // 2 or now_ns - self._stall_ended_ns > SETTLED_NS
            if not settled or microphone.waiting() >= microphone.frames:
                return
            self._stalled = False
            self._clock.observe(self._count, now_ns)
        elif waited_ns > STALL_NS and self._clock.running:
            self._stalled, self._stall_ended_ns = True, now_ns
        elif waited_ns > block_ns // 4 or not self._clock.running or self._clock.time_of(self._count) > now_ns:
            self._clock.observe(self._count, now_ns)  # the last: nothing comes from the future

    def _audio(self, microphone: devices.Microphone, block: bytes, t: int) -> Audio:
        audio = Audio("mic", block, microphone.rate, microphone.channels, t=t)
        if self.channel == "all" or microphone.channels == 1:
            return audio
        try:
            return audio.replace(samples=pcm.pick(audio.samples, self.channel))
        except ValueError as error:
            raise WorldError(str(error)) from error

    def _release(self, microphone: devices.Microphone) -> None:
        """Send what is certain to be the microphone's; after a move to another source nothing of it is."""
        if microphone.watch.moved:
            self.state("degraded", f"{microphone.watch.moved}: plug it in again")
            raise WorldError(microphone.watch.moved)
        if microphone.watch.checking or self._stalled:
            if len(self._held) > HELD_BLOCKS:
                self._held.popleft()
                self.dropped_blocks += 1
            return
        self.state("live")
        if not self._sounding:  # not at the open: a broken card opens every 2 s, and each time without a sound
            self._sounding = True
            form = {"rate": microphone.rate, "channels": microphone.channels}
            self.log.info("microphone open", device=microphone.name, **form)
        while self._held:
            first, block = self._held.popleft()
            self.emit("mic", self._audio(microphone, block, self._clock.time_of(first)))

    def _hung(self, reason: str) -> NoReturn:
        self.link.beat()  # the last one is old, and what follows may take a moment on a busy machine
        self.state("degraded", reason)
        give_way(self, reason)

    def _close(self) -> None:
        self._held.clear()
        if self._microphone is not None:
            self._microphone.close()
            self._microphone = None
            self.log.info("microphone closed")
