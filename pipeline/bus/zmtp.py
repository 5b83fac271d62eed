"""ZMTP 3.0, what ZeroMQ sockets say to each other, as far as a bus of one machine needs it. No I/O.

Spoken here and not by libzmq where both ends are on this machine: libzmq hands every message to a thread of its own on
either side, and of the 7 times that something had to wake until a block of the microphone was at the service 4 were
those threads. The bytes are the same: who is not ours uses libzmq and notices nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
"""Signature, version 3.0, mechanism, "I am no server", filler. Of 3.0, so that subscriptions come as messages."""
VERSION_AT, MECHANISM = 10, slice(12, 32)
MORE, LONG, COMMAND = 1, 2, 4
SUBSCRIBE, CANCEL = b"\x01", b"\x00"
TOPICS = b"X-Topics"
"""A property of READY that libzmq ignores: what a reader of ours subscribes to, NUL between, so that it hears all that
is said from the moment it has connected, and not two turns of both loops later. Where it was understood, the other
side's READY has it too, empty."""
MAX_BYTES = 16 * 2**20
"""A longer frame is skipped: what comes after it is heard, and nobody holds it in memory."""
MAX_SKIPPED = 256 * 2**20
"""A frame that says it is even longer ends the connection: what comes after it would come too late, or never."""
MAX_PARTS = 16


class Broken(Exception):
    """The other side does not speak ZMTP 3, or not as we do: the connection is of no use."""


def command(name: bytes, properties: Mapping[bytes, bytes]) -> bytes:
    """A command with properties, such as READY."""
    body = bytes([len(name)]) + name
    for key, value in properties.items():
        body += bytes([len(key)]) + key + len(value).to_bytes(4, "big") + value
    return _head(COMMAND, len(body)) + body


def message(parts: Sequence[bytes]) -> bytes:
    """A message of some parts."""
    last = parts[-1]
    heads = b"".join(_head(MORE, len(part)) + part for part in parts[:-1])
    return heads + _head(0, len(last)) + last


def _head(flags: int, size: int) -> bytes:
    if size < 256:
        return bytes((flags, size))
    return bytes((flags | LONG,)) + size.to_bytes(8, "big")


class Skipped(bytes):
    """In the place of a frame that was too long: nothing, of that length."""

    _size: int

    def __new__(cls, size: int) -> Self:
        """Of `size` bytes."""
        made = super().__new__(cls)
        made._size = size
        return made

    def __len__(self) -> int:
        return self._size


class Parser:
    """Bytes of one connection to messages. What belongs to the handshake stays inside."""

    def __init__(self, largest: int = MAX_BYTES) -> None:
        """`largest`: bytes of a frame that is kept."""
        self.ready: dict[bytes, bytes] | None = None
        """The properties of the other side's READY; None before it has said that."""
        self._largest = largest
        self._greeted = False
        self._pieces: list[bytes] = []
        self._lacking = 0
        """Bytes until a frame of which the beginning has come is whole."""
        self._skips = 0
        """Bytes to come of a frame that is skipped."""
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> list[list[bytes]]:
        """The messages that are complete now. Raises Broken."""
        if self._skips:
            skipped = min(self._skips, len(data))
            self._skips -= skipped
            data = data[skipped:]
        if self._pieces:
            self._pieces.append(data)
            if len(data) < self._lacking:  # joined once: 20 MB joined with each 32 kB that comes take seconds
                self._lacking -= len(data)
                return []
            data = b"".join(self._pieces)
            self._pieces = []
        at = self._lacking = 0
        if not self._greeted:
            if not _greets(data):
                self._pieces = [data]
                return []
            self._greeted, at = True, len(GREETING)
        found: list[list[bytes]] = []
        end = len(data)
        while end - at >= 2:
            flags = data[at]
            if flags & LONG:
                if end - at < 9:
                    break
                size, begin = int.from_bytes(data[at + 1 : at + 9], "big"), at + 9
            else:
                size, begin = data[at + 1], at + 2
            most = self._largest if flags & COMMAND else MAX_SKIPPED
            if size > most or flags > (MORE | LONG | COMMAND):
                raise Broken(f"expected frames of ZMTP 3, {most} bytes at most; got flags {flags}, {size} bytes")
            if size > self._largest:
                part: bytes = Skipped(size)
                self._skips = max(0, begin + size - end)
            elif end - begin < size:
                self._lacking = size - (end - begin)
                break
            else:
                part = data[begin : begin + size]
            at = min(end, begin + size)
            if flags & COMMAND:
                self._command(part)
                continue
            self._parts.append(part)
            if not flags & MORE:
                found.append(self._parts)
                self._parts = []
            elif len(self._parts) >= MAX_PARTS:
                raise Broken(f"expected messages of less than {MAX_PARTS} parts")
        if at < end:
            self._pieces = [data[at:]]
        return found

    def _command(self, body: bytes) -> None:
        name = body[1 : 1 + body[0]] if body else b""
        if name == b"READY":
            self.ready = _properties(body[6:])
        elif name == b"ERROR":
            raise Broken(f"refused: {body[6:60]!r}")


def _properties(data: bytes) -> dict[bytes, bytes]:
    """Raises Broken."""
    found, at = {}, 0
    while at < len(data):
        value_at = at + 1 + data[at] + 4
        end = value_at + int.from_bytes(data[value_at - 4 : value_at], "big")
        if end > len(data):
            raise Broken("expected the properties of READY to be whole")
        found[data[at + 1 : value_at - 4]] = data[value_at:end]
        at = end
    return found


def _greets(data: bytes) -> bool:
    """Whether the greeting is complete. Raises Broken for another one."""
    if data[:1] not in (b"", b"\xff") or (len(data) > VERSION_AT and data[VERSION_AT] < 3):
        raise Broken(f"expected the greeting of ZMTP 3, got {data[:12]!r}")
    if len(data) < len(GREETING):
        return False
    if data[MECHANISM].rstrip(b"\0") != b"NULL":
        raise Broken(f"expected the mechanism NULL, got {data[MECHANISM]!r}")
    return True
