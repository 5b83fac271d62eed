"""What passes between the stage and a worker: JSON objects over a socket pair, each with its length before it.

JSON and not pickle: nothing that a person's code says can become code here.

| to a worker | its value | beside it |
|---|---|---|
| the first message | | what to load, and its bounds |
| `call` | id | `function` (index), or `server` and `name`; `args` |
| `drop` | id: nobody waits for it | `late`: its deadline has passed |

| from a worker | its value | beside it |
|---|---|---|
| `loaded` | a declaration or `wrong` for each function; once, when all are imported | |
| `offers` | a server | `tools`, or `wrong`: why there are none; each time it (re)starts or changes them |
| `answer` | id | `result`, or `error`, perhaps with `traceback` for the log |
| `dropped` | id | |
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Any

LENGTH = struct.Struct("!I")
LARGEST = 4_000_000
"""Bytes of one message; results are bounded far below. More is no message of ours."""
CHUNK = 65_536


class Garbled(ValueError):
    """Bytes that are no message: whoever sent them can't be spoken with any more."""


def pack(message: Mapping[str, Any]) -> bytes:
    """One message as bytes."""
    data = json.dumps(message).encode()
    return LENGTH.pack(len(data)) + data


class Unpacker:
    """Bytes as they come to messages."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The messages that are complete now. Raises Garbled."""
        self._held += data
        while len(self._held) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._held)
            if length > LARGEST:
                raise Garbled(f"a message of {length} bytes")
            if len(self._held) < LENGTH.size + length:
                return
            body = bytes(self._held[LENGTH.size : LENGTH.size + length])
            del self._held[: LENGTH.size + length]
            try:
                message = json.loads(body)
            except ValueError as error:
                raise Garbled(f"no JSON: {error}") from error
            if not isinstance(message, dict):
                raise Garbled(f"no object: {body[:40]!r}")
            yield message


def messages(line: socket.socket) -> Iterator[dict[str, Any]]:
    """What comes on a blocking socket, until its other end is closed."""
    unpacker = Unpacker()
    while data := line.recv(CHUNK):
        yield from unpacker.feed(data)
