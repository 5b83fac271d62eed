"""A speaker without a sound card: a WAV file that grows in real time, silence included, as a listener would hear it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from pipeline import Audio, Event, Stage
from pipeline.audio.jitter import Chunk, JitterBuffer
from pipeline.audio.wav_file import GrowingWav

RATE = 24_000
BLOCK_FRAMES = 240
"""10 ms, after which what was written has left this speaker."""
HEARD_EVERY_NS = 100_000_000


class WavSink(Stage):
    """Takes replies as playback does, and says the same events."""

    reads: ClassVar[tuple[str, ...]] = ("reply",)
    emits: ClassVar[tuple[str, ...]] = ("played",)

    file: str = "reply.wav"
    """Relative to the run directory. Overwritten by the next run, continued after a restart of this stage."""
    jitter_ms: int = 40
    """Audio in hand before an answer starts."""

    def start(self) -> None:
        """The file's clock starts now."""
        self._wav = GrowingWav(self.run_dir / self.file, RATE, append=self.brief.restarts > 0)
        self._jitter = JitterBuffer(RATE, self.jitter_ms)
        self._next_ns = self.now_ns()
        self._speaking = False
        self._heard_at = 0
        self._heard_said_ns = 0

    def on_audio(self, audio: Audio) -> None:
        """A frame of a reply."""
        if audio.epoch is None or audio.at is None:
            return
        self._renew(audio.epoch)
        self._jitter.push(audio.epoch, audio.at, audio.samples, self.now_ns())

    def on_flush(self, event: Event) -> None:
        """Older speech must no longer be heard."""
        self._renew(event.body["epoch"])

    def step(self) -> float:
        """Write the blocks whose time has come."""
        while self._next_ns <= self.now_ns():
            self._write_block()
        return (self._next_ns - self.now_ns()) / 1e9

    def stop(self) -> None:
        """Close the file and say where it lies."""
        self._wav.close()
        self.tell("recorded", file=str(self._wav.path))
        self.log.info("what the visitor heard is recorded", file=str(self._wav.path), lost_bytes=self._wav.lost_bytes)

    def _write_block(self) -> None:
        now_ns = self._next_ns
        self._next_ns += BLOCK_FRAMES * 1_000_000_000 // RATE
        if self._jitter.ready_in(now_ns) == 0 and (underrun := self._jitter.begin(now_ns)):
            self.tell("underrun", epoch=underrun.epoch, at=underrun.at, missing_ms=underrun.missing_ms)
        chunk = self._jitter.take(BLOCK_FRAMES)
        samples = np.zeros(BLOCK_FRAMES, np.int16)
        if chunk is not None:
            samples[: chunk.samples.size] = chunk.samples
        self._wav.write(samples.tobytes())
        if chunk is not None:
            self._left(chunk, now_ns)
        elif self._speaking and self._jitter.drained:
            self._jitter.ran_dry(now_ns)
            self._speaking = False

    def _left(self, chunk: Chunk, now_ns: int) -> None:
        if not self._speaking:
            self._speaking = True
            self.tell("audible", epoch=chunk.epoch, at=chunk.at, t=now_ns)
        self._heard_at = chunk.end
        self.emit("played", Audio("played", chunk.samples.tobytes(), RATE, 1, now_ns, chunk.epoch, chunk.at))
        if self._jitter.drained or now_ns - self._heard_said_ns >= HEARD_EVERY_NS:
            self._say_heard(now_ns)

    def _renew(self, epoch: int) -> None:
        """A newer epoch: what was heard of the one before is said where it was cut."""
        if epoch <= self._jitter.epoch:
            return
        if self._jitter.epoch >= 0:
            self._say_heard(self.now_ns())
        self._jitter.flush(epoch)
        self._heard_at, self._speaking = 0, False
        self._say_heard(self.now_ns())

    def _say_heard(self, now_ns: int) -> None:
        self._heard_said_ns = now_ns
        epoch, buffered_to = self._jitter.epoch, self._jitter.buffered_to
        self.tell("heard", sticky=True, epoch=epoch, at=self._heard_at, buffered_to=buffered_to)
