"""The shorter way of sound, past the SDK's checks and conversions.

They cost 250 us a block at the pace of speech, more than all else that happens to it on its way through this machine.
What the SDK writes around a block of voice is learned from the SDK itself, and a message that holds sound and nothing
else is read here. Whatever is not exactly that goes the SDK's way. Imports nothing of the SDK.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import websockets

from pipeline.live.messages import Speech
from pipeline.live.parse import rate_of

Words = tuple[str, Callable[[bytes], bytes], str]
"""What stands before a block of voice, the base64 that it is written in, and what stands after it."""

PROBE = b"\xfb\xef\xbe\xff\xff\xff"
"""`++++////` in one alphabet of base64, `----____` in the other."""


def words_around(written: str) -> Words | None:
    """From a message that the SDK wrote for a block of PROBE; None if the block is not found in it."""
    for encode in (base64.urlsafe_b64encode, base64.b64encode):
        before, found, after = written.partition(encode(PROBE).decode())
        if found:
            return before, encode, after
    return None


def message_of(words: Words, pcm: bytes) -> str:
    """The message with a block of voice."""
    before, encode, after = words
    return before + encode(pcm).decode() + after


def sound_in(message: bytes) -> tuple[Speech, ...] | None:
    """The sound in a message that holds nothing but sound; None for all others, spoiled ones too: the SDK says why."""
    if b'"inlineData"' not in message:
        return None
    try:
        content = json.loads(message)
        for key in ("serverContent", "modelTurn"):
            if content.keys() != {key}:
                return None
            content = content[key]
        parts = content["parts"]
        if content.keys() - {"parts", "role"} or any(part.keys() != {"inlineData"} for part in parts):
            return None
        return tuple(_speech(**part["inlineData"]) for part in parts) or None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _speech(mimeType: str, data: str) -> Speech:
    """With the service's own keys. Raises ValueError, TypeError."""
    if not mimeType.startswith("audio/"):
        raise ValueError(mimeType)
    return Speech(base64.b64decode(data, altchars=b"-_", validate=True), rate_of(mimeType))


class Ahead:
    """The SDK's WebSocket, with a look at the next message before the SDK has it."""

    def __init__(self, ws: Any) -> None:
        self._ws = ws
        self._next: bytes | None = None

    async def look(self) -> bytes | None:
        """The next message, which `recv` gives unless `drop` is called. None: closed, which `recv` says in its way."""
        if self._next is None:
            with contextlib.suppress(websockets.ConnectionClosed):
                self._next = await self._ws.recv(decode=False)
        return self._next

    def drop(self) -> None:
        """What was looked at has been dealt with."""
        self._next = None

    async def recv(self, decode: bool | None = None) -> Any:
        """For the SDK."""
        if self._next is None:
            return await self._ws.recv(decode=decode)
        message, self._next = self._next, None
        return message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ws, name)


class Nobody:
    """A WebSocket that says what it was given and takes everything: to have the SDK write, and read, at leisure."""

    def __init__(self, messages: Sequence[str] = ()) -> None:
        self._messages = iter(messages)
        self.taken = ""

    async def send(self, message: str) -> None:
        """Take it."""
        self.taken = message

    async def recv(self, decode: bool = True) -> bytes:
        """The next message."""
        return next(self._messages).encode()
