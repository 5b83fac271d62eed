"""What the supervisor and its fork server say to each other: small JSON maps with descriptors, over a seqpacket socket.

A request's body (an environment may hold megabytes) travels in a file in memory whose descriptor is the first one.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

MAX_DESCRIPTORS = 8
REPLY_BYTES = 4_096


class Gone(Exception):
    """The other end has closed, or speaks nonsense."""


def send_request(wire: socket.socket, body: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Raises Gone when the server is away or has not read what was said before, OSError without descriptors left."""
    memory = os.memfd_create("voice-pipeline-request")
    try:
        with os.fdopen(os.dup(memory), "wb") as file:
            file.write(json.dumps(body).encode())
        packed = array.array("i", [memory, *descriptors])
        try:
            wire.sendmsg([b"?"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, packed)], socket.MSG_DONTWAIT)
        except OSError as error:
            raise Gone(str(error)) from error
    finally:
        os.close(memory)


def take_request(wire: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The next request, waited for, and its descriptors. Raises Gone."""
    data, descriptors = _receive(wire)
    if not data or not descriptors:
        raise Gone("the supervisor has closed its end")
    with os.fdopen(descriptors.pop(0), "rb") as file:
        file.seek(0)
        return json.loads(file.read()), descriptors


def send_reply(wire: socket.socket, **fields: Any) -> None:
    """Say something to the supervisor. Raises OSError when it is gone."""
    wire.send(json.dumps(fields).encode()[:REPLY_BYTES])


def take_reply(wire: socket.socket) -> dict[str, Any] | None:
    """What the server said, None if nothing has come. Raises Gone."""
    try:
        data = wire.recv(REPLY_BYTES, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError as error:
        raise Gone(str(error)) from error
    with contextlib.suppress(ValueError):
        reply = json.loads(data)
        if isinstance(reply, dict):
            return reply
    raise Gone("closed" if not data else f"said {data[:80]!r}")


def _receive(wire: socket.socket) -> tuple[bytes, list[int]]:
    size = array.array("i").itemsize
    data, ancillary, _, _ = wire.recvmsg(16, socket.CMSG_SPACE(MAX_DESCRIPTORS * size), socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, packed in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(packed[: len(packed) - len(packed) % size])
    return data, list(descriptors)
