"""What a session must know to go on where a killed one stopped. Values only; `store` keeps them on disk."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Literal

SEED_TURNS = 40
"""Turns of the transcript that are kept: enough for a visit, little enough to seed a session with."""


@dataclass(frozen=True, slots=True)
class Said:
    """One entry of the transcript, as it was heard."""

    turn: int
    who: Literal["person", "machine"]
    text: str


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """A turn that was not over when the stage died: its answer is still owed."""

    id: int
    kind: Literal["speech", "text", "greeting"]
    text: str = ""
    speech_ended_t: int | None = None


@dataclass(slots=True)
class Memory:
    """All of it. Times are monotonic ns of the boot `boot_id`; of another boot they mean nothing."""

    epoch: int = 0
    """The highest that was used."""
    next_turn: int = 1
    next_visit: int = 1
    boot_id: str = ""
    answered_t: int | None = None
    """Every utterance that ended by then has been answered."""
    visit: int | None = None
    """Id of the visit that is open."""
    active_ns: int | None = None
    """When the visitor was last active, for a visit that outlives the stage."""
    greeting: Literal["none", "due", "said"] = "none"
    """`due`: a turn of its own was asked for, and its answer has not begun."""
    open_turn: OpenTurn | None = None
    answered_turn: int = 0
    """The newest turn that had an answer."""
    handle: str | None = None
    """By which the service resumes the session."""
    handle_turn: int = 0
    """The newest turn that the handle knows of."""
    handle_for: str = ""
    """Service and model that gave the handle: no other one knows it."""
    transcript: list[Said] = field(default_factory=list)

    def forget_visit(self) -> None:
        """The visitor has left: nothing of the visit may reach the next one."""
        self.visit, self.active_ns, self.greeting, self.open_turn = None, None, "none", None
        self.transcript = []
        self.forget_handle()

    def forget_handle(self) -> None:
        """The session cannot be resumed."""
        self.handle, self.handle_turn, self.handle_for = None, 0, ""

    def void_times(self, boot_id: str) -> None:
        """The machine was started anew: places in time mean nothing any more."""
        if boot_id != self.boot_id:
            self.boot_id, self.answered_t, self.active_ns, self.open_turn = boot_id, None, None, None

    def remember(self, said: Said) -> None:
        """Add to the transcript in its place; of one turn and speaker, the newest counts."""
        order = [_order(entry) for entry in self.transcript]
        place = bisect_left(order, _order(said))
        if place < len(order) and order[place] == _order(said):
            self.transcript[place] = said
        elif said.text:
            self.transcript.insert(place, said)
            del self.transcript[: max(0, len(self.transcript) - 2 * SEED_TURNS)]


def _order(said: Said) -> tuple[int, bool]:
    return (said.turn, said.who == "machine")
