"""With what the next line is dialled, and how long to wait before. Decides; `lines` acts."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.live.backoff import Backoff
from pipeline.live.conversation import Conversation
from pipeline.live.failures import RARE_S, Failure

STUBBORN = 3
"""Attempts to resume that may fail by the service's own word, before the session is begun anew."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One attempt."""

    handle: str | None
    """By which the session is resumed; None: a fresh one."""
    context: tuple[tuple[str, str], ...]
    """What a fresh session is told first: (`user` or `model`, text) in order."""
    visit: int | None
    """Whose line it is."""


@dataclass(frozen=True, slots=True)
class Next:
    """What to do before the next attempt."""

    wait_s: float = 0.0
    failure: Failure | None = None
    """Why; None where nothing went wrong that anybody needs to know of."""
    note: str = ""
    """For the log: what is done differently from now on."""


class Dialling:
    """The attempts to have a line for `talk`, one after the other."""

    def __init__(self, talk: Conversation, backoff: Backoff) -> None:
        self._talk, self._backoff = talk, backoff
        self._began_ns = 0
        self._answered_before = 0

    @property
    def attempts(self) -> int:
        """Failures in a row."""
        return self._backoff.attempts

    def plan(self) -> Plan:
        """How to dial now."""
        handle = self._talk.resumption.handle
        return Plan(handle, self._talk.context(handle), self._talk.visit.id)

    def still_fits(self, plan: Plan) -> bool:
        """False if it was dialled for a visitor who has left meanwhile: nobody else may hear of them."""
        return plan.visit is None or plan.visit == self._talk.visit.id

    def could_not(self, plan: Plan, failure: Failure) -> Next:
        """No line came."""
        by_the_service = failure.code is not None and failure.wait_cap_s < RARE_S
        if plan.handle and (failure.forget_handle or (by_the_service and self._backoff.attempts >= STUBBORN)):
            self._talk.memory.forget_handle()
            return Next(note=f"handle refused, a fresh session follows: {failure}")
        return Next(self._backoff.next_s(failure.wait_cap_s), failure)

    def began(self, now_ns: int) -> None:
        """A line is set up."""
        self._began_ns, self._answered_before = now_ns, self._talk.memory.answered_turn

    def ended(self, now_ns: int, failure: Failure | None) -> Next:
        """It is no more. `failure` None: we have ended it ourselves."""
        answered = self._talk.memory.answered_turn > self._answered_before
        self._backoff.worked((now_ns - self._began_ns) / 1e9, answered)
        if failure is None:
            return Next()
        if failure.forget_handle:
            self._talk.memory.forget_handle()
        return Next(self._backoff.next_s(failure.wait_cap_s), failure)
