"""The Live API server of this machine: TLS and WebSocket around conversations."""

import asyncio
import functools
import logging
import socket
import ssl
import sys
import time
import traceback
from pathlib import Path

from websockets.asyncio.server import Server as Listener
from websockets.asyncio.server import ServerConnection, serve

from pipeline.simulator.bad_certificates import BadCertificates
from pipeline.simulator.connection import Connection
from pipeline.simulator.conversation import Conversation
from pipeline.simulator.door import Door, admit, find_door
from pipeline.simulator.entrance import Entrance
from pipeline.simulator.fault import Act, Close, Freeze, Outage
from pipeline.simulator.journal import Journal
from pipeline.simulator.life import Life
from pipeline.simulator.port import HOST, Port
from pipeline.simulator.refusal import Refused
from pipeline.simulator.script_file import load_script, read_faults
from pipeline.simulator.socket import Socket
from pipeline.simulator.speech import Voice
from pipeline.simulator.tls import server_context

LARGEST_FRAME = 8 << 20
"""Bytes. Half a minute of audio in one message is 1.3 MB; larger frames end the connection with 1009."""


class Server:
    """Serves on 127.0.0.1 between `start` and `stop`; once.

    `certs` is the folder of certificate and key; `notice` lets the first spoken answer of this server's life say first
    that it comes from a simulator. `state` is a file in which sessions and handles outlive this server. `log` and
    `audio` are described in journal.py.
    """

    def __init__(
        self,
        script: Path | None = None,
        log: Path | None = None,
        *,
        certs: Path,
        audio: Path | None = None,
        notice: bool = False,
        state: Path | None = None,
    ) -> None:
        """Raises `ScriptError` for a script that cannot be used, OSError where certificate or log cannot be written."""
        loaded = load_script(script)
        self._life = Life(loaded, notice_due=notice, state=state or loaded.state)
        self._context: ssl.SSLContext
        self._context, self.cert = server_context(certs)
        self._journal = Journal(log, audio)
        self._voice = Voice(self._life.script.language, self._complain)
        self._complaints: set[str] = set()
        self._connections: set[Connection] = set()
        self._port = Port(self._listen)
        note = functools.partial(self._journal.write, 0)
        self._entrance = Entrance(self._life.plan, BadCertificates(certs), note, self._begin_outage, self.fault)
        self._context.sni_callback = self._entrance.hello
        # The library reports each garbled handshake with a traceback; the journal has all that a person needs.
        self._logger = logging.getLogger("pipeline.simulator.websockets")
        self._logger.setLevel(logging.CRITICAL)

    async def start(self, port: int = 0) -> str:
        """Listen (port 0: any free one) and return the base URL. Raises OSError if the port is taken."""
        await self._port.open(port)
        url = f"https://{HOST}:{self._port.number}"
        self._journal.write(0, "started", {"url": url})
        for after_ms, act in self._life.plan.moment("start"):
            asyncio.get_running_loop().call_later(after_ms / 1000, self._strike, act)
        return url

    async def _listen(self, on: socket.socket) -> Listener:
        return await serve(
            self._serve,
            sock=on,
            ssl=self._context,
            process_request=self._entrance.upgrade,
            create_connection=functools.partial(Socket, http=self._entrance.plain),  # type: ignore[arg-type]
            compression=None,
            max_size=LARGEST_FRAME,
            open_timeout=None,  # a script may let a client wait for its upgrade; who never asks costs a socket
            close_timeout=2,
            ping_interval=20,
            ping_timeout=None,  # a frozen connection answers no pings, and is to thaw
            logger=self._logger,
        )

    async def stop(self) -> None:
        """Close every connection with 1001 and stop listening."""
        leaving = [asyncio.create_task(connection.leave()) for connection in self._connections]
        await self._port.close()
        await asyncio.gather(*leaving)
        self._journal.write(0, "stopped", {})
        self._journal.close()

    def fault(self, text: str) -> int:
        """Plan faults, written as in a script (one or a list); `when: now` strikes every open connection at once.

        Returns how many. Raises `ScriptError`.
        """
        faults = read_faults(text, Path("POST /_faults"))
        for fault in faults:
            self._life.plan.add(fault)
        if any(fault.when == "now" for fault in faults):
            loop = asyncio.get_running_loop()
            for after_ms, act in self._life.plan.moment("now"):
                loop.call_later(after_ms / 1000, self._strike, act)
        return len(faults)

    def _strike(self, act: Act) -> None:
        """Without a connection of its own: on all of them."""
        if isinstance(act, Outage):
            self._journal.write(0, "fault", {"act": "Outage", **vars(act)})
            self._begin_outage(act)
            return
        for connection in tuple(self._connections):
            connection.strike(act)

    def _begin_outage(self, outage: Outage) -> None:
        silent = outage.how == "silent"
        for connection in tuple(self._connections):
            connection.strike(Freeze(outage.ms) if silent else Close(1006))
        self._port.away(outage.ms / 1000, silent=silent)

    async def _serve(self, ws: ServerConnection) -> None:
        assert ws.request is not None  # the handshake is over
        assert isinstance(ws, Socket)
        target, headers = ws.request.path, ws.request.headers
        door = find_door(target) or Door("v1beta")
        number = next(self._life.connections)
        opened: dict[str, object] = {"path": target.partition("?")[0], "agent": headers.get("user-agent")}
        turned_away = None
        try:
            opened["key"] = admit(door, target, headers, self._life.script.keys)
        except Refused as refused:
            turned_away = refused
        if name := self._journal.audio_name(number):
            opened["audio"] = name
        self._journal.write(number, "open", opened)
        conversation = Conversation(self._life, door.version, time.monotonic_ns(), turned_away, vertex=door.vertex)
        connection = Connection(ws, number, conversation, self._voice, self._journal, self._begin_outage)
        self._connections.add(connection)
        try:
            await connection.serve()
        except Exception:
            # A bug of ours costs this client its connection (1011 follows), and is seen.
            text = traceback.format_exc()
            self._journal.write(number, "bug", {"text": text})
            self._complain(text)
            raise
        finally:
            self._connections.discard(connection)

    def _complain(self, text: str) -> None:
        """What a person should know once. Comes from rendering threads too."""
        if text not in self._complaints:
            self._complaints.add(text)
            print(f"simulator: {text}", file=sys.stderr, flush=True)
