"""A collector's receiver: OTLP over HTTP, as protobuf; or one that accepts and never answers."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class Got:
    """A span as it arrived."""

    trace: bytes
    id: bytes
    parent: bytes
    name: str
    start_ns: int
    """Wall clock."""
    end_ns: int
    kind: int
    failed: str | None
    attributes: dict[str, Any]
    events: list[tuple[int, str, dict[str, Any]]]
    resource: dict[str, Any]

    @property
    def ms(self) -> float:
        """How long it took."""
        return (self.end_ns - self.start_ns) / 1e6


class Receiver:
    """Listens on a free port of the loopback while it is entered."""

    def __init__(self) -> None:
        self.spans: list[Got] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        receiver = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/traces", self.path
                assert self.headers["Content-Type"] == "application/x-protobuf"
                receiver.headers.append({key.lower(): value for key, value in self.headers.items()})
                receiver.bodies.append(body)
                receiver.spans += spans(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def traces(self) -> list[tuple[Got, list[Got]]]:
        """(root, everything below it, oldest first) of each trace whose root has come."""
        roots = [span for span in self.spans if not span.parent]
        return [
            (root, sorted((s for s in self.spans if s.trace == root.trace and s.parent), key=lambda s: s.start_ns))
            for root in sorted(roots, key=lambda span: span.start_ns)
        ]


class Hanging:
    """Accepts whoever comes, reads nothing, never answers."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.accepted: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        for one in (self._socket, *self.accepted):
            one.close()

    def _run(self) -> None:
        try:
            while True:
                self.accepted.append(self._socket.accept()[0])
        except OSError:  # closed
            return


def spans(request: ExportTraceServiceRequest) -> list[Got]:
    """All spans of a request."""
    return [
        Got(
            trace=span.trace_id,
            id=span.span_id,
            parent=span.parent_span_id,
            name=span.name,
            start_ns=span.start_time_unix_nano,
            end_ns=span.end_time_unix_nano,
            kind=span.kind,
            failed=span.status.message if span.status.code == span.status.STATUS_CODE_ERROR else None,
            attributes=_values(span.attributes),
            events=[(event.time_unix_nano, event.name, _values(event.attributes)) for event in span.events],
            resource=_values(whole.resource.attributes),
        )
        for whole in request.resource_spans
        for scope in whole.scope_spans
        for span in scope.spans
    ]


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
