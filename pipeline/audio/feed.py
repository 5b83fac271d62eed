"""From the jitter buffer to a device's frames, and back: which sample of which answer has left the speaker. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from pipeline.audio.jitter import Chunk, JitterBuffer
from pipeline.audio.pcm import Samples, ramp
from pipeline.audio.resample import Resampler


@dataclass(frozen=True)
class Sounded:
    """A chunk as it sounds (volume applied) in the device's own count of frames, [begin, end)."""

    chunk: Chunk
    begin: int
    end: int


class Feed:
    """Device frames on demand. Counts every frame given, so that the device's progress says what was heard."""

    def __init__(self, buffer: JitterBuffer, device_rate: int, volume: float = 1.0) -> None:
        self.buffer = buffer
        self.device_rate = device_rate
        self.volume = volume
        """Factor from the next chunk on; a change is spread over that chunk, a jump would click."""
        self._volume_now = volume
        self.given = 0
        """Frames given since the start or the last `reset`, silence included."""
        self._pending = np.empty(0, np.int16)  # resampled, not given yet
        self._swr: Resampler | None = None  # None: between two answers
        self._run = Chunk(-1, 0, np.empty(0, np.int16))  # newest chunk of the run
        self._run_at = 0
        self._run_begin = 0  # device frame that carries sample `_run_at`
        self._sounding: deque[Sounded] = deque()

    @property
    def silent(self) -> bool:
        """Everything given has left, as far as `left` was told."""
        return not self._sounding

    def speech(self, count: int) -> Samples:
        """Up to `count` frames of speech, fewer when the buffer has no more for now."""
        while self._pending.size < count:
            wanted = -(-(count - self._pending.size) * self.buffer.rate // self.device_rate)
            chunk = self.buffer.take(wanted)
            if chunk is None:
                break
            self._convert(chunk)
        return self._give(self._pending[:count])

    def end(self) -> Samples:
        """The last frames of what was taken: all that the filter still held. Speech may go on after it all the same."""
        self._close_run()
        return self._give(self._pending)

    def silence(self, count: int) -> Samples:
        """`count` frames of nothing."""
        return self._give(np.zeros(count, np.int16))

    def left(self, frame: int) -> list[Sounded]:
        """Chunks that have left whole when the device has sounded all frames before `frame`."""
        out = []
        while self._sounding and self._sounding[0].end <= frame:
            out.append(self._sounding.popleft())
        return out

    @property
    def first(self) -> Sounded | None:
        """The oldest chunk that was given and has not left."""
        return self._sounding[0] if self._sounding else None

    def cut(self, frame: int) -> list[Sounded]:
        """What has left by `frame`, the last chunk cut there; everything after it will never be heard."""
        out = self.left(frame)
        if self._sounding:
            first = self._sounding[0]
            count = min(first.chunk.samples.size, (frame - first.begin) * self.buffer.rate // self.device_rate)
            if count > 0:
                part = Chunk(first.chunk.epoch, first.chunk.at, first.chunk.samples[:count])
                out.append(Sounded(part, first.begin, frame))
        self.reset()
        return out

    def reset(self) -> None:
        """The device's queue was emptied: count from 0 again."""
        self._pending = np.empty(0, np.int16)
        self._swr = None
        self._sounding.clear()
        self.given = 0

    def _convert(self, chunk: Chunk) -> None:
        if self._swr is None:
            self._volume_now = self.volume  # changed in silence: nothing to spread it over
        if self._swr is None or (chunk.epoch, chunk.at) != (self._run.epoch, self._run.end):
            self._close_run()
            self._swr = Resampler(self.buffer.rate, self.device_rate)
            self._run_at, self._run_begin = chunk.at, self.given + self._pending.size
        self._run = chunk
        loud = ramp(chunk.samples, self._volume_now, self.volume)
        self._volume_now = self.volume
        self._pending = np.concatenate((self._pending, self._swr.convert(loud)))
        # The resampler keeps sample k exactly at k / rate: what it still holds comes later, but to its own place.
        self._sounding.append(
            Sounded(Chunk(chunk.epoch, chunk.at, loud), self._frame_of(chunk.at), self._frame_of(chunk.end))
        )

    def _frame_of(self, at: int) -> int:
        return self._run_begin + (at - self._run_at) * self.device_rate // self.buffer.rate

    def _close_run(self) -> None:
        if self._swr is not None:
            self._pending = np.concatenate((self._pending, self._swr.drain()))
            self._swr = None
            # A run shorter than the filter comes out shorter than it is; its place in time stays its own.
            missing = self._frame_of(self._run.end) - self.given - self._pending.size
            self._pending = np.pad(self._pending, (0, max(0, missing)))

    def _give(self, frames: Samples) -> Samples:
        self._pending = self._pending[frames.size :]
        self.given += frames.size
        return frames
