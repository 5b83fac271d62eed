"""One turn, and what can become of it: values that `turns` makes and that others act on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["speech", "text", "greeting"]
Outcome = Literal["answered", "interrupted", "empty"]


@dataclass(slots=True)
class Turn:
    """One input and its answer."""

    id: int
    kind: Kind
    since_ns: int
    """When something last happened in it: the watchdog counts from here."""
    called_ns: int = 0
    """When its newest call came."""
    asked: bool = True
    """The person did something for it; False if the service began by itself."""
    text: str = ""
    """What was sent, of a text turn: it is sent again to a line that has not seen it."""
    unsent: bool = False
    """The line that is up was not given its text: another input came first, and is answered first."""
    covered: bool = False
    """It was given before the answer to the input before it began: that is the answer to both."""
    speech_open: bool = False
    speech_began_ns: int = 0
    speech_ended_t: int | None = None
    """Where the speech ended, in ns of the audio."""
    answering: bool = False
    """Something came back: sound, text or a call."""
    began_ns: int = 0
    """When it did."""
    spoke_ns: int | None = None
    """When its first sound came."""
    wrote: bool = False
    told_first_audio: bool = False
    generated: bool = False
    """The service has sent all of it."""
    tools: set[str] = field(default_factory=set)
    """Ids of calls that wait for their result."""
    goes_on: bool = False
    """A result went out, or the service said that more comes: the next turnComplete ends it, not an earlier one."""


@dataclass(frozen=True, slots=True)
class Started:
    """A turn was opened."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class Began:
    """The service begins to answer: what was sent by now is being answered."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class Spoke:
    """The first sound of the turn; `new_input` if it answers something that the person did."""

    turn: Turn
    new_input: bool


@dataclass(frozen=True, slots=True)
class FirstAudio:
    """How long the answer took: the first sound after the end of speech. Negative if it came before; None unknown."""

    turn: Turn
    since_speech_end_ms: int | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A turn is over. `after_ms`: since its answer began."""

    turn: Turn
    outcome: Outcome
    reason: str
    after_ms: int


Change = Started | Began | Spoke | FirstAudio | Ended
