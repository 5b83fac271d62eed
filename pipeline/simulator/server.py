"""The Live API server of this machine: TLS and WebSocket around conversations."""

import logging
import os
import ssl
import sys
import time
import traceback
from http import HTTPStatus
from pathlib import Path

from websockets.asyncio.server import Server as Listener
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from pipeline.simulator.connection import Connection
from pipeline.simulator.conversation import Conversation
from pipeline.simulator.door import Door, admit, find_door
from pipeline.simulator.journal import Journal
from pipeline.simulator.life import Life
from pipeline.simulator.refusal import Refused
from pipeline.simulator.script_file import load_script
from pipeline.simulator.speech import Voice
from pipeline.simulator.tls import server_context

HOST = "127.0.0.1"
LARGEST_FRAME = 8 << 20
"""Bytes. Half a minute of audio in one message is 1.3 MB; larger frames end the connection with 1009."""


class Server:
    """Serves on 127.0.0.1 between `start` and `stop`; once.

    `certs` is the folder of certificate and key; `notice` lets the first spoken answer of this server's life say first
    that it comes from a simulator. `log` and `audio` are described in journal.py.
    """

    def __init__(
        self,
        script: Path | None = None,
        log: Path | None = None,
        *,
        certs: Path,
        audio: Path | None = None,
        notice: bool = False,
    ) -> None:
        """Raises `ScriptError` for a script that cannot be used, OSError where certificate or log cannot be written."""
        self._life = Life(load_script(script), notice_due=notice)
        self._context: ssl.SSLContext
        self._context, self.cert = server_context(certs)
        self._journal = Journal(log, audio)
        self._voice = Voice(self._life.script.language, self._complain)
        self._complaints: set[str] = set()
        self._listener: Listener | None = None
        # The library reports each garbled handshake with a traceback; the journal has all that a person needs.
        self._logger = logging.getLogger("pipeline.simulator.websockets")
        self._logger.setLevel(logging.CRITICAL)

    async def start(self, port: int = 0) -> str:
        """Listen (port 0: any free one) and return the base URL. Raises OSError if the port is taken."""
        try:
            self._listener = await self._listen(port)
        except OSError as error:
            raise OSError(error.errno, f"cannot listen on {HOST}:{port}: {os.strerror(error.errno or 0)}") from error
        url = f"https://{HOST}:{self._listener.sockets[0].getsockname()[1]}"
        self._journal.write(0, "started", {"url": url})
        return url

    async def _listen(self, port: int) -> Listener:
        return await serve(
            self._serve,
            HOST,
            port,
            ssl=self._context,
            process_request=self._find_door,
            compression=None,
            max_size=LARGEST_FRAME,
            open_timeout=10,
            close_timeout=2,
            ping_interval=20,
            ping_timeout=20,
            logger=self._logger,
        )

    async def stop(self) -> None:
        """Close every connection with 1001 and stop listening."""
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
            self._listener = None
        self._journal.write(0, "stopped", {})
        self._journal.close()

    def _find_door(self, ws: ServerConnection, request: Request) -> Response | None:
        if find_door(request.path) is not None:
            return None
        words = (
            "This is the Live API simulator. It serves …GenerativeService.BidiGenerateContent of v1, v1beta, v1alpha.\n"
        )
        return ws.respond(HTTPStatus.NOT_FOUND, words)

    async def _serve(self, ws: ServerConnection) -> None:
        assert ws.request is not None  # the handshake is over
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
        conversation = Conversation(self._life, door.version, time.monotonic_ns(), turned_away)
        try:
            await Connection(ws, number, conversation, self._voice, self._journal).serve()
        except Exception:
            # A bug of ours costs this client its connection (1011 follows), and is seen.
            text = traceback.format_exc()
            self._journal.write(number, "bug", {"text": text})
            self._complain(text)
            raise

    def _complain(self, text: str) -> None:
        """What a person should know once. Comes from rendering threads too."""
        if text not in self._complaints:
            self._complaints.add(text)
            print(f"simulator: {text}", file=sys.stderr, flush=True)
