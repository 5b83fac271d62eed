"""What can go wrong, as plain data: at which moment, and what then happens. faults.yaml is the commented example."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MOMENTS = {
    "start": "the server listens (the schedule of an outage, counted from its start)",
    "now": "at once, on every open connection; only for POST /_faults",
    "dial": "a client says hello in TLS",
    "connect": "the socket is open and the setup has not come",
    "resume": "a setup with a handle has come and is not answered",
    "setup": "the setup is answered",
    "speech": "a person begins to speak",
    "turn": "a turn of the person is complete",
    "answer": "the first sound of an answer leaves",
    "generated": "the last sound of an answer has left, its playing goes on",
    "complete": "turnComplete has left",
    "tool": "a function call has left",
    "result": "the client has answered a function call",
}
"""Each is counted over the whole life of the server."""


@dataclass(frozen=True)
class Close:
    """The connection ends; 1006 cuts it without a close frame. `torn`: in the middle of a frame."""

    code: int
    reason: str = ""
    torn: bool = False


@dataclass(frozen=True)
class GoAway:
    """`goAway` that says `time_left` (none: the field is missing); the end comes after `lives_ms` (none: never)."""

    time_left: str | None
    lives_ms: int | None
    end: Close = Close(1008, "The operation was aborted.")


@dataclass(frozen=True)
class Say:
    """These messages are sent as they stand: an object as JSON, a text as it is."""

    messages: tuple[dict[str, Any] | str, ...]


@dataclass(frozen=True)
class Silent:
    """Nothing leaves on this connection any more; it stays open, and pings are answered."""


@dataclass(frozen=True)
class Freeze:
    """As if the cable was pulled: nothing is read, nothing is written, for `ms`."""

    ms: int


@dataclass(frozen=True)
class Pongs:
    """Pings are answered `late_ms` late; none: never."""

    late_ms: int | None


@dataclass(frozen=True)
class Outage:
    """For `ms` nobody can connect, and whoever is connected is cut (`refused`) or hears nothing (`silent`)."""

    ms: int
    how: str


@dataclass(frozen=True)
class Tls:
    """The TLS handshake fails: `refused`, or over a certificate that is `expired`, `not_yet_valid`, `untrusted`."""

    how: str


@dataclass(frozen=True)
class Http:
    """The upgrade is answered with a status and no WebSocket."""

    status: int
    body: str


@dataclass(frozen=True)
class Wedged:
    """This session transcribes and never answers, also when it is resumed. A fresh session is well."""


@dataclass(frozen=True)
class Handles:
    """`forgotten`: no handle issued so far is known any more. `withheld`: this connection issues none from here on, so
    the client's grows stale. `blank`: what was issued so far brings an empty conversation back.
    """

    how: str


@dataclass(frozen=True)
class Answer:
    """How this turn is answered. `kind`: `usual`; `none`: transcribed, and nothing follows; `empty`: turnComplete
    without sound; `early`: turnComplete before the sound.

    `speed` and `chunk_bytes` are those of the script unless given; `stall_ms` is a pause in the middle. `bundled`:
    several fields in each message, and the end of the turn in the last.
    """

    kind: str = "usual"
    speed: float | None = None
    chunk_bytes: tuple[int, ...] | None = None
    stall_ms: int = 0
    bundled: bool = False


@dataclass(frozen=True)
class ToolOdd:
    """The call that has just left is `repeated` with the same id, or `cancelled`."""

    how: str


@dataclass(frozen=True)
class Unknown:
    """Every message has fields and words from then on that no client can know yet."""


Act = (
    Close | GoAway | Say | Silent | Freeze | Pongs | Outage | Tls | Http | Wedged | Handles | Answer | ToolOdd | Unknown
)


@dataclass(frozen=True)
class Fault:
    """`act` happens `after_ms` (drawn between the two) after moments number `first` to `last` of kind `when`.

    `last` None: after each from `first` on. `chance`: only so often, drawn from the script's seed.
    """

    when: str
    act: Act
    first: int = 1
    last: int | None = None
    after_ms: tuple[int, int] = (0, 0)
    chance: float = 1.0


@dataclass
class Plan:
    """The faults of one server's life, and the count of its moments. Equal seeds and moments draw equal lots."""

    faults: list[Fault] = field(default_factory=list)
    seed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    _begun: list[Mapping[str, int]] = field(default_factory=list)

    @classmethod
    def of(cls, faults: Iterable[Fault], seed: int) -> Plan:
        """The plan of a script."""
        plan = cls(seed=seed)
        for fault in faults:
            plan.add(fault)
        return plan

    def add(self, fault: Fault) -> None:
        """One more fault; its moments are counted from now on."""
        self.faults.append(fault)
        self._begun.append(dict(self.counts))

    def moment(self, name: str) -> list[tuple[int, Act]]:
        """Such a moment has come: what happens, and after how many ms."""
        self.counts[name] += 1
        drawn = []
        for index, (fault, begun) in enumerate(zip(self.faults, self._begun, strict=True)):
            number = self.counts[name] - begun.get(name, 0)
            if fault.when != name or number < fault.first or (fault.last is not None and number > fault.last):
                continue
            dice = random.Random(f"{self.seed} {index} {number}")
            if dice.random() < fault.chance:
                drawn.append((dice.randint(*fault.after_ms), fault.act))
        return drawn
