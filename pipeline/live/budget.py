"""What the conversation has cost, this visit and this day, and when that is enough.

The day is the local date, kept with what was spent in it, and it never runs backwards: a clock that is set back, or a
machine without one that wakes up in 1970, stays in the day it was in, so that nobody gets a second budget. Only after a
whole day of running behind is the clock believed: one that was once wrong by years must not close a machine for years.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pipeline.config.kinds import Range
from pipeline.live import messages as m
from pipeline.live.effects import Effect, Note, Save, Tell
from pipeline.live.memory import Memory, UsageLine
from pipeline.live.prices import READ_ON, Price, price_of
from pipeline.live.usage import Counts, Meter, Tokens

OLD_DAYS = 180
"""Prices that were read so long ago are said to be old."""
BELIEVED_S = 86_400.0
"""A clock that is behind the stored day for so long is believed."""
_NS = 1_000_000_000


@dataclass(frozen=True)
class BudgetOptions:
    """Hard caps in dollars. The turn under way is finished, then the machine says goodbye and closes the line.

    At the simulator it is counted as if it were the service.
    """

    visit_usd: Annotated[float, Range(0.001, 100_000)] | None = None
    """Of one visit; null: none."""
    day_usd: Annotated[float, Range(0.001, 100_000)] | None = None
    """Of one day, up to local midnight; null: none."""
    counts: Counts = "auto"
    """Whether the service's counts are of a turn or sums of the session; auto: it is watched."""
    prices: dict[str, Price] = field(default_factory=dict)
    """By model, `*` for the rest of its name: over the prices that ship with the package."""


def local_day() -> str:
    """Today's date where the machine stands."""
    return datetime.now().astimezone().date().isoformat()


