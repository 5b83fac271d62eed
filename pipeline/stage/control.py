"""The stage's line to the supervisor: a DEALER that never blocks and is read before anything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgpack

from pipeline.bus import codec, ends
from pipeline.bus.messages import VERSION

HIGH_WATER = 1_000


class Control:
    """Says hello, primed, live, beat, state, bye; hears go, stop, now."""

    def __init__(self, endpoint: str, identity: str) -> None:
        self._line = ends.dealer(None, endpoint, identity, HIGH_WATER)
        self.fileno = self._line.fileno
        self.malformed = 0

    def say(self, kind: str, **fields: Any) -> None:
        """Send one word. Dropped when the supervisor has not read the last thousand: it judges by silence then."""
        self._line.send([msgpack.packb({"v": VERSION, "kind": kind, **fields})])

    @property
    def waits(self) -> bool:
        """Something has come that the descriptor does not announce (any more)."""
        return self._line.waits

    @property
    def due_ns(self) -> int | None:
        """When `heard` is to be called although nothing has come; None: never."""
        return self._line.due_ns

    def close(self, linger_s: float) -> None:
        """What was said last is still sent, if it takes no longer."""
        self._line.close(linger_s)

    def heard(self) -> Iterator[Mapping[str, Any]]:
        """What has come from the supervisor."""
        while (parts := self._line.receive()) is not None:
            try:
                yield codec.unpack_map(parts[-1])
            except codec.Malformed:
                self.malformed += 1
