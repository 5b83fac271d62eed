"""The buffer between a service that sends in bursts and a speaker that takes evenly; and the gate of epochs. Pure.

Places are in samples of 24 kHz since the epoch began. An older epoch is dropped, a newer one flushes and is accepted,
the same one is appended; so a late or repeated flush does nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from pipeline.audio.pcm import Samples


@dataclass(frozen=True)
class Chunk:
    """What the speaker gets next: mono samples whose first one is sample `at` of `epoch`."""

    epoch: int
    at: int
    samples: Samples

    @property
    def end(self) -> int:
        return self.at + self.samples.size


@dataclass(frozen=True)
class Underrun:
    """The speaker wanted sample `at` of `epoch` and got it `missing_ms` late."""

    epoch: int
    at: int
    missing_ms: int


@dataclass
class Counts:
    """What was lost or late since the start. Samples unless the name says otherwise."""

    stale: int = 0  # of an older epoch
    flushed: int = 0  # in hand when a newer epoch came
    duplicate: int = 0  # already here or already taken: a replay that overlaps
    missing: int = 0  # gaps in `at`: never arrived
    overflow: int = 0  # beyond the bound: the newest are refused
    underruns: int = 0  # times


class JitterBuffer:
    """Reply frames in, even chunks out.

    An answer starts when the target is in hand (at once if it already is), or when its first sample has waited that
    long: a shorter answer is all there is. After running dry it waits like that again, because one late frame is
    mostly followed by others; 20 ms or less in hand were measured to slip, 40 ms not.

    The target is `target_ms` until a frame comes too late: then it grows, up to `most_ms`, and comes back step by step
    while nothing more is late: a line that tears sentences is given more time, and only for as long as it does.
    """

    UNDERRUN_MS = 1_000
    """Dry for longer is no underrun: the answer was over, and more was said after a tool or a thought."""
    GROW_MS = 20
    """An underrun adds so much to the target: a frame, as services send them."""
    SHRINK_MS = 10
    CALM_S = 20
    """And so many seconds of speech without one take SHRINK_MS off it."""

    def __init__(self, rate: int = 24_000, target_ms: int = 40, limit_s: float = 600.0, most_ms: int = 200) -> None:
        self.rate = rate
        self._least_ms, self._most_ms = target_ms, max(target_ms, most_ms)
        self.target_ms = target_ms
        self._calm = 0  # samples taken since the last underrun or step of the target
        self._limit = int(rate * limit_s)
        self.counts = Counts()
        self.epoch = -1  # -1: nothing yet, any epoch is newer
        self.next_at = 0  # the sample that `take` gives next
        self.buffered_to = 0  # end of what has arrived
        self._frames: deque[Chunk] = deque()
        self._held = 0
        self._untouched = True  # no frame of this epoch yet
        self._running = False
        self._waiting_since: int | None = None
        self._dry_since: int | None = None

    def __len__(self) -> int:
        """Samples in hand."""
        return self._held

    @property
    def drained(self) -> bool:
        """Everything that arrived was taken."""
        return self._held == 0

    @property
    def running(self) -> bool:
        """An answer is being taken; False while waiting for the target."""
        return self._running

    @property
    def ready(self) -> bool:
        """The target is in hand."""
        return self._held > 0 and self._held >= self.rate * self.target_ms // 1000

    def flush(self, epoch: int) -> bool:
        """`epoch` begins: what is in hand of older ones is dropped. False if it is not newer: nothing happens."""
        if epoch <= self.epoch:
            return False
        self.counts.flushed += self._held
        self.epoch, self.next_at, self.buffered_to = epoch, 0, 0
        self._frames.clear()
        self._held = 0
        self._untouched = True
        self._running = False
        self._waiting_since = self._dry_since = None
        return True

    def push(self, epoch: int, at: int, samples: Samples, now_ns: int) -> bool:
        """The next frame. True if it flushed an older epoch (the speaker must be silenced too)."""
        if epoch < self.epoch:
            self.counts.stale += samples.size
            return False
        newer = self.flush(epoch)
        self._append(at, samples, now_ns)
        return newer

    def _append(self, at: int, samples: Samples, now_ns: int) -> None:
        if self._untouched:
            # Not a gap: who starts in the middle of an answer goes on from where the writer begins.
            self.buffered_to = at
        have = min(max(0, self.buffered_to - at), samples.size)
        self.counts.duplicate += have
        at, samples = at + have, samples[have:]
        room = max(0, self._limit - self._held)
        self.counts.overflow += max(0, samples.size - room)
        samples = samples[:room]
        if not samples.size:
            return
        self.counts.missing += at - self.buffered_to
        if not self._held:
            self.next_at = at
            self._waiting_since = now_ns
        self._untouched = False
        self._frames.append(Chunk(self.epoch, at, samples))
        self._held += samples.size
        self.buffered_to = at + samples.size

    def ready_in(self, now_ns: int) -> int | None:
        """ns until there is something to take: 0 now, None when only a frame can change that."""
        if not self._held or self._waiting_since is None:
            return None
        if self._running or self.ready:
            return 0
        return max(0, self._waiting_since + self.target_ms * 1_000_000 - now_ns)

    def begin(self, now_ns: int) -> Underrun | None:
        """An answer starts or goes on (`ready_in` is 0). The underrun that this ends, if there was one."""
        dry, self._dry_since, self._running = self._dry_since, None, True
        missing_ms = (now_ns - dry) // 1_000_000 if dry is not None else 0
        if not 0 < missing_ms < self.UNDERRUN_MS:
            return None
        self.counts.underruns += 1
        self.target_ms = min(self._most_ms, self.target_ms + self.GROW_MS)
        self._calm = 0
        return Underrun(self.epoch, self.next_at, missing_ms)

    def take(self, count: int) -> Chunk | None:
        """At most `count` samples without a gap inside; None if nothing is in hand or `begin` was not called."""
        if count <= 0 or not self._held or not self._running:
            return None
        parts: list[Samples] = []
        begin = end = self._frames[0].at
        while self._frames and count > 0 and self._frames[0].at == end:
            frame = self._frames.popleft()
            if frame.samples.size > count:
                self._frames.appendleft(Chunk(frame.epoch, frame.at + count, frame.samples[count:]))
                frame = Chunk(frame.epoch, frame.at, frame.samples[:count])
            parts.append(frame.samples)
            count -= frame.samples.size
            end = frame.end
        self._held -= end - begin
        self._grow_calm(end - begin)
        self.next_at = self._frames[0].at if self._frames else end
        return Chunk(self.epoch, begin, parts[0] if len(parts) == 1 else np.concatenate(parts))

    def ran_dry(self, now_ns: int) -> None:
        """The speaker has sounded everything that was taken and stands: wait for the target again, if less is in hand.

        Frames that come just as the speaker runs out would else be said one by one, with a gap before each.
        """
        if self._running and not self.ready:
            self._running = False
            self._dry_since = now_ns

    def _grow_calm(self, samples: int) -> None:
        self._calm += samples
        if self._calm >= self.CALM_S * self.rate:
            self._calm = 0
            self.target_ms = max(self._least_ms, self.target_ms - self.SHRINK_MS)
