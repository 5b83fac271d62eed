"""Whether and with what the next line is dialled, and how long to wait before. Decides; `lines` acts.

The ladder: resume by the newest handle; else a fresh session that is told the transcript as heard; else, if it refuses
to be told, a fresh and empty one. Each rung is tried for as long as that helps, and the ladder as a whole for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.live.backoff import STEADY_S, Backoff
from pipeline.live.conversation import Conversation
from pipeline.live.failures import RARE_S, SOON_S, Failure

STUBBORN = 3
"""Attempts to resume that may fail by the service's own word, before a fresh session is tried. It says 1011 to a handle
while it takes the old socket for open, which passes; and to one that it cannot use, which does not."""
URGENT_S = 0.5
"""Longest wait while somebody waits for an answer: server back to question answered is to take less than a second."""
URGENT_RARE_S = 5.0
"""And for what only a person or the calendar can mend: it may have been mended this minute."""
URGENT_FOR_S = 30.0
"""Nobody waits for longer after the last thing they asked; and the voice that is kept goes back no further."""
VAIN_ROLLS = 2
"""Lines in a row that were of no use before they were to be changed already. From then on they count as failures: a
service that says goAway to each line is not dialled in a hot loop."""
_NS = 1_000_000_000


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
    """What follows an attempt, or a line."""

    wait_s: float = 0.0
    failure: Failure | None = None
    """Why; None where nothing went wrong that anybody needs to know of."""
    note: str = ""
    """For the log: what is done differently from now on."""


class Dialling:
    """The attempts to have a line for `talk`, one after the other. `resumes`: sessions go on by their handles."""

    def __init__(self, talk: Conversation, backoff: Backoff, *, resumes: bool = True) -> None:
        self._talk, self._backoff, self._resumes = talk, backoff, resumes
        self._rung: Literal["resume", "seeded", "empty"] = "resume"
        self._refusals = self._vain = 0
        self._began_ns = self._answered_before = 0
        self._failed_ns: int | None = None
        self._due_ns = 0
        self._pace_s = URGENT_S
        self._owed_ns: int | None = None

    @property
    def attempts(self) -> int:
        """Failures in a row."""
        return self._backoff.attempts

    def wait_s(self, now_ns: int) -> float | None:
        """Until the next attempt; None while no line is wanted."""
        if self._talk.want.reason is not None:
            return None
        due_ns = max(self._due_ns, self._talk.functions.wait_until_ns)
        if not self._talk.owed:
            self._owed_ns = None
        elif self._failed_ns is not None:
            self._owed_ns = max(now_ns if self._owed_ns is None else self._owed_ns, self._talk.want.needed_ns)
            if now_ns - self._owed_ns < URGENT_FOR_S * _NS:
                due_ns = min(due_ns, self._failed_ns + int(self._pace_s * _NS))
        return max(0.0, (due_ns - now_ns) / _NS)

    def plan(self) -> Plan:
        """How to dial now."""
        handle = self._talk.resumption.handle if self._resumes and self._rung == "resume" else None
        context = self._talk.context(handle) if self._rung != "empty" else ()
        return Plan(handle, context, self._talk.visit.id)

    def still_fits(self, plan: Plan) -> bool:
        """False if it was dialled for a visitor who has left meanwhile: nobody else may hear of them."""
        return plan.visit is None or plan.visit == self._talk.visit.id

    def could_not(self, now_ns: int, plan: Plan, failure: Failure) -> Next:
        """No line came."""
        if plan.handle and failure.forget_handle:
            self._talk.memory.forget_handle()
            return Next(note=f"the handle is refused, a fresh session follows: {failure.words}")
        if plan.handle and failure.blames_session:
            if self._refused():
                return Next(note=f"the session cannot be resumed, a fresh one follows: {failure.words}")
        elif self._rung == "seeded":
            self._rung, self._refusals = "resume", 0
        if plan.context and failure.kind == "invalid":
            self._rung = "empty"
        return self._failed(now_ns, failure)

    def began(self, now_ns: int) -> None:
        """A line is set up."""
        self._began_ns, self._answered_before = now_ns, self._talk.memory.answered_turn
        self._failed_ns = None

    def ended(self, now_ns: int, plan: Plan, failure: Failure | None, *, told: bool) -> Next:
        """It is no more. `failure` None: we have ended it ourselves. `told`: the service had said something on it."""
        answered = self._talk.memory.answered_turn > self._answered_before
        lived_s = (now_ns - self._began_ns) / _NS
        self._backoff.worked(lived_s, answered)
        useful = answered or lived_s >= STEADY_S
        if useful:
            self._rung, self._refusals, self._vain = "resume", 0, 0
        if failure is None:
            self._vain += not useful
            if self._vain <= VAIN_ROLLS:
                return Next()
            return Next(self._later(now_ns, SOON_S))
        if failure.forget_handle:
            self._talk.memory.forget_handle()
        if plan.context and not told and failure.code in (1007, 1008):
            self._rung = "empty"
            self._later(now_ns, SOON_S)
            return Next(note=f"the transcript is refused, an empty session follows: {failure.words}")
        if plan.handle and not told and not useful and failure.blames_session:
            self._refused()
        return self._failed(now_ns, failure)

    def _refused(self) -> bool:
        """The service does not like the session that it resumed. True if a fresh one is to follow.

        The handle is kept until a fresh line is up: if that fails too, it was not the handle's fault.
        """
        self._refusals += 1
        if self._refusals < STUBBORN:
            return False
        self._rung = "seeded"
        return True

    def _failed(self, now_ns: int, failure: Failure) -> Next:
        self._failed_ns = now_ns
        self._pace_s = URGENT_RARE_S if failure.wait_cap_s >= RARE_S else URGENT_S
        self._later(now_ns, failure.wait_cap_s)
        return Next(self.wait_s(now_ns) or 0.0, failure)

    def _later(self, now_ns: int, cap_s: float) -> float:
        wait_s = self._backoff.next_s(cap_s)
        self._due_ns = now_ns + int(wait_s * _NS)
        return wait_s
