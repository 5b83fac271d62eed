"""Function calls under way. Every call is answered once: a call without an answer leaves the model waiting for ever.

A call outlives the line that it came by. Its answer goes to the session that knows of it; a session that never saw it,
because it was resumed from before or is a fresh one, is told in words, and of the question with them.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.live.effects import Effect, Note, SendText, SendToolResult, Tell, Unstick
from pipeline.live.memory import Called, Memory
from pipeline.live.messages import ToolCall
from pipeline.live.turns import Change, Turns

DEADLINE_S = 120.0
"""A function whose stage says nothing for so long is answered for: its own deadline is shorter, so that is gone."""
AWAY_S, STARTING_S = 3.0, 10.0
"""A tools stage that has been away for so long, or starts for so long, is waited for no more: the person waits, too."""
AT_WORK = ("live", "waiting", "degraded", "muted")
GIVEN_UP = ("failed", "ended")
"""States of a stage, in the supervisor's words."""
SETTLED = 64
"""Calls that are remembered as answered: the service says some of them twice."""
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """What a function has answered. `scheduling`: when the model may speak of it, for one that it did not wait for."""

    response: Mapping[str, Any]
    scheduling: str = ""

    @property
    def silent(self) -> bool:
        """The model says nothing about it."""
        return self.scheduling == "SILENT"


@dataclass(slots=True)
class Call:
    """One that waits for its result, or whose result waits for a line."""

    id: str
    name: str
    args: Mapping[str, Any]
    turn: int
    began_ns: int
    question: str = ""
    """What the person had asked when their line was lost."""
    known: bool = True
    """The session on the line that is up knows of the call."""
    in_handle: bool = False
    """And so does the one that the newest handle resumes."""
    result: Result | None = None


