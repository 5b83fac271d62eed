"""The writer's half of one stream: numbers the blocks, keeps them, answers who asks for them again. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline.bus.messages import Audio
from pipeline.bus.ring import RING_S, Place, Ring

DEFAULT_RING_S = 2.0


class Outlet:
    """Sequence numbers and ring of one stream of one writer."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.ring = Ring(RING_S.get(stream, DEFAULT_RING_S))
        self.next_seq = 0

    def add(self, audio: Audio) -> int:
        """Keep a live block; returns its sequence number."""
        seq = self.next_seq
        self.next_seq += 1
        self.ring.add(seq, audio)
        return seq

    def answer(self, request: Mapping[str, Any]) -> tuple[list[tuple[int, Audio]], dict[str, Any]]:
        """The blocks that a `listening` body asks for, marked as its replay, and the body of `replayed`.

        `first` and `last` are sequence numbers; `last` is that of the newest block ever sent live, so that the
        reader knows which live one comes next even when nothing was kept. Raises ValueError for an unfit request.
        """
        ident = request.get("id")
        if not isinstance(ident, str):
            raise ValueError("expected `id` of the request to be a string")
        found, lost_ms = self.ring.since(place_from(request.get("from")))
        blocks = [(seq, replace(audio, replay=ident)) for seq, audio in found]
        last = self.next_seq - 1
        first = blocks[0][0] if blocks else self.next_seq
        return blocks, {"id": ident, "stream": self.stream, "first": first, "last": last, "lost_ms": lost_ms}


def place_from(value: Any) -> Place | None:
    """`from` as it stands in a message: None, ns, or [epoch, at]. Raises ValueError."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(part, int) for part in value):
        return value[0], value[1]
    raise ValueError(f"expected `from` to be nil, ns or [epoch, at], got {str(value)[:40]}")
