"""What a turn costs, as the service says it, and what its compression lets go."""

from collections import Counter
from dataclasses import replace
from typing import Any

from pipeline.simulator.memory import Memory, Session
from pipeline.simulator.usage import Tokens, usage_metadata

_CLOUD_NAMES = {"responseTokenCount": "candidatesTokenCount", "responseTokensDetails": "candidatesTokensDetails"}
"""The cloud platform has names of its own for two of them."""


class Bill:
    """`counts`: `turn` (each message has its own turn), `cumulative` (the session until now) or `none`."""

    def __init__(self, counts: str, *, vertex: bool) -> None:
        self._counts = counts
        self._names = _CLOUD_NAMES if vertex else {}

    def message(self, session: Session, prompt: Tokens, response: Tokens) -> dict[str, Any]:
        """The part of a message that says so."""
        session.prompt_tokens += prompt
        session.response_tokens += response
        if self._counts == "none":
            return {}
        if self._counts == "cumulative":
            prompt, response = session.prompt_tokens, session.response_tokens
        said = usage_metadata(prompt, response)
        return {"usageMetadata": {self._names.get(name, name): count for name, count in said.items()}}


def compressed(memory: Memory, compression: tuple[int, int] | None) -> Memory:
    """`memory`, cut to the target when it holds more tokens than the trigger: (trigger, target)."""
    if compression is None or (held := memory.tokens.total()) <= compression[0]:
        return memory
    share = compression[1] / held
    kept = Counter({name: int(count * share) for name, count in memory.tokens.items()})
    # Turns are as long as each other here; what counts is that the oldest go first.
    return replace(memory, tokens=kept, said=memory.said[-max(1, round(len(memory.said) * share)) :])
