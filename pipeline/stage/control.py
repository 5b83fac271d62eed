"""The stage's line to the supervisor: a DEALER that never blocks and is read before anything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgpack
import zmq

from pipeline.bus import codec
from pipeline.bus.messages import VERSION

POLLIN = int(zmq.POLLIN)  # an enum's `&` costs more than the question


class Control:
    """Says hello, primed, live, beat, state, bye; hears go, stop, now."""

    def __init__(self, context: zmq.Context[Any], endpoint: str, identity: str) -> None:
        self.socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.IDENTITY, identity.encode())
        self.socket.setsockopt(zmq.SNDHWM, 1_000)
        self.socket.setsockopt(zmq.LINGER, 200)
        self.socket.setsockopt(zmq.RECONNECT_IVL, 20)
        self.socket.connect(endpoint)
        self.fileno = self.socket.fileno()
        self.malformed = 0

    def say(self, kind: str, **fields: Any) -> None:
        """Send one word. Dropped when the supervisor has not read the last thousand: it judges by silence then."""
        try:
            self.socket.send(msgpack.packb({"v": VERSION, "kind": kind, **fields}), zmq.NOBLOCK)
        except zmq.Again:
            return

    @property
    def waits(self) -> bool:
        """Something has come. Also arms the socket's descriptor again, whose edge a send may have taken."""
        return bool(int(self.socket.getsockopt(zmq.EVENTS)) & POLLIN)

    def heard(self) -> Iterator[Mapping[str, Any]]:
        """What has come from the supervisor."""
        while True:
            try:
                data = self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                yield codec.unpack_map(data)
            except codec.Malformed:
                self.malformed += 1
