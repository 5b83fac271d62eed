"""What is said of the line: to the other stages, to `status`, and to the log."""

from __future__ import annotations

from pipeline.live.effects import Effect, Note, State, Tell
from pipeline.live.failures import Failure, at_home

RESTS = {
    "idle": "asleep: nobody has spoken for a while, so the paid line is closed; the next word opens it",
    "untriggered": "asleep: the paid line is opened by a trigger",
    "capped": "capped",
}
"""Why there is no line although one could be had."""


class News:
    """About the lines to `model` of `service`. `standing_in`: that it is not the service which answers, and what to do
    about it; `budget`: what is wrong with that; empty where nothing is."""

    def __init__(self, service: str, model: str, standing_in: tuple[str, str] = ("", ""), budget: str = "") -> None:
        self._service, self._model, self._standing_in, self._budget = service, model, standing_in, budget
        self._up = False
        self._kind = ""
        """Of the failure that was told last."""
        self._fault = ""

    def starting(self) -> list[Effect]:
        """The stage is up, the line is not."""
        return [State("waiting", f"connecting to {self._service}")]

    def up(self, attempt: int, *, resumed: bool) -> list[Effect]:
        """A line is set up."""
        self._up, self._kind = True, ""
        return [
            self._connection(True, "", attempt, remedy=self._standing_in[1]),
            Note("connected", {"service": self._service, "resumed": resumed, "attempt": attempt}),
            self._state(),
        ]

    def ended(self) -> None:
        """It is no more; why is told by `down` if there is anything to tell."""
        self._up = False

    def resting(self, reason: str, words: str = "") -> list[Effect]:
        """There is no line because none is wanted. `words`: for a person; else those of `reason`."""
        self._kind = ""
        state = State("waiting", words or RESTS.get(reason, reason))
        return [state, self._connection(False, reason, 0), Note("no line is wanted", {"reason": reason})]

    def down(self, failure: Failure, attempt: int, wait_s: float) -> list[Effect]:
        """There is no line, and the next attempt comes in `wait_s`."""
        failure = at_home(failure) if self._service == "simulator" else failure
        again = f"retrying in {wait_s:.0f} s" if wait_s >= 1 else "retrying"
        effects: list[Effect] = [State("degraded", f"no connection to {self._service}: {failure}; {again}")]
        if failure.kind == self._kind and attempt & (attempt - 1):
            return effects  # the same again: told at the attempts 1, 2, 4, 8, … so that a night offline is a few lines
        self._kind = failure.kind
        fields = {"service": self._service, "reason": str(failure), "attempt": attempt}
        told = self._connection(False, str(failure), attempt, failure.kind, failure.remedy)
        return [*effects, told, Note("no connection", fields, "warning")]

    def store(self, fault: str) -> list[Effect]:
        """The store keeps nothing because of `fault`, or is well again."""
        if fault == self._fault:
            return []
        self._fault = fault
        words = "memory is not kept" if fault else "memory is kept again"
        effects: list[Effect] = [Note(words, {"reason": fault}, "warning")]
        return [*effects, self._state()] if self._up else effects

    def _state(self) -> State:
        reason = "; ".join(part for part in (*self._standing_in, self._budget, self._fault) if part)
        return State("degraded" if reason else "live", reason)

    def _connection(self, up: bool, reason: str, attempt: int, kind: str = "", remedy: str = "") -> Tell:
        body = {"up": up, "reason": reason, "attempt": attempt, "service": self._service, "model": self._model}
        return Tell("connection", {**body, "kind": kind, "remedy": remedy}, sticky=True)