class Calls:
    """The calls of `turns`. `has_tools`: a stage is wired that runs them; without one each is refused at once."""

    def __init__(self, turns: Turns, memory: Memory, has_tools: bool) -> None:
        self._turns, self._memory, self._has_tools = turns, memory, has_tools
        self._calls: dict[str, Call] = {}
        self._settled: deque[str] = deque(maxlen=SETTLED)
        self._up = False
        self._stage = ""
        """State of the tools stage; empty: nobody has said."""
        self._away_ns: int | None = None

    @property
    def open(self) -> bool:
        """A function runs, or its result waits for a line."""
        return bool(self._calls)

    def start(self) -> list[Effect]:
        """This stage is up. What a session before it had called is void: the question is asked again."""
        left = [called for called in self._memory.calls if called.outcome == "open"]
        for called in left:
            self._memory.call(Called(called.id, called.turn, called.name, called.args, "cancelled"))
        return [Tell("tool_cancelled", {"id": called.id}) for called in left]

    # The service

    def called(self, now_ns: int, call: ToolCall) -> tuple[list[Change], list[Effect]]:
        """The model wants a function called: what that changes in the turns, then what is to be done."""
        if call.id in self._calls or call.id in self._settled:
            return [], [Note("a call was said twice", {"id": call.id, "name": call.name}, "debug")]
        changes = self._turns.tool_called(now_ns, call.id)
        assert self._turns.turn is not None
        opened = Call(call.id, call.name, dict(call.args), self._turns.turn.id, now_ns)
        body = {"id": call.id, "name": call.name, "args": opened.args, "turn": opened.turn}
        if self._has_tools:
            self._calls[call.id] = opened
            self._remember(opened, "open")
            return changes, [Tell("tool_call", body, sticky=True, key=call.id, log=True)]
        self._turns.tool_settled(now_ns, call.id, answered=True)
        self._settled.append(call.id)
        refusal = {"error": f"there is no function {call.name!r} on this machine"}
        return changes, [Tell("tool_call", body, log=True), SendToolResult(call.id, call.name, refusal)]

    def cancelled(self, now_ns: int, ids: tuple[str, ...]) -> list[Effect]:
        """Nobody waits for these any more."""
        return [effect for call_id in ids if call_id in self._calls for effect in self._void(now_ns, call_id)]

    def handle_came(self) -> None:
        """A handle that resumes knows of the calls that this line has brought."""
        for call in self._calls.values():
            call.in_handle = call.known

    # The tools stage

    def result(self, now_ns: int, call_id: str, result: Result) -> list[Effect]:
        """A function has answered. A result that nobody waits for is left out."""
        call = self._calls.get(call_id)
        if call is None or call.result is not None:
            return [
                Tell("tool_taken", {"id": call_id}),
                Note("a result came for no call under way", {"id": call_id}, "warning"),
            ]
        call.result = result
        taken: list[Effect] = [Unstick("tool_call", call_id), Tell("tool_taken", {"id": call_id})]
        return [*taken, *self._deliver(now_ns, call)]

    def stage(self, now_ns: int, state: str) -> bool:
        """How the tools stage is. True if it will not come back by itself."""
        self._stage = state
        if state in AT_WORK:
            self._away_ns = None
        elif self._away_ns is None:
            self._away_ns = now_ns
        return state in GIVEN_UP

    # The line

    def lost(self, turn: int | None, question: str) -> bool:
        """The line is gone, and what runs goes on. True if the answer of `turn` waits for it, and the `question` is
        known, so that nobody needs to ask it again."""
        self._up = False
        for call in self._calls.values():
            if call.turn == turn:
                call.question = question
        return bool(question) and any(call.turn == turn for call in self._calls.values())

    def line_up(self, now_ns: int, *, resumed: bool) -> list[Effect]:
        """A line is set up: what has waited for one is delivered."""
        self._up = True
        effects: list[Effect] = []
        for call in list(self._calls.values()):
            call.known = resumed and call.in_handle
            call.in_handle = call.known
            if call.result is not None:
                effects += self._deliver(now_ns, call)
        return effects

    def void(self, now_ns: int, turn: int | None = None) -> list[Effect]:
        """Nobody waits for the calls of that turn any more, or for any."""
        ids = [call.id for call in self._calls.values() if turn is None or call.turn == turn]
        return [effect for call_id in ids for effect in self._void(now_ns, call_id)]

    def tick(self, now_ns: int) -> list[Effect]:
        """Time passes."""
        waiting = [call for call in self._calls.values() if call.result is None]
        words = f"no answer from the function within {DEADLINE_S:.0f} s"
        if self._nobody_runs(now_ns):
            words = "the functions of this machine cannot be run at the moment; say so, and help without them"
        else:
            waiting = [call for call in waiting if now_ns - call.began_ns > DEADLINE_S * _NS]
        return [effect for call in waiting for effect in self.result(now_ns, call.id, Result({"error": words}))]

    # Inside

    def _nobody_runs(self, now_ns: int) -> bool:
        """Whoever runs the functions is gone, and not soon back."""
        if self._away_ns is None:
            return False
        patience_s = STARTING_S if self._stage in ("starting", "primed") else AWAY_S
        return self._stage in GIVEN_UP or now_ns - self._away_ns >= patience_s * _NS

    def _deliver(self, now_ns: int, call: Call) -> list[Effect]:
        if not self._up:
            return []
        result = call.result
        assert result is not None
        self._forget(call, "failed" if "error" in result.response else "answered")
        if call.known:
            self._turns.tool_settled(now_ns, call.id, answered=not result.silent)
            return [SendToolResult(call.id, call.name, result.response, result.scheduling)]
        self._turns.tool_settled(now_ns, call.id, answered=False)  # a text is answered: no turnComplete is owed
        return [SendText(_in_words(call, result))]

    def _void(self, now_ns: int, call_id: str) -> list[Effect]:
        call = self._calls[call_id]
        self._forget(call, "cancelled")
        self._turns.tool_settled(now_ns, call_id, answered=False)
        effects: list[Effect] = [Unstick("tool_call", call_id), Tell("tool_cancelled", {"id": call_id}, log=True)]
        return effects if call.result is None else []

    def _forget(self, call: Call, outcome: str) -> None:
        del self._calls[call.id]
        self._settled.append(call.id)
        self._remember(call, outcome)

    def _remember(self, call: Call, outcome: str) -> None:
        self._memory.call(Called(call.id, call.turn, call.name, json.dumps(call.args), outcome))  # type: ignore[arg-type]


def _in_words(call: Call, result: Result) -> str:
    """For a session that does not know of the call."""
    said = json.dumps(dict(result.response), ensure_ascii=False)
    args = json.dumps(dict(call.args), ensure_ascii=False)
    parts = [f"(Your function {call.name}, called with {args}, has answered: {said}."]
    if result.silent:
        parts.append("Bear it in mind and say nothing about it now.)")
    elif call.question:
        parts.append(f'The visitor had asked: "{call.question}". Answer them now.)')
    else:
        parts.append("Tell the visitor.)")
    return " ".join(parts)
