"""Tokens as the service counts them: what each report adds to what was counted before.

A report counts one turn, its whole context included, for every turn is billed with all that was said before it. That
was seen of the service by others (pydantic-ai #7269: 143 + 19, 181 + 24, 224 + 24 tokens over three turns); some take
the counts for sums of the session (OpenGlasses #154), and nobody promises either. So it is watched: an answer of which
we know how long it was is explained either by its own length or by all that this line has said.

Reports may also come several times a turn. One with the same prompt and no smaller answer is the same one, grown;
another is a second generation, as after a tool, and is billed apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pipeline.live import messages as m

Counts = Literal["auto", "turn", "session"]
AUDIO_PER_S = 25
"""Tokens of a second of sound, either direction."""
LETTERS_PER_TOKEN = 4
TELLING = 1.15
"""All that a line said must be so many times an answer, before the two explanations can be told apart."""
_KINDS = {"text", "audio", "image", "video"}


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens by kind: text, audio, image, video, and `tool` (results given in), `thoughts`, `other` (not said)."""

    taken: Mapping[str, int] = field(default_factory=dict)
    given: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.taken.values()) + sum(self.given.values())

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(_sum(self.taken, other.taken), _sum(self.given, other.given))

    def since(self, before: Tokens) -> Tokens:
        """What this has more than `before`; what it has less of counts nothing."""
        return Tokens(_more(self.taken, before.taken), _more(self.given, before.given))


def tokens_of(usage: m.Usage) -> Tokens:
    """By kind. The details of a report need not sum up to its counts: what they leave out is `other`."""
    taken, given = _named(usage.prompt_by_modality), _named(usage.response_by_modality)
    taken["other"] = taken.get("other", 0) + max(0, usage.prompt - sum(taken.values()))
    given["other"] = given.get("other", 0) + max(0, usage.response - sum(given.values()))
    if not usage.prompt and not usage.response and not any((taken | given).values()):
        taken["other"] = usage.total
    taken["tool"], given["thoughts"] = usage.tool_use, usage.thoughts
    return Tokens(_some(taken), _some(given))


class Meter:
    """Adds the reports of one line after the other up."""

    def __init__(self, counts: Counts = "auto") -> None:
        self._sums = counts == "session"
        """Reports are sums of the session."""
        self._sure = counts != "auto"
        self._turn: m.Usage | None = None
        """The newest report of the turn under way."""
        self._line: m.Usage | None = None
        """The newest report of the line."""
        self._own_turn = self._own_line = 0.0
        """Tokens of the answer under way, and of all answers of the line, as we received them."""
        self._scale = 1.0
        """The service's count of an answer over ours, seen where there is no doubt: at the first of a line."""

    @property
    def sums(self) -> bool:
        """Reports are taken for sums of the session."""
        return self._sums

    def unreported(self) -> Tokens:
        """An answer that its line was lost under is billed, but never counted: as much of it as came, and the context
        that it was given, as far as that was counted before."""
        if self._turn is not None or not self._own_turn:
            return Tokens()
        context = tokens_of(self._line).taken if self._line is not None and not self._sums else {}
        return Tokens(context, {"other": round(self._own_turn)})

    def line_up(self, *, resumed: bool) -> None:
        """Another line. Sums begin anew, but for a session that goes on."""
        self._turn = None
        self._own_turn = self._own_line = 0.0
        if not (resumed and self._sums):
            self._line = None

    def received(self, *, audio_s: float = 0.0, letters: int = 0) -> None:
        """A piece of an answer came."""
        tokens = audio_s * AUDIO_PER_S + letters / LETTERS_PER_TOKEN
        self._own_turn += tokens
        self._own_line += tokens

    def reported(self, usage: m.Usage) -> Tokens:
        """A report came: what of it was not counted yet."""
        if self._turn is None and not self._sure:
            self._decide(usage)
        before = self._line if self._sums else self._turn
        if before is not None and self._sums and _fell(usage, before):
            before = None  # the service has begun a session of its own
        elif before is not None and not self._sums and not _grown(usage, before):
            before = None
        self._turn = self._line = usage
        return tokens_of(usage).since(tokens_of(before)) if before is not None else tokens_of(usage)

    def turn_complete(self) -> None:
        """What comes next is another turn's."""
        self._turn = None
        self._own_turn = 0.0

    def _decide(self, usage: m.Usage) -> None:
        """The first report of a turn after another one: which of the two can it be?"""
        last = self._line
        if last is None:
            self._scale = min(2.0, max(0.5, usage.response / self._own_turn)) if self._own_turn else 1.0
            return
        if _fell(usage, last):
            self._sums, self._sure = False, True
        elif self._own_turn and self._own_line > self._own_turn * TELLING:
            of_turn, of_line = (abs(usage.response - own * self._scale) for own in (self._own_turn, self._own_line))
            self._sums = of_line < of_turn


def _fell(usage: m.Usage, last: m.Usage) -> bool:
    return usage.prompt < last.prompt or usage.response < last.response


def _grown(usage: m.Usage, last: m.Usage) -> bool:
    return usage.prompt == last.prompt and usage.response >= last.response and usage.thoughts >= last.thoughts


def _named(details: Mapping[str, int]) -> dict[str, int]:
    named: dict[str, int] = {}
    for word, count in details.items():
        kind = word if word in _KINDS else "other"
        named[kind] = named.get(kind, 0) + max(0, count)
    return named


def _some(counts: Mapping[str, int]) -> dict[str, int]:
    return {kind: count for kind, count in sorted(counts.items()) if count > 0}


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return _some({kind: one.get(kind, 0) + other.get(kind, 0) for kind in {*one, *other}})


def _more(one: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return _some({kind: count - before.get(kind, 0) for kind, count in one.items()})
