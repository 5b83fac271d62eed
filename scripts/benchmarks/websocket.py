"""The least that a WebSocket needs: the floor under every client, and a server whose own cost is small and known."""

from __future__ import annotations

import base64
import os
import select
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
PATH = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


class Wire:
    """One WebSocket over TLS; one thread may read while others write."""

    def __init__(self, sock: ssl.SSLSocket, *, masks: bool) -> None:
        """`masks`: the client's side."""
        self.sock, self._masks = sock, masks
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lock = threading.Lock()  # an SSL object is not for two threads at once
        self._rest = b""

    def send(self, data: bytes, opcode: int = TEXT) -> None:
        """One frame."""
        size = len(data)
        masked = 0x80 if self._masks else 0
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, masked | size)
        elif size < 65_536:
            head = struct.pack("!BBH", 0x80 | opcode, masked | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, masked | 127, size)
        if self._masks:
            mask = os.urandom(4)
            head, data = head + mask, xor(data, mask)
        self._send_raw(head + data)

    def _send_raw(self, data: bytes) -> None:
        while True:
            with self._lock:
                try:
                    self.sock.send(data)
                    return
                except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    pass
            select.select([], [self.sock], [], 1.0)

    def receive_raw(self) -> bytes:
        """What has come, b"" when it is nothing yet. EOFError at the end."""
        with self._lock:
            try:
                data = self.sock.recv(262_144)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return b""
            except OSError as error:
                raise EOFError from error
            while data and self.sock.pending():
                data += self.sock.recv(262_144)
        if not data:
            raise EOFError
        return data

    def frames(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Whole frames in what has come so far, as (opcode, payload)."""
        self._rest += data
        while (frame := self._cut()) is not None:
            yield frame

    def _cut(self) -> tuple[int, bytes] | None:
        rest = self._rest
        if len(rest) < 2:
            return None
        at, size, masked = 2, rest[1] & 0x7F, rest[1] & 0x80
        wide = {126: "!H", 127: "!Q"}.get(size)
        if wide:
            if len(rest) < 2 + struct.calcsize(wide):
                return None
            (size,) = struct.unpack_from(wide, rest, 2)
            at += struct.calcsize(wide)
        end = at + (4 if masked else 0) + size
        if len(rest) < end:
            return None
        self._rest = rest[end:]
        if masked:
            return rest[0] & 0x0F, xor(rest[at + 4 : end], rest[at : at + 4])
        return rest[0] & 0x0F, rest[at:end]


def xor(data: bytes, mask: bytes) -> bytes:
    """`data` under a mask of four bytes."""
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


def dial(port: int, cert: Path) -> Wire:
    """The client's side of a connection to 127.0.0.1."""
    context = ssl.create_default_context(cafile=str(cert))
    sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1")
    key = base64.b64encode(os.urandom(16)).decode()
    ask = (
        f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"User-Agent: floor\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    sock.sendall(ask.encode())
    _head(sock)
    return Wire(sock, masks=True)


def accept(sock: ssl.SSLSocket) -> tuple[Wire, str]:
    """The server's side, and who dials as its User-Agent says."""
    fields = dict(line.partition(": ")[::2] for line in _head(sock).split("\r\n")[1:])
    fields = {name.lower(): value for name, value in fields.items()}
    secret = fields["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    answer = base64.b64encode(sha1(secret.encode()).digest()).decode()
    sock.sendall(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {answer}\r\n\r\n".encode()
    )
    return Wire(sock, masks=False), fields.get("user-agent", "")


def _head(sock: ssl.SSLSocket) -> str:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            raise EOFError
        head += byte
    return head.decode()
