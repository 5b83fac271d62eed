"""What the service says, as small values: one message of the service becomes a tuple of these, in the order to act on.

The order within one message is ours: `Interrupted` comes before the audio of the same message, and what ends a turn
comes last, whatever order the fields had on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The service heard the person over the answer and dropped the rest of it. May come without any answer."""


@dataclass(frozen=True, slots=True)
class Speech:
    """A piece of the answer as s16le mono PCM."""

    pcm: bytes
    rate: int = 24_000
    """Hertz."""


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer as text; `thought` is the model thinking, never shown as speech."""

    text: str
    thought: bool = False


@dataclass(frozen=True, slots=True)
class OtherPart:
    """A part of the answer that is neither sound nor text; `kind` names its field or its media type."""

    kind: str


@dataclass(frozen=True, slots=True)
class PersonSaid:
    """A transcript of the person. Comes in any order with the answer; `interim` is a guess that the next replaces."""

    text: str
    finished: bool = False
    interim: bool = False


@dataclass(frozen=True, slots=True)
class MachineSaid:
    """A piece of the transcript of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function the model wants called. Every call must be answered by its id, or the model waits for ever."""

    id: str
    name: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolCallsCancelled:
    """Calls whose answers nobody waits for any more."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GenerationComplete:
    """All of the answer has been sent. An interrupted answer has none of these."""


@dataclass(frozen=True, slots=True)
class TurnComplete:
    """The service has ended a turn, after the time that its answer takes to play; early or empty at times."""

    reason: str = ""
    """Why, where the service says so: `NEED_MORE_INPUT`, `MALFORMED_FUNCTION_CALL`, …"""
    goes_on: bool = False
    """The interaction is not over: more output comes without new input."""


@dataclass(frozen=True, slots=True)
class Idle:
    """The interaction has ended, said without a TurnComplete."""


@dataclass(frozen=True, slots=True)
class WaitingForInput:
    """The model says nothing because it expects the person to go on."""


@dataclass(frozen=True, slots=True)
class Grounding:
    """Searches made for the answer."""

    queries: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    """Addresses."""


@dataclass(frozen=True, slots=True)
class VoiceActivity:
    """What the service's own voice detection says; `kind` is `start` or `end`."""

    kind: str
    offset_s: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the service counts them. The details need not sum up to the counts."""

    prompt: int = 0
    response: int = 0
    thoughts: int = 0
    tool_use: int = 0
    total: int = 0
    prompt_by_modality: Mapping[str, int] = field(default_factory=dict)
    response_by_modality: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Garbled:
    """A message that nobody here can make sense of. The line lives on."""

    fault: str
    """Of which kind; never its words, which may be a person's."""
    so_far: int
    """On this line."""


@dataclass(frozen=True, slots=True)
class GoAway:
    """The service ends the connection in `left_s` seconds."""

    left_s: float


@dataclass(frozen=True, slots=True)
class Handle:
    """By which the session may be resumed; not `resumable` while it generates or waits for a tool."""

    handle: str
    resumable: bool


Incoming = (
    Interrupted
    | Speech
    | Text
    | OtherPart
    | PersonSaid
    | MachineSaid
    | ToolCall
    | ToolCallsCancelled
    | GenerationComplete
    | TurnComplete
    | Idle
    | WaitingForInput
    | Grounding
    | VoiceActivity
    | Usage
    | Garbled
    | GoAway
    | Handle
)
