"""A speaker without a sound card: a WAV file that grows in real time, silence included, as a listener would hear it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import numpy as np

from pipeline import Audio, Event, Stage
from pipeline.audio import pcm
from pipeline.audio.account import TimeOf
from pipeline.audio.mouth import RATE, Mouth
from pipeline.audio.prompting import Prompt
from pipeline.audio.prompts import Prompts
from pipeline.audio.wav_file import GrowingWav

BLOCK_FRAMES = 240
"""10 ms, after which what was written has left this speaker."""
QUEUE_FRAMES = 2 * BLOCK_FRAMES
_NS = 1_000_000_000


class WavSink(Stage):
    """Takes replies and prompts as playback does, and says the same events. It has no volume: a file has none."""

    reads: ClassVar[tuple[str, ...]] = ("reply",)
    emits: ClassVar[tuple[str, ...]] = ("played",)

    file: str = "reply.wav"
    """Relative to the run directory. Overwritten by the next run, continued after a restart of this stage."""
    jitter_ms: int = 40
    """Audio in hand before an answer starts."""

    def start(self) -> None:
        """The file's clock starts now."""
        self._wav = GrowingWav(self.run_dir / self.file, RATE, append=self.brief.restarts > 0)
        self._mouth = Mouth(self.tell, self._emit, jitter_ms=self.jitter_ms)
        self._mouth.open(RATE, low=QUEUE_FRAMES)
        self._prompts = Prompts(None, self.brief.language, lambda why: self.log.warning("prompt broken", error=why))
        self._queue = np.empty(0, np.int16)
        self._next_ns = self.now_ns()

    def on_audio(self, audio: Audio) -> None:
        """A frame of a reply."""
        if audio.epoch is None or audio.at is None:
            return
        self._renew(audio.epoch, "new_answer", audio.at)
        self._mouth.push(audio.epoch, audio.at, audio.samples, self.now_ns())

    def on_flush(self, event: Event) -> None:
        """Older speech must no longer be heard."""
        if (epoch := event.number("epoch")) is not None:
            self._renew(epoch, str(event.body.get("cause")))

    def on_duck(self, event: Event) -> None:
        """Lower the answer, or bring it back."""
        self._mouth.duck(event.body, self.now_ns())

    def on_play(self, event: Event) -> None:
        """A prompt or an earcon."""
        body = event.body
        name = str(body.get("name"))
        samples = self._prompts.samples(name)
        if samples is None:
            self.tell("no_prompt", name=name, there_is=self._prompts.names())
            return
        self._mouth.play(Prompt(name, samples, str(body.get("cause", "")), bool(body.get("loop"))), self.now_ns())

    def on_play_stop(self, event: Event) -> None:
        """It is wanted no more."""
        self._mouth.play_stop(str(event.body.get("name")))

    def step(self) -> float:
        """Write the blocks whose time has come."""
        while self._next_ns <= self.now_ns():
            self._write_block(self._next_ns)
            self._next_ns += BLOCK_FRAMES * _NS // RATE
        return (self._next_ns - self.now_ns()) / 1e9

    def stop(self) -> None:
        """Close the file and say where it lies. What was not heard is for whoever follows."""
        if self._mouth.speaking:
            self._silence(partial(self._mouth.leave, now_ns=self.now_ns()))
        self._wav.close()
        self.tell("recorded", file=str(self._wav.path))
        self.log.info("what the visitor heard is recorded", file=str(self._wav.path), lost_bytes=self._wav.lost_bytes)

    def _write_block(self, now_ns: int) -> None:
        """What is queued sounds from now on for 10 ms; then the queue is filled again."""
        mouth = self._mouth
        left, self._queue = self._queue[:BLOCK_FRAMES], self._queue[BLOCK_FRAMES:]
        block = np.zeros(BLOCK_FRAMES, np.int16)
        block[: left.size] = left
        self._wav.write(pcm.to_bytes(block))
        frame = mouth.given - self._queue.size
        mouth.left(frame, lambda index: now_ns + (index - frame + left.size) * _NS // RATE, now_ns)
        if mouth.sounding or mouth.ready_in(now_ns) == 0:
            queued = self._queue.size
            self._queue = np.append(self._queue, mouth.frames(QUEUE_FRAMES - queued, queued, now_ns))

    def _renew(self, epoch: int, cause: str, at: int = 0) -> None:
        """A newer epoch: what was heard of the one before is said where it was cut."""
        if self._mouth.must_cut(epoch, cause):
            self._silence(self._mouth.cut)
        self._mouth.renew(epoch, cause, self.now_ns(), at)

    def _silence(self, cut: Callable[[int, TimeOf], None]) -> None:
        frame, now_ns = self._mouth.given - self._queue.size, self.now_ns()
        cut(frame, lambda index: now_ns + (index - frame) * _NS // RATE)
        self._queue = np.empty(0, np.int16)

    def _emit(self, samples: pcm.Samples, t: int, epoch: int | None, at: int | None) -> None:
        self.emit("played", Audio("played", pcm.to_bytes(samples), RATE, 1, t, epoch, at))
