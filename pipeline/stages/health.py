"""The machine's health over HTTP: `/healthz` for monitors, `/metrics` for Prometheus, a heartbeat that tells of death.

It reads the bus like any tap; the verdict is the supervisor's. Listens on the loopback, or elsewhere with a token.
"""

from __future__ import annotations

import hmac
import json
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Annotated, Any, ClassVar

from pipeline import Event, Stage, __version__
from pipeline.config.options import OptionError, Range
from pipeline.metrics.prometheus import Metrics

TRY_AGAIN_S = 10.0
"""How often a port that somebody else has is asked for again."""
CLIENT_S = 5.0
"""A client that neither asks nor reads for so long is left."""
CLIENTS = 16
"""Served at once; more are turned away."""
PUSH_S = 10.0
"""Longest time that a heartbeat takes."""
GREEN = ("ok", "simulator", "waiting_for_trigger", "muted", "starting")
"""Verdicts with which nobody has to be woken; all others are HTTP 503."""
AGES = ("for_s", "heard_s", "answered_s")
"""Told with a verdict, and growing since."""
ASKS = {"/trigger": "trigger", "/visitor_arrived": "visitor_arrived", "/visitor_left": "visitor_left"}
"""POST to these tells the event: push-to-talk, a door's sensor."""
ASKED = 10
"""Of them that wait to be told; more are refused."""


class Health(Stage):
    """Serves what is known. Its death or a taken port touches nothing else."""

    reads: ClassVar[tuple[str, ...]] = ()
    emits: ClassVar[tuple[str, ...]] = ()

    listen: str = "127.0.0.1:8600"
    """Address and port. `none`: no server."""
    token: str = ""
    """Asked for as `Authorization: Bearer TOKEN`; needed where `listen` is not the loopback. Best `${HEALTH_TOKEN}`."""
    push: str = ""
    """URL that gets the verdict by POST; who hears nothing for some minutes knows that the machine is dead."""
    push_every_s: Annotated[float, Range(1)] = 60.0

    def prime(self) -> None:
        """Raises OptionError for an address that can't be, or one that strangers reach without a token."""
        if self.listen != "none":
            self._address = _address(self.listen)
            if not ip_address(self._address[0]).is_loopback and not self.token:
                raise OptionError(
                    "token: missing: who can reach this address could read it; set one, or listen on 127.0.0.1"
                )
        if self.push and not self.push.startswith(("http://", "https://")):
            raise OptionError(f"push: expected http:// or https://, got {self.push!r}")
        self.metrics = Metrics(__version__)

    def start(self) -> None:
        """The server comes up as soon as its port is free."""
        self.verdict: dict[str, Any] = {"code": "starting", "words": "starting", "remedy": ""}
        self._since_ns = {"for_s": self.now_ns()}
        self._server: _Server | None = None
        self._pushing: threading.Thread | None = None
        self._asked: list[str] = []
        if self.listen != "none":
            self._serve()
        if self.push:
            self._push()

    def step(self) -> float | None:
        """Tell what was asked for over HTTP: the bus belongs to this thread."""
        while self._asked:
            self.tell(self._asked.pop(0), by="http")
        return 0.1 if self._server is not None else None

    def on_event(self, event: Event) -> None:
        """Everything that happens counts."""
        if event.name == "verdict" and event.src == "supervisor":
            self.verdict = dict(event.body)
            ages = {key: age for key in AGES if isinstance(age := event.body.get(key), int | float)}
            self._since_ns |= {key: event.sent - int(age * 1e9) for key, age in ages.items()}
        elif event.name == "speech_ended":
            self._since_ns["heard_s"] = event.sent
        elif event.name == "turn_ended" and event.body.get("outcome") == "answered":
            self._since_ns["answered_s"] = event.sent
        self.metrics.event(event.src, event.name, event.body)

    def stop(self) -> None:
        """Close the door."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def ask(self, path: str) -> tuple[int, str]:
        """A POST from HTTP; its status, and a line for a person. Called by the server's threads."""
        name = ASKS.get(path)
        if name is None:
            return 404, f"expected one of {', '.join(ASKS)}\n"
        if len(self._asked) >= ASKED:
            return 503, "busy: ask again\n"
        self._asked.append(name)
        return 202, ""

    def verdict_now(self) -> dict[str, Any]:
        """The verdict with its ages as they are now: it is told when it changes."""
        now_ns = self.now_ns()
        return {**self.verdict, **{key: round((now_ns - at_ns) / 1e9, 1) for key, at_ns in self._since_ns.items()}}

    def healthz(self) -> tuple[int, str]:
        """HTTP status, and the line for a person."""
        verdict = self.verdict_now()
        remedy = f"; {verdict['remedy']}" if verdict.get("remedy") else ""
        line = f"{verdict['words']}, for {verdict.get('for_s', 0.0):.0f} s{remedy}"
        return (200 if verdict["code"] in GREEN else 503), line

    def _serve(self) -> None:
        try:
            self._server = _Server(self._address, self)
        except OSError as error:
            self.state(
                "degraded", f"{self.listen}: {error.strerror}: end who has it, or choose another `health.listen`"
            )
            self.after(TRY_AGAIN_S, self._serve)
            return
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.5}, daemon=True).start()
        self.state("live")
        self.log.info("health is served", listen=self.listen)

    def _push(self) -> None:
        self.after(self.push_every_s, self._push)
        if self._pushing is not None and self._pushing.is_alive():
            return  # the one before still waits
        status, line = self.healthz()
        body = json.dumps({**self.verdict_now(), "line": line, "healthy": status == 200}).encode()
        self._pushing = threading.Thread(target=self._post, args=(body,), daemon=True)
        self._pushing.start()

    def _post(self, body: bytes) -> None:
        request = urllib.request.Request(self.push, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=PUSH_S) as answer:
                answer.read(1000)
        except (OSError, ValueError) as error:  # the network is away: that is what the other side will conclude
            self.log.debug("heartbeat not taken", error=str(error))


