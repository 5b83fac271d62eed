"""What the conversation wants done. It does no I/O itself: whoever holds the socket carries these out, in order."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.simulator.fault import Close, Freeze, Outage, Pongs
from pipeline.simulator.wire import Message


@dataclass(frozen=True)
class Send:
    """Send `message`. Audio in it begins at sample `first` of its answer (24 kHz)."""

    message: Message
    first: int | None = None


@dataclass(frozen=True)
class Raw:
    """Send these words as they stand."""

    text: str


@dataclass(frozen=True)
class Line:
    """Words to be said; with `wav` that recording is their sound."""

    text: str
    wav: Path | None


@dataclass(frozen=True)
class Render:
    """Turn these lines, one after the other, into speech and hand it back under `ticket`."""

    ticket: int
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Received:
    """Keep these samples of the client as evidence: s16le at `rate`, the first one being number `first`."""

    pcm: bytes
    rate: int
    first: int


@dataclass(frozen=True)
class Note:
    """Write one event to the log."""

    event: str
    fields: dict[str, Any] = field(default_factory=dict)


Action = Send | Raw | Close | Render | Received | Note | Freeze | Pongs | Outage
