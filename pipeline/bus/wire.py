"""One connection over a Unix socket: never blocks, keeps what the other side does not take yet."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Mapping

from pipeline.bus import zmtp

CHUNK = 32_768
"""Read at a time: a block of sound with all that belongs to it, or fifty of a replay."""


MAX_KEPT_BYTES = 32 * 2**20
"""Kept for one slow reader, whatever `high_water` is: as much as a writer keeps of a stream, which a replay brings in
one go."""


class Lost(Exception):
    """The connection is over."""


class Wire:
    """Bytes out, messages in."""

    def __init__(
        self,
        sock: socket.socket,
        high_water: int,
        properties: Mapping[bytes, bytes],
        largest: int = zmtp.MAX_BYTES,
    ) -> None:
        """`high_water`: messages kept for a slow reader; more are dropped. `largest`: bytes of a frame of theirs; a
        longer one ends the connection. Greets at once; both sides may."""
        sock.setblocking(False)
        self.sock, self._high_water = sock, high_water
        self.fileno = sock.fileno()
        self._parser = zmtp.Parser(largest)
        self._backlog: deque[bytes | memoryview] = deque()
        self._kept_bytes = 0
        self.dropped = 0
        self.send(zmtp.GREETING + zmtp.command(b"READY", properties))

    @property
    def ready(self) -> dict[bytes, bytes] | None:
        """What the other side says of itself; None before it has."""
        return self._parser.ready

    @property
    def waiting(self) -> bool:
        """Something is kept that the other side has not taken: `flush` when it can take more."""
        return bool(self._backlog)

    def send(self, data: bytes) -> bool:
        """Send or keep whole messages. False if that was dropped: the newest is, as with ZeroMQ. Raises Lost."""
        if self._backlog:
            if len(self._backlog) >= self._high_water or self._kept_bytes > MAX_KEPT_BYTES:
                self.dropped += 1
                return False
            self._keep(data)
            return True
        sent = self._send(data)
        if sent < len(data):
            self._keep(memoryview(data)[sent:])
        return True

    def flush(self) -> None:
        """Send what is kept, as much as is taken. Raises Lost."""
        while self._backlog:
            data = self._backlog[0]
            sent = self._send(data)
            self._kept_bytes -= sent
            if sent < len(data):
                self._backlog[0] = memoryview(data)[sent:]  # copied, 50 MB would hold the writer up for seconds
                return
            self._backlog.popleft()

    def read(self) -> tuple[list[list[bytes]], bool]:
        """Messages that have come, and whether more may be there. Raises Lost, also for what is no ZMTP."""
        try:
            data = self.sock.recv(CHUNK)
        except BlockingIOError:
            return [], False
        except OSError as error:
            raise Lost(str(error)) from error
        if not data:
            raise Lost("closed")
        try:
            return self._parser.feed(data), len(data) == CHUNK
        except zmtp.Broken as error:
            raise Lost(str(error)) from error

    def close(self) -> None:
        """What was sent before is still read by the other side."""
        self.sock.close()

    def _keep(self, data: bytes | memoryview) -> None:
        self._backlog.append(data)
        self._kept_bytes += len(data)

    def _send(self, data: bytes | memoryview) -> int:
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise Lost(str(error)) from error
