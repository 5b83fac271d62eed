"""`python -m pipeline.tools.mcp_client SOCKET PARENT`: the process that speaks with MCP servers for the stage.

The only place that knows the official client library, which takes half a second and 50 MB: one process for all servers.
A server that ends is started again; one that has let a deadline pass and does not answer a ping is ended first. None of
them can hold up another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import sys
from collections.abc import Mapping
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from mcp import ClientSession, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.shared.exceptions import MCPError

from pipeline.tools import wire
from pipeline.tools.confined import confine
from pipeline.tools.results import Unsayable, bounded

START_S = 20.0
"""For a server to start and say what it offers."""
PING_S = 2.0
BACK_S = 2.0
"""A call waits so long for a server that has just ended."""
AGAIN_S = (0.2, 30.0)
"""Before a server is started again: doubling from the first to the second; what it lived counts."""
STEADY_S = 30.0
MARK = "PIPELINE_SUPERVISOR"
"""By which a supervisor finds what was left behind."""


def main() -> None:
    """Serve the stage until it ends us."""
    line = socket.socket(fileno=int(sys.argv[1]))
    confine(int(sys.argv[2]))
    # Nothing of ours may be written to stderr: a server that floods it has filled the pipe, and we would stand still.
    logging.disable()
    asyncio.run(_serve(line))


async def _serve(line: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=line)
    unpacker = wire.Unpacker()
    client: Client | None = None
    while data := await reader.read(wire.CHUNK):
        for message in unpacker.feed(data):
            if client is None:
                client = Client(writer, message)
            elif "call" in message:
                client.call(message)
            else:
                client.drop(message["drop"], late=bool(message.get("late")))
    os._exit(0)  # the servers read the end of their stdin, and have the death signal


class Client:
    """All servers, and the calls under way."""

    def __init__(self, writer: asyncio.StreamWriter, first: Mapping[str, Any]) -> None:
        self._writer, self._most_bytes = writer, int(first["most_bytes"])
        self._servers = {name: Server(self, name, table, first["folder"]) for name, table in first["servers"].items()}
        self._calls: dict[str, tuple[asyncio.Task[None], Server]] = {}
        self._holding = [asyncio.create_task(server.hold()) for server in self._servers.values()]

    def say(self, **message: Any) -> None:
        """Tell the stage."""
        self._writer.write(wire.pack(message))

    def call(self, message: Mapping[str, Any]) -> None:
        """Have a function called, beside all others."""
        server, call_id = self._servers[message["server"]], message["call"]
        task = asyncio.create_task(self._answer(server, call_id, message["name"], message["args"]))
        self._calls[call_id] = task, server
        task.add_done_callback(lambda _: self._calls.pop(call_id, None))

    def drop(self, call_id: str, *, late: bool) -> None:
        """Nobody waits for this one."""
        if call_id in self._calls:
            task, server = self._calls[call_id]
            task.cancel()
            if late:
                server.suspect()
        self.say(dropped=call_id)

    async def _answer(self, server: Server, call_id: str, name: str, args: dict[str, Any]) -> None:
        try:
            answer = {"result": bounded(await server.call(name, args), self._most_bytes)}
        except Unsayable as error:
            answer = {"error": f"{name}: {error}"}
        except Exception as error:  # of the server, the library or its transport: the model must not wait
            answer = {"error": f"{name} failed: {str(error)[:500] or type(error).__name__}"}
        self.say(answer=call_id, **answer)


class Failed(Exception):
    """A call that the server answered with an error, or could not answer."""


class Server:
    """One server: started, asked what it offers, called, started again."""

    def __init__(self, client: Client, name: str, table: Mapping[str, Any], folder: str) -> None:
        self._client, self._name = client, name
        program, *arguments = table["command"]
        if setpriv := shutil.which("setpriv"):
            program, arguments = setpriv, ["--pdeathsig", "KILL", "--", program, *arguments]
        environ = {**table["env"], **({MARK: os.environ[MARK]} if MARK in os.environ else {})}
        self._how = StdioServerParameters(command=program, args=arguments, env=environ, cwd=folder)
        self._session: ClientSession | None = None
        self._up, self._over = asyncio.Event(), asyncio.Event()
        self._suspecting: asyncio.Task[None] | None = None
        self._offering: asyncio.Task[None] | None = None

    async def hold(self) -> None:
        """Keep it running, for ever."""
        loop, wait_s = asyncio.get_running_loop(), AGAIN_S[0]
        while True:
            began = loop.time()
            self._over = asyncio.Event()
            try:
                await self._live()
                why = "it ended"
            except Exception as error:
                why = _words(error)
            self._end()
            self._client.say(offers=self._name, wrong=why)
            wait_s = AGAIN_S[0] if loop.time() - began > STEADY_S else min(2 * wait_s, AGAIN_S[1])
            await asyncio.sleep(wait_s)

    async def call(self, name: str, args: dict[str, Any]) -> Any:
        """What a function returns. Raises Failed, and what the library raises."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BACK_S):
                await self._up.wait()
        if self._session is None:
            raise Failed(f"the server {self._name} is not running at present")
        result = await self._session.call_tool(name, args)
        texts = [block.text for block in result.content if isinstance(block, types.TextContent)]
        if result.is_error:
            raise Failed(" ".join(texts) or "the server says so")
        if result.structured_content is not None:
            return result.structured_content
        return "\n".join(texts)

    def suspect(self) -> None:
        """A call was not answered in time: if it does not answer a ping either, it is ended."""
        if self._suspecting is None or self._suspecting.done():
            self._suspecting = asyncio.create_task(self._ping())

    async def _ping(self) -> None:
        session, over = self._session, self._over
        if session is None:
            return
        try:
            async with asyncio.timeout(PING_S):
                await session.send_ping()
        except (TimeoutError, MCPError):
            over.set()

    async def _live(self) -> None:
        async with stdio_client(self._how) as (read, write), anyio.create_task_group() as tasks:
            passing, passed = anyio.create_memory_object_stream[Any](0)
            tasks.start_soon(self._pass_on, read, passing)
            async with ClientSession(passed, write, message_handler=self._heard) as session:
                with anyio.fail_after(START_S):
                    await session.initialize()
                    await self._offer(session)
                self._session = session
                self._up.set()
                await self._over.wait()
                self._end()
            tasks.cancel_scope.cancel()

    def _end(self) -> None:
        self._session = None
        self._up.clear()

    async def _pass_on(self, read: Any, passing: MemoryObjectSendStream[Any]) -> None:
        """What the server says to the session; its end is seen by nobody else."""
        with contextlib.suppress(anyio.BrokenResourceError):
            async with passing:
                async for item in read:
                    await passing.send(item)
        self._over.set()

    async def _heard(self, message: Any) -> None:
        if isinstance(message, types.ToolListChangedNotification) and self._session is not None:
            self._offering = asyncio.create_task(self._offer(self._session))

    async def _offer(self, session: ClientSession) -> None:
        tools: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = await session.list_tools(params=types.PaginatedRequestParams(cursor=cursor) if cursor else None)
            tools += [
                {"name": tool.name, "description": tool.description or tool.name, "parameters": tool.input_schema}
                for tool in page.tools
            ]
            cursor = page.next_cursor
            if not cursor:
                break
        self._client.say(offers=self._name, tools=tools)


def _words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, TimeoutError):
        return f"it did not say what it offers within {START_S:g} s"
    return f"{type(error).__name__}: {error}".strip().removesuffix(":")


if __name__ == "__main__":
    main()
