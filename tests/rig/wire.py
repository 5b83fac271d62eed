"""What lies between a client and a server: a TCP wire that can be cut, dropped, choked or torn at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Self

CHUNK = 16_384


class Wire:
    """Use as an async context manager; `port` is its near end. What is set holds for old and new connections."""

    def __init__(self, far_port: int) -> None:
        self._far_port = far_port
        self.up = asyncio.Event()
        self.down = asyncio.Event()
        self.up.set()
        self.down.set()
        """Cleared: nothing passes that way, and nobody is told (packets are dropped, no FIN)."""
        self.slow_s = 0.0
        """Towards the client one byte at a time, with so long between two."""
        self.tears_after: int | None = None
        """Bytes from the client after which a connection is reset."""
        self.refuses = False
        self.connections = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *whatever: object) -> None:
        self._server.close()
        self.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop(self) -> None:
        """From now on no packet arrives, either way."""
        self.up.clear()
        self.down.clear()

    def mend(self) -> None:
        """Everything passes again; what was held goes on, as TCP would send it again."""
        self.up.set()
        self.down.set()
        self.slow_s, self.tears_after, self.refuses = 0.0, None, False

    def reset(self) -> None:
        """RST to every connection."""
        for writer in list(self._open):
            _abort(writer)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.refuses:
            _abort(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._far_port)
        except OSError:
            _abort(writer)
            return
        self._open |= {writer, far_writer}
        ways = [self._carry(reader, far_writer, upward=True), self._carry(far_reader, writer, upward=False)]
        tasks = [asyncio.create_task(way) for way in ways]
        self._tasks |= set(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, far_writer):
            _abort(end)
            self._open.discard(end)
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks -= set(tasks)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, upward: bool) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await (self.up if upward else self.down).wait()
                carried += len(data)
                if upward and self.tears_after is not None and carried > self.tears_after:
                    return
                if not upward and self.slow_s:
                    for at in range(len(data)):
                        writer.write(data[at : at + 1])
                        await asyncio.sleep(self.slow_s)
                        if not self.slow_s:
                            writer.write(data[at + 1 :])
                            break
                else:
                    writer.write(data)
                await writer.drain()


def _abort(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
