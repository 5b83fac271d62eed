"""Stages of the benchmarks: a microphone that writes the time into its sound, and a speaker that reads it."""

from __future__ import annotations

import struct
from typing import ClassVar

from pipeline import Audio, Stage
from pipeline.stages.playback import Playback
from scripts.benchmarks.slots import BLOCK_NS, Slots, sleep_until
from scripts.benchmarks.stamp import VOICE_BYTES, stamp_of, stamped


class Source(Stage):
    """As capture: a step blocks for up to 20 ms, and has a block then."""

    reads: ClassVar[tuple[str, ...]] = ()
    emits: ClassVar[tuple[str, ...]] = ("mic",)

    slots: str = "0:1:0"
    """As `Slots.text()`; by default it is never its turn."""

    def start(self) -> None:
        """The first block is due with the next tick."""
        self._slots = Slots.of(self.slots)
        self._due_ns = self.now_ns() // BLOCK_NS * BLOCK_NS

    def step(self) -> float | None:
        """One block, or its silence."""
        self._due_ns += BLOCK_NS
        sleep_until(self._due_ns)
        if self._slots.mine(self._due_ns, floor=False):
            self.emit("mic", Audio("mic", stamped(VOICE_BYTES), 16_000, 1, t=self._due_ns - BLOCK_NS))
        return 0.0


class Waiting(Source):
    """As capture when all is well: it hears the bus until its block is due. Stamps are due times, 20 ms apart."""

    def step(self) -> float | None:
        """The blocks that are due."""
        while (due_s := (self._due_ns + BLOCK_NS - self.now_ns()) / 1e9) <= 0:
            self._due_ns += BLOCK_NS
            if self._slots.mine(self._due_ns, floor=False):
                t = self._due_ns - BLOCK_NS
                self.emit("mic", Audio("mic", stamped(VOICE_BYTES, self._due_ns), 16_000, 1, t=t))
        return due_s


class TimedPlayback(Playback):
    """Playback itself; a block's time is taken when it lies in the queue."""

    reads: ClassVar[tuple[str, ...]] = ("reply",)
    emits: ClassVar[tuple[str, ...]] = ("played",)

    WRITE_EVERY = 50

    def start(self) -> None:
        """Nothing has come."""
        super().start()
        self._came = bytearray()
        self._out = (self.run_dir / "replies.times").open("ab", buffering=0)

    def on_audio(self, audio: Audio) -> None:
        """Queue it, then look at the clock."""
        super().on_audio(audio)
        now_ns = self.now_ns()
        if (made_ns := stamp_of(audio.pcm)) is not None:
            self._came += struct.pack("<QQ", made_ns, now_ns)
        if len(self._came) >= 16 * self.WRITE_EVERY:
            self._out.write(self._came)
            self._came.clear()

    def stop(self) -> None:
        """The rest."""
        self._out.write(self._came)
        super().stop()
