"""What a session must know to go on where a killed one stopped. Values only; `store` keeps them on disk."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Literal

SEED_TURNS = 40
"""Turns of the transcript that are kept: enough for a visit, little enough to seed a session with."""
SEED_CHARS = 12_000
"""And letters, about 3,000 tokens: they are billed again with every turn of the session that is seeded."""
ENTRY_CHARS = 2_000
"""Of one entry. Somebody may have typed a book."""
CALLS = 32
"""Calls of functions that are kept."""


@dataclass(frozen=True, slots=True)
class Said:
    """One entry of the transcript, as it was heard."""

    turn: int
    who: Literal["person", "machine"]
    text: str


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """A turn that was not over when the stage died: its answer is still owed, unless all of it had come."""

    id: int
    kind: Literal["speech", "text", "greeting"]
    text: str = ""
    speech_ended_t: int | None = None
    generated: bool = False
    """All of its answer was sent on: playback has it, and says it to its end whoever dies here."""
    covered_t: int | None = None
    """Voice that the answer covers."""
    person: str = ""
    machine: str = ""
    """What both said, once it is generated."""
    reported: bool = False
    """It has sound, and playback reports what is heard: if it reports nothing to whoever follows, it has died too."""


@dataclass(frozen=True, slots=True)
class Called:
    """A function that the model wanted called, and what became of it."""

    id: str
    turn: int
    name: str
    args: str
    """JSON."""
    outcome: Literal["open", "answered", "failed", "cancelled"] = "open"


@dataclass(slots=True)
class UsageLine:
    """Tokens of one kind, of one model, on one day. `usd`: None if nobody knows the price."""

    day: str
    model: str
    way: str
    """in, out."""
    kind: str
    tokens: int
    usd: float | None


@dataclass(slots=True)
class Spent:
    """What has been spent. The day is a local date that never runs backwards."""

    day: str = ""
    day_usd: float = 0.0
    day_unpriced: int = 0
    """Tokens whose price nobody knows."""
    visit_usd: float = 0.0
    visit_unpriced: int = 0
    behind_s: float = 0.0
    """How long the clock has been behind that day."""


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
    told: list[tuple[int, int]] = field(default_factory=list)
    """Utterances that are not answered yet, start and end, none left out between them."""
    texts: list[str] = field(default_factory=list)
    """What was typed and waits behind that turn."""
    texts_taken: list[str] = field(default_factory=list)
    """Names of the newest texts that were taken. No words, so they outlive the visit."""
    answered_turn: int = 0
    """The newest turn that had an answer."""
    handle: str | None = None
    """By which the service resumes the session."""
    handle_turn: int = 0
    """The newest turn that the handle knows of."""
    handle_for: str = ""
    """Service and model that gave the handle: no other one knows it."""
    transcript: list[Said] = field(default_factory=list)
    left_out: int = 0
    """Entries of the visit's transcript that found no place in it."""
    calls: list[Called] = field(default_factory=list)
    spent: Spent = field(default_factory=Spent)
    used: list[UsageLine] = field(default_factory=list)
    """What was used and is not on disk yet; one for each day, model, way and kind."""

    def forget_visit(self) -> None:
        """The visitor has left: nothing of the visit may reach the next one."""
        self.visit, self.active_ns, self.greeting, self.open_turn = None, None, "none", None
        self.transcript, self.left_out, self.calls, self.texts, self.told = [], 0, [], [], []
        self.spent.visit_usd, self.spent.visit_unpriced = 0.0, 0
        self.forget_handle()

    def forget_handle(self) -> None:
        """The session cannot be resumed."""
        self.handle, self.handle_turn, self.handle_for = None, 0, ""

    def void_times(self, boot_id: str) -> None:
        """The machine was started anew, or may have been ("": nobody knows): places in time mean nothing any more."""
        if not boot_id or boot_id != self.boot_id:
            self.boot_id, self.answered_t, self.active_ns, self.open_turn = boot_id, None, None, None
            self.texts, self.told = [], []

    def remember(self, said: Said) -> None:
        """Add to the transcript in its place; of one turn and speaker, the newest counts."""
        said = Said(said.turn, said.who, said.text[:ENTRY_CHARS])
        order = [_order(entry) for entry in self.transcript]
        place = bisect_left(order, _order(said))
        if place < len(order) and order[place] == _order(said):
            self.transcript[place] = said
        elif said.text and (place or not order or not self.left_out):  # what was left out stays so
            self.transcript.insert(place, said)
        length = sum(len(entry.text) for entry in self.transcript)
        while len(self.transcript) > 2 * SEED_TURNS or length > SEED_CHARS:
            length -= len(self.transcript.pop(0).text)
            self.left_out += 1

    def call(self, called: Called) -> None:
        """A function was called, or its call came to an end."""
        for place, known in enumerate(self.calls):
            if known.id == called.id:
                self.calls[place] = called
                return
        self.calls.append(called)
        del self.calls[:-CALLS]

    def use(self, line: UsageLine) -> None:
        """Tokens were used."""
        for known in self.used:
            if (known.day, known.model, known.way, known.kind) == (line.day, line.model, line.way, line.kind):
                known.tokens += line.tokens
                known.usd = None if known.usd is None or line.usd is None else known.usd + line.usd
                return
        self.used.append(line)


def _order(said: Said) -> tuple[int, bool]:
    return (said.turn, said.who == "machine")
