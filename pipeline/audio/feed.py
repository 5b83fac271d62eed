"""From samples at 24 kHz to a device's frames, and back: which sample of what has left the speaker. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipeline.audio.fade import Fader
from pipeline.audio.jitter import Chunk
from pipeline.audio.pcm import Samples
from pipeline.audio.resample import Resampler

_COMFORT = np.array([0, 1, 0, -1], np.int16)


class Source(Protocol):
    """What gives chunks: the jitter buffer, or a prompt."""

    def take(self, count: int) -> Chunk | None:
        """At most `count` samples without a gap inside; None if there are none for now."""


@dataclass(frozen=True)
class Sounded:
    """A chunk as it sounds (gain applied) in the device's own count of frames, [begin, end)."""

    chunk: Chunk
    begin: int
    end: int


class Feed:
    """Device frames on demand. Counts every frame given, so that the device's progress says what was heard."""

    def __init__(self, rate: int, device_rate: int, gain: float = 1.0) -> None:
        self.rate = rate
        self.device_rate = device_rate
        self.fader = Fader(rate, gain)
        self.given = 0
        """Frames given since the start or the last `reset`, silence included."""
        self._pending = np.empty(0, np.int16)  # resampled, not given yet
        self._swr = Resampler(rate, device_rate)
        self._open = False  # a run is under way
        self._run = Chunk(-1, 0, np.empty(0, np.int16))  # newest chunk of the run
        self._run_at = 0
        self._run_begin = 0  # device frame that carries sample `_run_at`
        self._sounding: deque[Sounded] = deque()

    @property
    def silent(self) -> bool:
        """Everything given has left, as far as `left` was told."""
        return not self._sounding

    @property
    def pending(self) -> int:
        """Frames that are ready and were not given yet."""
        return self._pending.size

    @property
    def between(self) -> bool:
        """No run is under way: the next sample begins one, so its gain may jump."""
        return not self._open

    @property
    def begun(self) -> tuple[Chunk, int]:
        """The place at which the newest run began, as an empty chunk, and its device frame."""
        return Chunk(self._run.epoch, self._run_at, self._run.samples[:0]), self._run_begin

    def take(self, source: Source, count: int) -> Samples:
        """Up to `count` frames from `source`, fewer when it has no more for now."""
        while self._pending.size < count:
            wanted = -(-(count - self._pending.size) * self.rate // self.device_rate)
            chunk = source.take(wanted)
            if chunk is None:
                break
            self._convert(chunk)
        return self._give(self._pending[:count])

    def rest(self, count: int) -> Samples:
        """Up to `count` frames of what is ready already."""
        return self._give(self._pending[:count])

    def end(self) -> Samples:
        """The last frames of what was taken: all that the filter still held. It may go on after that all the same."""
        self._close_run()
        return self._give(self._pending)

    def fade_out(self, source: Source, ms: float) -> None:
        """Take `ms` more of `source` and fade them to nothing: its last sound, which `rest` gives. The gain stays 0."""
        self.fader.to(0.0, ms)
        left = round(self.rate * ms / 1000)
        while left > 0 and (chunk := source.take(left)) is not None:
            self._convert(chunk)
            left -= chunk.samples.size
        self._close_run()

    def silence(self, count: int) -> Samples:
        """`count` frames of nothing."""
        return self._give(np.zeros(count, np.int16))

    def comfort(self, count: int) -> Samples:
        """`count` frames that nobody hears (-90 dBFS, above most people's hearing) but that are no digital silence, at
        which some converters and amplifiers close their output and take 200 ms to open it again."""
        return self._give(np.resize(_COMFORT, count))

    def left(self, frame: int) -> list[Sounded]:
        """Chunks that have left whole when the device has sounded all frames before `frame`."""
        out = []
        while self._sounding and self._sounding[0].end <= frame:
            out.append(self._sounding.popleft())
        return out

    def cut(self, frame: int) -> list[Sounded]:
        """What has left by `frame`, the last chunk cut there; everything after it will never be heard."""
        out = self.left(frame)
        if self._sounding:
            first = self._sounding[0]
            count = min(first.chunk.samples.size, (frame - first.begin) * self.rate // self.device_rate)
            if count > 0:
                part = Chunk(first.chunk.epoch, first.chunk.at, first.chunk.samples[:count])
                out.append(Sounded(part, first.begin, frame))
        self.reset()
        return out

    def reset(self) -> None:
        """The device's queue was emptied: count from 0 again."""
        self._pending = np.empty(0, np.int16)
        if self._open:
            self._swr.drain()  # now, and not before the next first sample: it takes a moment
            self._open = False
        self._sounding.clear()
        self.given = 0

    def _convert(self, chunk: Chunk) -> None:
        if not self._open or (chunk.epoch, chunk.at) != (self._run.epoch, self._run.end):
            self._close_run()
            self._open = True
            self._run_at, self._run_begin = chunk.at, self.given + self._pending.size
        self._run = chunk
        loud = self.fader.apply(chunk.samples)
        self._pending = np.concatenate((self._pending, self._swr.convert(loud)))
        # The resampler keeps sample k exactly at k / rate: what it still holds comes later, but to its own place.
        self._sounding.append(
            Sounded(Chunk(chunk.epoch, chunk.at, loud), self._frame_of(chunk.at), self._frame_of(chunk.end))
        )

    def _frame_of(self, at: int) -> int:
        return self._run_begin + (at - self._run_at) * self.device_rate // self.rate

    def _close_run(self) -> None:
        if self._open:
            self._pending = np.concatenate((self._pending, self._swr.drain()))
            self._open = False
            # A run shorter than the filter comes out shorter than it is; its place in time stays its own.
            missing = self._frame_of(self._run.end) - self.given - self._pending.size
            self._pending = np.pad(self._pending, (0, max(0, missing)))

    def _give(self, frames: Samples) -> Samples:
        self._pending = self._pending[frames.size :]
        self.given += frames.size
        return frames
