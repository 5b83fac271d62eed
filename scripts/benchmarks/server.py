"""A service that only measures: says when bytes came and when they left, for whoever speaks the Live API's words."""

from __future__ import annotations

import base64
import json
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from pipeline.simulator.tls import server_context
from scripts.benchmarks import websocket as ws
from scripts.benchmarks.stamp import VOICE_BYTES, stamp_of

_DATA = re.compile(rb'"data": ?"([^"]*)"')
_STANDARD = bytes.maketrans(b"-_", b"+/")
AUDIO = (
    b'{"serverContent":{"modelTurn":{"role":"model","parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000",'
    b'"data":"%s"}}]}}}'
)


def audio_message(pcm: bytes) -> bytes:
    """Sound of an answer as the service words it."""
    return AUDIO % base64.b64encode(pcm)


class Connection:
    """One client. `came`: (made ns or None, came ns) of each block of its voice."""

    def __init__(self, wire: ws.Wire, agent: str) -> None:
        self.agent, self._wire = agent, wire
        self.came: list[tuple[int | None, int]] = []
        self.ready = threading.Event()
        """Its setup was answered."""
        self.results = 0
        """Answers to function calls."""
        self.closed = False

    @property
    def is_floor(self) -> bool:
        """The hand-made client."""
        return self.agent == "floor"

    def send(self, message: dict[str, Any] | bytes) -> int:
        """One message; returns the ns just before it left."""
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        now_ns = time.monotonic_ns()
        self._wire.send(data, ws.BINARY)
        return now_ns

    def serve(self) -> None:
        """Read until the client has gone."""
        try:
            while not self.closed:
                select.select([self._wire.sock], [], [])
                data = self._wire.receive_raw()
                came_ns = time.monotonic_ns()
                for opcode, payload in self._wire.frames(data) if data else ():
                    self._take(opcode, payload, came_ns)
        except (EOFError, OSError, ValueError):
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Hang up."""
        self.closed = True
        self._wire.sock.close()

    def _take(self, opcode: int, payload: bytes, came_ns: int) -> None:
        if opcode == ws.PING:
            self._wire.send(payload, ws.PONG)
        elif opcode == ws.CLOSE:
            raise EOFError
        elif found := _DATA.search(payload):
            text = found.group(1).translate(_STANDARD)
            pcm = base64.b64decode(text + b"=" * (-len(text) % 4))
            for at in range(0, len(pcm), VOICE_BYTES):  # a backlog comes in pieces of two blocks
                self.came.append((stamp_of(pcm, at), came_ns))
        elif b'"functionResponses"' in payload:
            self.results += 1
        elif b'"setup"' in payload:
            self.send(b'{"setupComplete":{}}')
            self.ready.set()


class Server:
    """Listens on 127.0.0.1 while inside `with`."""

    def __init__(self, home: Path) -> None:
        self._context, self.cert = server_context(home / "certs")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections: list[Connection] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for connection in self.connections:
            connection.close()

    @property
    def environ(self) -> dict[str, str]:
        """What leads the SDK here."""
        url = f"https://127.0.0.1:{self.port}"
        return {"GOOGLE_GEMINI_BASE_URL": url, "SSL_CERT_FILE": str(self.cert.resolve()), "GOOGLE_API_KEY": "no-value"}

    def newest(self, *, floor: bool = False) -> Connection | None:
        """The newest connection of that kind whose setup was answered."""
        for connection in reversed(self.connections):
            if connection.is_floor == floor and connection.ready.is_set() and not connection.closed:
                return connection
        return None

    def wait(
        self, *, floor: bool = False, within_s: float = 40.0, check: Callable[[], None] = lambda: None
    ) -> Connection:
        """Wait for such a connection; `check` may raise what ended the waiting."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            if (found := self.newest(floor=floor)) is not None:
                return found
            check()
            time.sleep(0.01)
        raise RuntimeError("nobody dialled: see the log of the pipeline in the folder that was named")

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            wire, agent = ws.accept(self._context.wrap_socket(plain, server_side=True))
        except (OSError, EOFError, KeyError, ssl.SSLError):
            plain.close()
            return
        connection = Connection(wire, agent)
        self.connections.append(connection)
        connection.serve()
