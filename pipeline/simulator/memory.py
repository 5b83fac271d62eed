"""What a conversation knows, and how a handle brings it back on another connection.

A handle keeps the state of the moment it was issued: what was said after it is forgotten by a resume, as with the
service.
"""

import secrets
from collections import Counter, OrderedDict
from dataclasses import dataclass, field, replace

from pipeline.simulator.refusal import Refused
from pipeline.simulator.usage import Tokens

TURNS_KEPT = 400
"""Older turns leave the context, as the service's sliding window does; their tokens stay counted."""

HANDLES_KEPT = 1000
"""Newest handles kept; the oldest becomes unknown."""

HANDLE_LIFE_NS = 2 * 3600 * 10**9


@dataclass(frozen=True)
class Said:
    """One contribution: by "user" or "model", and the words that truly travelled."""

    who: str
    text: str


@dataclass(frozen=True)
class Memory:
    """The state of one conversation. `spoken_at` is the next answer of the script's `spoken` list."""

    said: tuple[Said, ...] = ()
    turns: int = 0
    spoken_at: int = 0
    tokens: Tokens = field(default_factory=Counter)

    def with_said(self, who: str, text: str) -> "Memory":
        """This memory with one more contribution."""
        return replace(self, said=(*self.said, Said(who, text))[-TURNS_KEPT:])

    def with_tokens(self, **tokens: int) -> "Memory":
        """This memory with more tokens in its context, by modality."""
        return replace(self, tokens=self.tokens + Counter(tokens))

    @property
    def last_user_words(self) -> str:
        """What the person said last."""
        return next((said.text for said in reversed(self.said) if said.who == "user"), "")


class Handles:
    """Every handle that this server has issued."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[Memory, int]] = OrderedDict()

    def issue(self, memory: Memory, now_ns: int) -> str:
        """A new handle to `memory`."""
        handle = secrets.token_urlsafe(24)
        self._kept[handle] = (memory, now_ns)
        while len(self._kept) > HANDLES_KEPT:
            self._kept.popitem(last=False)
        return handle

    def resume(self, handle: str, now_ns: int) -> Memory:
        """The memory behind a handle. Raises `Refused`: 1007 if it is unknown, 1008 if it is too old."""
        found = self._kept.get(handle)
        if found is None:
            raise Refused(1007, "Invalid session handle", "this server never issued that handle, or it was restarted")
        memory, issued_ns = found
        if now_ns - issued_ns > HANDLE_LIFE_NS:
            raise Refused(1008, "BidiGenerateContent session not found", "the handle is older than two hours")
        return memory
