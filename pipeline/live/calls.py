"""Function calls under way. Every call is answered once: a call without an answer leaves the model waiting for ever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.live.effects import Effect, Note, SendToolResult, Tell, Unstick
from pipeline.live.messages import ToolCall
from pipeline.live.turns import Change, Turns


class Calls:
    """The calls of `turns`. `has_tools`: a stage is wired that runs them; without one each is refused at once."""

    def __init__(self, turns: Turns, has_tools: bool) -> None:
        self._turns, self._has_tools = turns, has_tools
        self._names: dict[str, str] = {}

    def called(self, now_ns: int, call: ToolCall) -> tuple[list[Change], list[Effect]]:
        """The model wants a function called: what that changes in the turns, then what is to be done."""
        if call.id in self._names:
            return [], []  # said twice: it is under way
        changes = self._turns.tool_called(now_ns, call.id)
        body = {"id": call.id, "name": call.name, "args": dict(call.args)}
        if self._has_tools:
            self._names[call.id] = call.name
            return changes, [Tell("tool_call", body, sticky=True, key=call.id, log=True)]
        self._turns.tool_settled(now_ns, call.id, answered=True)
        refusal = {"error": f"there is no function {call.name!r} on this machine"}
        return changes, [Tell("tool_call", body, log=True), SendToolResult(call.id, call.name, refusal)]

    def result(self, now_ns: int, call_id: str, response: Mapping[str, Any]) -> list[Effect]:
        """A function has answered. A result that nobody waits for is left out."""
        name = self._names.pop(call_id, None)
        if name is None:
            return [Note("a result came for no call under way", {"id": call_id}, "warning")]
        self._turns.tool_settled(now_ns, call_id, answered=True)
        return [Unstick("tool_call", call_id), SendToolResult(call_id, name, response)]

    def cancelled(self, now_ns: int, ids: tuple[str, ...]) -> list[Effect]:
        """Nobody waits for these any more."""
        effects: list[Effect] = []
        for call_id in ids:
            if self._names.pop(call_id, None) is not None:
                self._turns.tool_settled(now_ns, call_id, answered=False)
                effects += [Unstick("tool_call", call_id), Note("tool call cancelled", {"id": call_id})]
        return effects

    def lost(self) -> list[Effect]:
        """The line is gone: no other one knows these calls. Their question is asked again."""
        effects: list[Effect] = [Unstick("tool_call", call_id) for call_id in self._names]
        self._names.clear()
        return effects
