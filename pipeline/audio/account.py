"""What has truly left the speaker, said to everybody: `audible`, `played`, `heard`. Pure: it is told the time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from pipeline.audio.feed import Sounded
from pipeline.audio.jitter import Chunk
from pipeline.audio.pcm import Samples

PROMPT = -1
"""The epoch of a chunk that belongs to no answer: it is `played`, and nobody counts it as heard."""
HEARD_NS = 100_000_000
"""How often `heard` is said while speaking."""
BLOCK = 480
"""Samples of a `played` block: 20 ms; the last one before silence may be shorter."""


class Tell(Protocol):
    """A stage's own `tell`."""

    def __call__(self, event: str, sticky: bool = False, key: str | None = None, **body: object) -> None: ...


Play = Callable[[Samples, int, int | None, int | None], None]
"""`played`: samples of 24 kHz, `t` in ns, epoch and at, both None for a prompt."""
TimeOf = Callable[[int], int]
"""When a frame of the device was or will be at the speaker, ns."""


class Account:
    """Of one speaker. `tell` and `play` are the stage's."""

    def __init__(self, tell: Tell, play: Play) -> None:
        self._tell, self._play = tell, play
        self.speaking = False
        """From the first sample of an answer that is given until the last one has left."""
        self._block: list[Sounded] = []
        self._heard_at = 0
        self._heard_ns = 0

    def audible(self, place: Chunk, t: int) -> None:
        """An answer begins to sound at `t`, after silence."""
        self.speaking = True
        self._tell("audible", epoch=place.epoch, at=place.at, t=t)

    def left(self, sounded: Iterable[Sounded], time_of: TimeOf, *, last: bool) -> None:
        """These have left; `last`: silence follows. A block is `played` when it has left whole."""
        for part in sounded:
            before = self._block[-1].chunk if self._block else part.chunk
            if before is not part.chunk and (before.epoch, before.end) != (part.chunk.epoch, part.chunk.at):
                self._say_played(time_of)
            self._block.append(part)
            if part.chunk.epoch != PROMPT:
                self._heard_at = part.chunk.end
            if sum(p.chunk.samples.size for p in self._block) >= BLOCK:
                self._say_played(time_of)
        if last and self._block:
            self._say_played(time_of)

    def heard(self, epoch: int, buffered_to: int, now_ns: int) -> None:
        """Say how much of `epoch` was heard."""
        self._heard_ns = now_ns
        self._tell("heard", sticky=True, epoch=epoch, at=self._heard_at, buffered_to=buffered_to)

    def heard_due(self, now_ns: int) -> bool:
        """Whether it is time to say it again."""
        return now_ns - self._heard_ns >= HEARD_NS

    def renew(self, at: int = 0) -> None:
        """Another epoch: nothing of it was heard after `at`."""
        self._heard_at = at
        self.speaking = False

    def _say_played(self, time_of: TimeOf) -> None:
        first = self._block[0]
        samples = np.concatenate([part.chunk.samples for part in self._block])
        self._block.clear()
        place = first.chunk
        answer = place.epoch != PROMPT
        t = time_of(first.begin)
        self._play(samples, t, place.epoch if answer else None, place.at if answer else None)
