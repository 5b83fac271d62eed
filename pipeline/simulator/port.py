"""The port that the server listens on, which can be taken off the network for a while."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

from websockets.asyncio.server import Server as Listener

HOST = "127.0.0.1"
BACKLOG = 100
AGAIN_S = 0.1
"""Between attempts to get the port back, should another program hold it."""


class Port:
    """Opened once, closed once; `away` in between as often as you like. `listen` serves on a socket."""

    def __init__(self, listen: Callable[[socket.socket], Awaitable[Listener]]) -> None:
        self._listen = listen
        self._socket: socket.socket | None = None
        self._listeners: list[Listener] = []
        self._returning: asyncio.Task[None] | None = None
        self.number = 0

    async def open(self, number: int) -> None:
        """Listen; 0: on any free port. Raises OSError if the port is taken."""
        try:
            self._socket = socket.create_server((HOST, number), backlog=BACKLOG)
        except OSError as error:
            raise OSError(error.errno, f"cannot listen on {HOST}:{number}: {os.strerror(error.errno or 0)}") from error
        self.number = self._socket.getsockname()[1]
        await self._serve()

    async def _serve(self) -> None:
        assert self._socket is not None
        self._listeners.append(await self._listen(self._socket.dup()))

    def away(self, seconds: float, *, silent: bool) -> None:
        """Nobody gets in for so long: refused, or `silent`: the kernel takes connections that nobody serves."""
        if self._returning is not None:
            self._returning.cancel()
        for listener in self._listeners:
            listener.close(close_connections=False)
        if self._socket is not None and not silent:
            self._socket.close()
            self._socket = None
        self._returning = asyncio.create_task(self._return(seconds))

    async def _return(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        while self._socket is None:
            try:
                self._socket = socket.create_server((HOST, self.number), backlog=BACKLOG)
            except OSError:
                await asyncio.sleep(AGAIN_S)
        await self._serve()

    async def close(self) -> None:
        """Nobody gets in any more, and the handlers of all connections have returned."""
        if self._returning is not None:
            self._returning.cancel()
        for listener in self._listeners:
            listener.close()
        if self._socket is not None:
            self._socket.close()
        for listener in self._listeners:
            await listener.wait_closed()
