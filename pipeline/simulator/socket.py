"""The WebSocket of one client, which can behave as bad networks and bad servers do; and plain HTTP on the same port."""

import asyncio
import contextlib
import re
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection

LARGEST_REQUEST = 1 << 20
"""Bytes of a plain HTTP request that are read at most."""

_PONG = 0x8A
_HEAD = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.[01]\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)\s*\r\n", re.IGNORECASE)
_UPGRADE = re.compile(rb"\r\nupgrade:\s*websocket\s*\r\n", re.IGNORECASE)
_TORN = (
    b'{"serverContent":{"modelTurn":{"role":"model","parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"'
)


class Socket(ServerConnection):
    """One client. `http(method, path, body)` answers what is no WebSocket: the whole response."""

    def __init__(self, *args: Any, http: Callable[[str, str, bytes], bytes], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._http = http
        self._head: bytes | None = b""
        self._frozen: asyncio.TimerHandle | None = None
        self._unread: list[bytes] = []
        self._unsent: list[bytes] = []
        self._pong_late_s: float | None = 0.0

    def data_received(self, data: bytes) -> None:
        """Bytes of the client, decrypted."""
        if self._frozen is not None:
            self._unread.append(data)
            return
        if self._head is None:
            super().data_received(data)
            return
        self._head += data
        first = self._head[:1]
        if b"\r\n\r\n" not in self._head and first.isalpha() and len(self._head) < LARGEST_REQUEST:
            return
        asked = _HEAD.match(self._head)
        if asked is None or (asked.group(1) == b"GET" and _UPGRADE.search(self._head)):
            head, self._head = self._head, None
            super().data_received(head)
            return
        self._plain(asked.group(1).decode(), asked.group(2).decode("ascii", "replace"))

    def _plain(self, method: str, path: str) -> None:
        """A request that wants no WebSocket, once all of it is there."""
        assert self._head is not None
        head, _, body = self._head.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        wanted = min(int(length.group(1)), LARGEST_REQUEST) if length else 0
        if len(body) >= wanted:
            self.transport.write(self._http(method, path, body[:wanted]))
            self.transport.close()

    def send_data(self) -> None:
        """Bytes for the client, frame by frame."""
        if self._frozen is None and self._pong_late_s == 0:
            super().send_data()
            return
        for data in self.protocol.data_to_send():
            if self._frozen is not None:
                self._unsent.append(data)
            elif not data:
                self.transport.close()
            elif data[0] != _PONG:
                self.transport.write(data)
            elif self._pong_late_s:
                self.loop.call_later(self._pong_late_s, self.transport.write, data)

    def late_pongs(self, late_s: float | None) -> None:
        """Answer pings `late_s` late from now on; None: never."""
        self._pong_late_s = late_s

    def freeze(self, seconds: float) -> None:
        """Read and write nothing for so long; what is asked for meanwhile happens then."""
        if self._frozen is not None:
            self._frozen.cancel()
        self._frozen = self.loop.call_later(seconds, self._thaw)

    def _thaw(self) -> None:
        self._frozen = None
        unsent, self._unsent = self._unsent, []
        for data in unsent:
            if data:
                self.transport.write(data)
            else:
                self.transport.close()
        unread, self._unread = self._unread, []
        with contextlib.suppress(EOFError):  # the client has gone meanwhile, and nothing may be read behind its end
            for data in unread:
                self.data_received(data)

    async def cut(self, *, torn: bool = False) -> None:
        """End the connection without a word; `torn`: after the first part of a message."""
        if torn:
            # The head of a binary frame of 8,192 bytes, and of these the first hundred.
            self.transport.write(b"\x82\x7e\x20\x00" + _TORN)
            async with asyncio.timeout(1):
                while self.transport.get_write_buffer_size():
                    await asyncio.sleep(0.005)
        self.transport.abort()