class _Server(ThreadingHTTPServer):
    """A thread a client, CLIENTS at most."""

    daemon_threads = True
    request_queue_size = 16

    def __init__(self, address: tuple[str, int], stage: Health) -> None:
        self.stage = stage
        self._free = threading.BoundedSemaphore(CLIENTS)
        super().__init__(address, _Answer)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in mid-answer is nobody's fault."""


class _Answer(BaseHTTPRequestHandler):
    timeout = CLIENT_S
    server_version, sys_version = "voice-pipeline", ""

    def do_GET(self) -> None:
        if not self._allowed():
            return
        stage: Health = self.server.stage  # type: ignore[attr-defined]
        if self.path == "/healthz":
            status, line = stage.healthz()
            self._send(status, f"{line}\n", "text/plain; charset=utf-8")
        elif self.path == "/healthz.json":
            status, line = stage.healthz()
            self._send(status, json.dumps({**stage.verdict_now(), "line": line}), "application/json")
        elif self.path == "/metrics":
            self._send(200, stage.metrics.text(), stage.metrics.content_type)
        else:
            self._send(404, "expected /healthz, /healthz.json or /metrics\n", "text/plain")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        if not self._allowed():
            return
        stage: Health = self.server.stage  # type: ignore[attr-defined]
        status, line = stage.ask(self.path)
        self._send(status, line, "text/plain")

    def _allowed(self) -> bool:
        token = self.server.stage.token  # type: ignore[attr-defined]
        given = self.headers.get("Authorization", "")
        known = not token or hmac.compare_digest(given.encode(), f"Bearer {token}".encode())
        # A page in a browser of this machine may POST to the loopback; it can't do so without an Origin.
        if known and not (self.command == "POST" and self.headers.get("Origin")):
            return True
        self._send(401, "expected Authorization: Bearer TOKEN, and no Origin\n", "text/plain")
        return False

    def _send(self, status: int, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """A monitor asks each ten seconds: nothing to write down."""


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    host = "127.0.0.1" if host == "localhost" else host
    try:
        ip_address(host)
        number = int(port)
    except ValueError as error:
        raise OptionError(f'listen: expected ADDRESS:PORT such as "127.0.0.1:8600", or none, got {text!r}') from error
    if not 1 <= number <= 65535:
        raise OptionError(f"listen: expected a port from 1 to 65535, got {number}")
    return host, number
