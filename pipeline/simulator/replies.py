"""Which line of the script answers a turn."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from pipeline.simulator.memory import Memory
from pipeline.simulator.script import Reply, Script

NOTHING = Reply()


@dataclass(frozen=True)
class Choice:
    """The chosen `reply`, the declared `function` it calls, what fills its blanks, and the next spoken line."""

    reply: Reply
    function: str | None
    spoken_at: int
    values: dict[str, Any] = field(default_factory=dict)


def for_speech(script: Script, memory: Memory, declared: Collection[str]) -> Choice:
    """The next line of `spoken`, from the top again after the last."""
    count = len(script.spoken)
    for step in range(count):
        at = (memory.spoken_at + step) % count
        reply = script.spoken[at]
        function = reply.call.choose(declared) if reply.call else None
        if reply.call is None or function:
            return Choice(reply, function, (at + 1) % count, _values(memory))
    return Choice(NOTHING, None, memory.spoken_at)


def for_text(script: Script, memory: Memory, typed: str, declared: Collection[str]) -> Choice:
    """The first line of `text` whose pattern is found in what was typed."""
    for reply in script.text:
        found = reply.match.search(typed) if reply.match else None
        if reply.match and not found:
            continue
        function = reply.call.choose(declared) if reply.call else None
        if reply.call and not function:
            continue
        groups = enumerate(found.groups(default=""), 1) if found else ()
        return Choice(reply, function, memory.spoken_at, _values(memory) | {str(at): group for at, group in groups})
    return Choice(NOTHING, None, memory.spoken_at)


def _values(memory: Memory) -> dict[str, Any]:
    return {"previous": memory.last_user_words, "turn": memory.turns + 1}
