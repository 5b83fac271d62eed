"""What the conversation wants done, as values. The session stage does it and decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Speak:
    """Emit a piece of the answer: s16le mono at `rate`; `at` counts 24 kHz samples of `epoch`."""

    pcm: bytes
    rate: int
    epoch: int
    at: int


@dataclass(frozen=True, slots=True)
class Trim:
    """Nobody needs what lies before this place of the reply any more."""

    epoch: int
    at: int


@dataclass(frozen=True, slots=True)
class Tell:
    """Publish `event.<name>`. `log`: it is also a line of the log."""

    name: str
    body: Mapping[str, Any]
    sticky: bool = False
    key: str | None = None
    log: bool = False


@dataclass(frozen=True, slots=True)
class Unstick:
    """A sticky event no longer holds."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class State:
    """Say how the session is: `live`, `waiting` or `degraded`, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the log."""

    words: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    level: str = "info"


@dataclass(frozen=True, slots=True)
class SendContext:
    """Give the service context that it is not to answer: (`user` or `model`, text) in order."""

    turns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SendText:
    """Give the service a text to answer."""

    text: str


@dataclass(frozen=True, slots=True)
class SendImage:
    """Give the service a picture to look at."""

    jpeg: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SendToolResult:
    """Answer a call. `scheduling`: when the model may speak of it, for one that it did not wait for; in capitals."""

    id: str
    name: str
    response: Mapping[str, Any]
    scheduling: str = ""


@dataclass(frozen=True, slots=True)
class Renew:
    """Close the line and dial anew; what the session knows of the visit decides whether it is resumed."""

    reason: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the line; the next one is dialled when somebody needs it."""


@dataclass(frozen=True, slots=True)
class Dial:
    """Somebody needs a line, and soon: do not sleep on."""


@dataclass(frozen=True, slots=True)
class Save:
    """Keep the memory on disk now."""


Send = SendContext | SendText | SendImage | SendToolResult
Effect = Speak | Trim | Tell | Unstick | State | Note | Send | Renew | HangUp | Dial | Save
