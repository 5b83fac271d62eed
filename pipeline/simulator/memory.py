"""What a conversation knows, and how a handle brings it back on another connection.

A handle keeps the state of the moment it was issued: what was said after it is forgotten by a resume, as with the
service.
"""

import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pipeline.simulator.refusal import Refused
from pipeline.simulator.usage import Tokens

TURNS_KEPT = 400
"""Older turns leave the context, as the service's sliding window does; their tokens stay counted."""

HANDLES_KEPT = 1000
"""Newest handles kept; the oldest becomes unknown."""

HANDLE_LIFE_S = 2 * 3600.0


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


@dataclass(eq=False)
class Session:
    """One session of the service over all its connections."""

    number: int
    open: bool = True
    """A connection holds it: nobody else may resume it meanwhile."""
    wedged: bool = False
    """It transcribes and never answers."""
    saw_images: bool = False
    lived_ns: int = 0
    """Connected, before the connection under way."""
    ended: bool = False
    """It lived too long: its handles are good for nothing."""
    prompt_tokens: Tokens = field(default_factory=Counter)
    response_tokens: Tokens = field(default_factory=Counter)
    """Billed so far."""


class Handles:
    """Every handle that this server has issued."""

    def __init__(self, life_s: float | None = HANDLE_LIFE_S) -> None:
        self._life_ns = None if life_s is None else round(life_s * 1e9)
        self.known: OrderedDict[str, tuple[Session, Memory, int]] = OrderedDict()
        """Handle to its session, what it brings back, and when it was issued (monotonic ns)."""
        self.on_change: Callable[[str | None], None] = lambda handle: None
        """Told each new handle, and None when more has changed."""

    def issue(self, session: Session, memory: Memory, now_ns: int) -> str:
        """A new handle to `memory`."""
        handle = secrets.token_urlsafe(24)
        self.known[handle] = (session, memory, now_ns)
        while len(self.known) > HANDLES_KEPT:
            self.known.popitem(last=False)
        self.on_change(handle)
        return handle

    def restore(self, handle: str, session: Session, memory: Memory, issued_ns: int) -> None:
        """A handle of an earlier life of this server."""
        self.known[handle] = (session, memory, issued_ns)

    def resume(self, handle: str, now_ns: int) -> tuple[Session, Memory]:
        """What a handle brings back; the session is then open.

        Raises `Refused`: 1007 if the handle is unknown, 1008 if it or its session is over, 1011 while a connection of
        the session is open.
        """
        found = self.known.get(handle)
        if found is None:
            raise Refused(1007, "Invalid session handle", "this server never issued that handle, or it was restarted")
        session, memory, issued_ns = found
        if self._life_ns is not None and now_ns - issued_ns > self._life_ns:
            raise Refused(1008, "BidiGenerateContent session not found", "the handle is too old")
        if session.ended:
            raise Refused(1008, "BidiGenerateContent session not found", "the session was ended by its limits")
        if session.open:
            raise Refused(1011, "Internal error encountered.", "the session's old connection is still open")
        session.open = True
        return session, memory

    def forget(self) -> None:
        """No handle issued so far is known any more."""
        self.known.clear()
        self.on_change(None)

    def blank(self) -> None:
        """What was issued so far brings an empty conversation back."""
        for handle, (session, _, issued_ns) in self.known.items():
            self.known[handle] = (session, Memory(), issued_ns)
        self.on_change(None)