class Budget:
    """Usage and money of the conversation that `memory` keeps. `today` gives the local date, `2026-11-30`."""

    def __init__(self, memory: Memory, options: BudgetOptions, model: str, today: Callable[[], str]) -> None:
        self._memory, self._options, self._model, self._today = memory, options, model, today
        self._price = price_of(model, options.prices)
        self._meter = Meter(options.counts)
        self._untold = Tokens()
        self._untold_usd: float | None = 0.0
        self._sums = self._meter.sums
        self._last_ns: int | None = None

    # The service

    def line_up(self, *, resumed: bool) -> None:
        """Another line: the service counts anew, and says no more of what the one before was lost with."""
        self._count(self._meter.unreported())
        self._meter.line_up(resumed=resumed)

    def received(self, *, audio_s: float = 0.0, letters: int = 0) -> None:
        """A piece of an answer came."""
        self._meter.received(audio_s=audio_s, letters=letters)

    def turn_complete(self) -> None:
        """What the service counts next is another turn's."""
        self._meter.turn_complete()

    def reported(self, usage: m.Usage) -> None:
        """The service has counted."""
        self._count(self._meter.reported(usage))

    # What is said of it

    def started(self) -> list[Effect]:
        """What a person must know before the first token."""
        self._turn_day(self._today())
        if not self._model:
            return []
        if self._price is None:
            return [Note("no price", {"reason": self.fault or self._no_price}, "warning")]
        age_days = (date.fromisoformat(max(self._today(), READ_ON)) - date.fromisoformat(READ_ON)).days
        if age_days <= OLD_DAYS or price_of(self._model, self._options.prices) != price_of(self._model, {}):
            return []
        words = f"prices are of {READ_ON}: compare them, and set stages.session.budget.prices where they differ"
        return [Note("old prices", {"reason": words}, "warning")]

    def told(self, turn: int | None) -> list[Effect]:
        """The turn is over, or the service has counted late: what was used since this was last told."""
        if not self._untold.total:
            return []
        spent = self._memory.spent
        body: dict[str, Any] = {
            "turn": turn,
            "in": dict(self._untold.taken),
            "out": dict(self._untold.given),
            "usd": _rounded(self._untold_usd),
            "visit_usd": None if spent.visit_unpriced else _rounded(spent.visit_usd),
            "day_usd": None if spent.day_unpriced else _rounded(spent.day_usd),
        }
        self._untold, self._untold_usd = Tokens(), 0.0
        effects: list[Effect] = [Tell("usage", body, log=True), Save()]
        if self._meter.sums != self._sums:
            self._sums = self._meter.sums
            effects.append(Note("the service's counts are taken for", {"what": "sums" if self._sums else "turns"}))
        return effects

    # The caps

    @property
    def capped(self) -> Literal["", "visit", "day"]:
        """Which cap is reached."""
        spent, options = self._memory.spent, self._options
        if options.day_usd is not None and spent.day_usd >= options.day_usd:
            return "day"
        if options.visit_usd is not None and spent.visit_usd >= options.visit_usd:
            return "visit"
        return ""

    @property
    def reason(self) -> str:
        """Why the line is closed, until when, and what opens it; empty while no cap is reached."""
        spent, options, capped = self._memory.spent, self._options, self.capped
        if capped == "day":
            late = "" if self._today() >= spent.day else " (the clock was set back)"
            return (
                f"capped: {spent.day_usd:.2f} of {options.day_usd:.2f} USD were spent on {spent.day}{late}; it goes on "
                "with the next day, or with a higher stages.session.budget.day_usd"
            )
        if capped == "visit":
            return (
                f"capped: {spent.visit_usd:.2f} of {options.visit_usd:.2f} USD were spent in this visit; it goes on "
                "with the next visitor, or with a higher stages.session.budget.visit_usd"
            )
        return ""

    @property
    def fault(self) -> str:
        """Why the caps can't hold; empty if they can, or if there are none."""
        has_caps = self._options.visit_usd is not None or self._options.day_usd is not None
        return f"{self._no_price}; the caps of stages.session.budget can't hold" if has_caps and not self._price else ""

    @property
    def _no_price(self) -> str:
        return (
            f"the price of {self._model} is not known: what it costs is not counted; set "
            f"stages.session.budget.prices.{self._model.rpartition('/')[2]}: {{text_in: …, audio_in: …, text_out: …, "
            "audio_out: …}, in USD a million tokens"
        )

    # Time

    def tick(self, now_ns: int) -> list[Effect]:
        """Time passes: the day may turn."""
        since_s = 0.0 if self._last_ns is None else (now_ns - self._last_ns) / _NS
        self._last_ns = now_ns
        before = self._memory.spent.day
        self._turn_day(self._today(), since_s)
        if self._memory.spent.day == before or not before:
            return []
        return [Note("a new day", {"day": self._memory.spent.day, "before": before}), Save()]

    def _count(self, news: Tokens) -> None:
        if not news.total:
            return
        spent, usd, unpriced = self._memory.spent, 0.0, 0
        self._turn_day(self._today())
        for way, counts in (("in", news.taken), ("out", news.given)):
            for kind, count in counts.items():
                each = self._price.of(way, kind) if self._price is not None else None
                usd += count * (each or 0.0)
                unpriced += count if each is None else 0
                cost = None if each is None else count * each
                self._memory.use(UsageLine(spent.day, self._model, way, kind, count, cost))
        spent.visit_usd += usd
        spent.day_usd += usd
        spent.visit_unpriced += unpriced
        spent.day_unpriced += unpriced
        self._untold += news
        self._untold_usd = None if unpriced or self._untold_usd is None else self._untold_usd + usd

    def _turn_day(self, today: str, since_s: float = 0.0) -> None:
        spent = self._memory.spent
        spent.behind_s = spent.behind_s + since_s if today < spent.day else 0.0
        if today > spent.day or spent.behind_s >= BELIEVED_S:
            spent.day, spent.day_usd, spent.day_unpriced, spent.behind_s = today, 0.0, 0, 0.0


def _rounded(usd: float | None) -> float | None:
    """To a millionth of a cent: sums of floats are longer than what they say."""
    return None if usd is None else round(usd, 8)
