"""What a writer keeps of a stream so that a reader which lost some of it can have it again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from pipeline.bus.messages import REPLY_RATE, Audio

Place = int | tuple[int, int]
"""A place in a stream: `t` in ns, or `(epoch, at)`."""

RING_S = {"mic": 5.0, "voice": 30.0, "reply": 300.0}
"""Seconds that a writer keeps of each stream; 2 s of any other. A reply is also forgotten once it has been heard.

mic: a frozen frontend is noticed after 2 s and its successor reads 2.8 to 3.2 s after the freeze; with 2 s kept the
person lost more than a second of their sentence.
"""

MAX_RING_BYTES = 32 * 2**20
"""A writer's bound whatever the format: 300 s of a reply are 14 MB, 2 s of eight channels at 192 kHz 6 MB."""


def place_of(audio: Audio) -> Place:
    """Where the block begins."""
    if audio.t is not None and audio.epoch is None:
        return audio.t
    if audio.epoch is not None and audio.at is not None:
        return audio.epoch, audio.at
    raise ValueError("audio without a place in time: give it `t`, or `epoch` and `at`")


def end_of(audio: Audio) -> Place:
    """Where the block ends, which is where the next one begins."""
    start = place_of(audio)
    if isinstance(start, tuple):
        return start[0], start[1] + audio.frames * REPLY_RATE // audio.rate
    return start + audio.duration_ns


class Ring:
    """The newest blocks of one stream, bounded in seconds and bytes; the oldest is dropped first."""

    def __init__(self, keep_s: float, max_bytes: int = MAX_RING_BYTES) -> None:
        self._keep_ns = int(keep_s * 1e9)
        self._max_bytes = max_bytes
        self._blocks: deque[tuple[int, Audio]] = deque()
        self._held_ns = 0
        self._held_bytes = 0
        self.dropped = 0
        """Blocks that fell out by the bound, not by `trim`."""

    def __len__(self) -> int:
        return len(self._blocks)

    def __iter__(self) -> Iterator[tuple[int, Audio]]:
        return iter(self._blocks)

    def add(self, seq: int, audio: Audio) -> None:
        """Keep one block."""
        self._blocks.append((seq, audio))
        self._held_ns += audio.duration_ns
        self._held_bytes += len(audio.pcm)
        while len(self._blocks) > 1 and (self._held_ns > self._keep_ns or self._held_bytes > self._max_bytes):
            self._forget_oldest()
            self.dropped += 1

    def trim(self, place: Place) -> None:
        """Forget what is before `place`, to the sample: whoever takes over from a reader goes on where that one was."""
        while self._blocks and _not_after(end_of(self._blocks[0][1]), place):
            self._forget_oldest()
        if self._blocks and isinstance(place, tuple):
            seq, audio = self._blocks[0]
            start = place_of(audio)
            if isinstance(start, tuple) and start[0] == place[0] and start[1] < place[1]:
                rest = audio.from_place((place[1] - start[1]) * audio.rate // REPLY_RATE)
                self._held_ns -= audio.duration_ns - rest.duration_ns
                self._held_bytes -= len(audio.pcm) - len(rest.pcm)
                self._blocks[0] = seq, rest

    def since(self, place: Place | None) -> tuple[list[tuple[int, Audio]], float]:
        """The blocks that end after `place` (all for None), and the ms before the first of them that are lost."""
        if place is None:
            return list(self._blocks), 0.0
        found = [(seq, audio) for seq, audio in self._blocks if not _not_after(end_of(audio), place)]
        return found, _missing_ms(place, place_of(found[0][1])) if found else 0.0

    def _forget_oldest(self) -> None:
        _, audio = self._blocks.popleft()
        self._held_ns -= audio.duration_ns
        self._held_bytes -= len(audio.pcm)


def _not_after(end: Place, place: Place) -> bool:
    if isinstance(end, tuple) and isinstance(place, tuple):
        return end <= place
    if isinstance(end, int) and isinstance(place, int):
        return end <= place
    return False


def _missing_ms(wanted: Place, first: Place) -> float:
    if isinstance(wanted, int) and isinstance(first, int):
        return max(0, first - wanted) / 1e6
    if isinstance(wanted, tuple) and isinstance(first, tuple) and wanted[0] == first[0]:
        return max(0, first[1] - wanted[1]) * 1000 / REPLY_RATE
    return 0.0
