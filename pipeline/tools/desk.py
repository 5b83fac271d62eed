"""Where calls come in and answers go out: every call is answered once, whatever becomes of it. Pure; times in ns.

A call is checked, looked up, run, and answered by its function, its deadline or its end. Said twice, it has the same
answer and is run once.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.tools.arguments import misfit
from pipeline.tools.catalogue import Tool

OPEN_CALLS = 16
"""Calls under way; one more is refused. A model that calls without end must not fill the machine."""
REMEMBERED, REMEMBERED_S = 64, 60.0
"""Answers that are given again to a call that is said again: so many, for so long."""
CACHED = 256
"""Answers kept by `cache_s`; the oldest goes first."""
LARGEST_ARGUMENTS = 60_000
"""Characters, as JSON."""
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Run:
    """Have the function run."""

    id: str
    tool: Tool
    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Drop:
    """Nobody waits for this call any more: end it. `late`: its deadline has passed."""

    id: str
    tool: Tool
    late: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Tell the session. `ok`: the function itself has answered; `tool` None: there is none of that name."""

    id: str
    name: str
    response: Mapping[str, Any]
    tool: Tool | None
    ok: bool = False
    again: bool = False
    """It was told before."""


Effect = Run | Drop | Answer


@dataclass
class _Open:
    """One call under way."""

    name: str
    args: Mapping[str, Any]
    began_ns: int
    tool: Tool | None = None
    """None: servers that may offer it have not spoken yet."""


@dataclass
class _Told:
    """One that was answered."""

    asked: str
    answer: Answer
    at_ns: int


@dataclass
class Desk:
    """The calls of one stage. `begun`: ids that a process before this one has begun and not answered."""

    deadline_s: float
    begun: Collection[str] = ()
    tools: Mapping[str, Tool] = field(default_factory=dict)
    complete: bool = True
    """Every function there will be is among `tools`."""

    def __post_init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._told: OrderedDict[str, _Told] = OrderedDict()
        self._cache: OrderedDict[str, tuple[int, Answer]] = OrderedDict()

    @property
    def open(self) -> Collection[str]:
        """Ids of calls that have no answer yet."""
        return self._open.keys()

    def called(self, now_ns: int, call_id: str, name: str, args: Mapping[str, Any]) -> list[Effect]:
        """The model calls a function."""
        asked = _asked(name, args)
        effects: list[Effect] = []
        if (under_way := self._open.get(call_id)) is not None:
            if _asked(under_way.name, under_way.args) == asked:
                return []
            effects = self.cancelled(call_id)  # another session counts its calls from the start again
        told = self._told.get(call_id)
        if told is not None and told.asked == asked and now_ns - told.at_ns < REMEMBERED_S * _NS:
            return [Answer(call_id, name, told.answer.response, told.answer.tool, told.answer.ok, again=True)]
        self._open[call_id] = _Open(name, args, now_ns)
        if len(self._open) > OPEN_CALLS:
            return [*effects, self._refuse(now_ns, call_id, f"{OPEN_CALLS} calls are under way already; try again")]
        return effects + self._look_up(now_ns, call_id)

    def changed(self, now_ns: int, tools: Mapping[str, Tool], complete: bool) -> list[Effect]:
        """The functions are these now."""
        self.tools, self.complete = tools, complete
        waiting = [call_id for call_id, call in self._open.items() if call.tool is None]
        return [effect for call_id in waiting for effect in self._look_up(now_ns, call_id)]

    def came(self, now_ns: int, call_id: str, message: Mapping[str, Any]) -> list[Effect]:
        """`result`, `error`, or how the process `ended` that ran it."""
        call = self._open.get(call_id)
        if call is None or call.tool is None:
            return []
        if "ended" in message:
            return [self._refuse(now_ns, call_id, f"{call.name} {message['ended']} before it had an answer")]
        if "result" not in message:
            return [self._refuse(now_ns, call_id, str(message.get("error")))]
        answer = Answer(call_id, call.name, {"result": message["result"]}, call.tool, ok=True)
        if call.tool.how.cache_s:
            self._cache[_asked(call.name, call.args)] = now_ns, answer
            if len(self._cache) > CACHED:
                self._cache.popitem(last=False)
        return [self._settle(now_ns, answer)]

    def cancelled(self, call_id: str) -> list[Effect]:
        """Nobody waits for the answer; a call of that id to come is another one."""
        self._told.pop(call_id, None)
        call = self._open.pop(call_id, None)
        return [] if call is None or call.tool is None else [Drop(call_id, call.tool)]

    def left(self) -> list[Effect]:
        """The visitor has left: what was asked and said for them is nobody else's business."""
        effects = [effect for call_id in list(self._open) for effect in self.cancelled(call_id)]
        self._told.clear()
        return effects

    def tick(self, now_ns: int) -> list[Effect]:
        """Answer what is late."""
        effects: list[Effect] = []
        for call_id, call in list(self._open.items()):
            deadline_s = self.deadline_s if call.tool is None else (call.tool.how.deadline_s or self.deadline_s)
            if now_ns - call.began_ns < deadline_s * _NS:
                continue
            if call.tool is None:
                effects.append(self._unknown(now_ns, call_id, call.name))
                continue
            effects.append(self._refuse(now_ns, call_id, f"{call.name} did not answer within {deadline_s:g} s"))
            effects.append(Drop(call_id, call.tool, late=True))
        return effects

    # Inside

    def _look_up(self, now_ns: int, call_id: str) -> list[Effect]:
        call = self._open[call_id]
        tool = self.tools.get(call.name)
        if tool is None:
            return [self._unknown(now_ns, call_id, call.name)] if self.complete else []
        call.tool = tool
        if call_id in self.begun and not tool.how.idempotent:
            words = f"nobody knows whether {call.name} was done: it was interrupted; do not repeat it by yourself"
            return [self._refuse(now_ns, call_id, words)]
        if len(_asked(call.name, call.args)) > LARGEST_ARGUMENTS:
            return [self._refuse(now_ns, call_id, f"the arguments have more than {LARGEST_ARGUMENTS} characters")]
        if problem := misfit(tool.parameters, call.args, closed=tool.closed):
            return [self._refuse(now_ns, call_id, f"wrong arguments for {call.name}: {problem}")]
        kept = self._cache.get(_asked(call.name, call.args))
        if kept is not None and now_ns - kept[0] < tool.how.cache_s * _NS:
            return [self._settle(now_ns, Answer(call_id, call.name, kept[1].response, tool, ok=True))]
        return [Run(call_id, tool, call.args)]

    def _unknown(self, now_ns: int, call_id: str, name: str) -> Answer:
        known = f"there are: {', '.join(self.tools)}" if self.tools else "there is none"
        return self._refuse(now_ns, call_id, f"there is no function {name!r} on this machine; {known}")

    def _refuse(self, now_ns: int, call_id: str, error: str) -> Answer:
        call = self._open[call_id]
        return self._settle(now_ns, Answer(call_id, call.name, {"error": error}, call.tool))

    def _settle(self, now_ns: int, answer: Answer) -> Answer:
        call = self._open.pop(answer.id)
        self._told[answer.id] = _Told(_asked(call.name, call.args), answer, now_ns)
        self._told.move_to_end(answer.id)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return answer


def _asked(name: str, args: Mapping[str, Any]) -> str:
    """Equal for equal calls."""
    return f"{name} {json.dumps(args, sort_keys=True, default=str)}"
