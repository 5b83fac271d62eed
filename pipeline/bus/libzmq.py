"""The ends of libzmq: for TCP, and where a system has no epoll.

A descriptor of libzmq announces once, and only a reader that empties the socket arms it again; a send can take the edge
as well. Hence `waits`, to be asked after what was sent last and before a wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import zmq

from pipeline.bus import curve, zap

RETRY_MS = 20
LINGER_MS = 200
HEARTBEAT_MS, SILENT_MS = 1_000, 4_000
"""Over a network a line is asked for a sign each second, and dialled anew after four without. TCP alone would wait
for its next try, twice as long each time: 13 s after a cut of 10 s."""
POLLIN = int(zmq.POLLIN)  # an enum's `&` costs more than the question


class _End:
    """What both sides share."""

    due_ns: int | None = None

    def __init__(self, context: Any, kind: int) -> None:
        self.socket: zmq.Socket[bytes] = (context or zmq.Context.instance()).socket(kind)
        self.fileno: int = self.socket.fileno()

    @property
    def waits(self) -> bool:
        """Also arms the descriptor again."""
        return bool(int(self.socket.getsockopt(zmq.EVENTS)) & POLLIN)

    def send(self, parts: Sequence[bytes]) -> None:
        """XPUB drops for a full reader and never raises Again; a DEALER's newest is dropped here."""
        try:
            self.socket.send_multipart(parts, zmq.NOBLOCK)
        except zmq.Again:
            return

    def close(self, linger_s: float = 0.0) -> None:
        """What readers have not fetched is kept for so long."""
        self.socket.close(linger=int(linger_s * 1000))


class Reader(_End):
    """SUB or DEALER."""

    def receive(self) -> list[bytes] | None:
        """The next message."""
        try:
            return self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None


class Publisher(_End):
    """XPUB."""

    def __init__(self, context: Any, high_water: int) -> None:
        context = context or zmq.Context.instance()
        super().__init__(context, zmq.XPUB)
        self._context = context
        self.socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # without it later joiners of a known topic are not announced
        self.socket.setsockopt(zmq.SNDHWM, high_water)
        self.socket.setsockopt(zmq.LINGER, LINGER_MS)

    def bind(self, path: str) -> None:
        """`path`: the whole endpoint here. Raises curve.Unfit where that would stand open."""
        guard_server(self._context, self.socket, path, "bus")
        self.socket.bind(path)

    def take(self) -> bytes | None:
        """The next subscription."""
        return self.socket.recv(zmq.NOBLOCK) if self.waits else None


def subscriber(context: Any, endpoint: str, topics: Sequence[str], high_water: int) -> Reader:
    """A SUB, connected."""
    end = Reader(context, zmq.SUB)
    end.socket.setsockopt(zmq.RCVHWM, high_water)
    end.socket.setsockopt(zmq.LINGER, 0)
    for topic in topics:
        end.socket.subscribe(topic)
    return _connect(end, endpoint)


def dealer(context: Any, endpoint: str, identity: str, high_water: int) -> Reader:
    """A DEALER, connected."""
    end = Reader(context, zmq.DEALER)
    end.socket.setsockopt(zmq.IDENTITY, identity.encode())
    end.socket.setsockopt(zmq.SNDHWM, high_water)
    end.socket.setsockopt(zmq.LINGER, LINGER_MS)
    return _connect(end, endpoint)


def _connect(end: Reader, endpoint: str) -> Reader:
    end.socket.setsockopt(zmq.RECONNECT_IVL, RETRY_MS)  # a restarted producer is joined within 7 to 27 ms
    end.socket.setsockopt(zmq.RECONNECT_IVL_MAX, RETRY_MS)
    guard_client(end.socket, endpoint)
    end.socket.connect(endpoint)
    return end


def guard_server(context: Any, socket: zmq.Socket[bytes], endpoint: str, domain: str) -> None:
    """Before `bind`: let in who is on the list of `domain`, if this machine has keys. Raises curve.Unfit."""
    own = curve.server_at(endpoint)
    if own is None:
        return
    _notice_silence(socket)
    zap.keeper(context).allow(domain, own.allow.get(domain, {}))
    socket.setsockopt(zmq.ZAP_DOMAIN, domain.encode())
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, own.pair.public.encode())
    socket.setsockopt(zmq.CURVE_SECRETKEY, own.pair.secret.encode())


def guard_client(socket: zmq.Socket[bytes], endpoint: str) -> None:
    """Before `connect`: speak to nobody but who holds the key of that endpoint. Raises curve.Unfit."""
    keys = curve.client_of(endpoint)
    if keys is None:
        return
    pair, server = keys
    _notice_silence(socket)
    socket.setsockopt(zmq.CONNECT_TIMEOUT, HEARTBEAT_MS)
    socket.setsockopt(zmq.CURVE_SERVERKEY, server.encode())
    socket.setsockopt(zmq.CURVE_PUBLICKEY, pair.public.encode())
    socket.setsockopt(zmq.CURVE_SECRETKEY, pair.secret.encode())


def new_pair() -> curve.Pair:
    """Keys for a machine that has none."""
    public, secret = zmq.curve_keypair()
    return curve.Pair(public.decode(), secret.decode())


def _notice_silence(socket: zmq.Socket[bytes]) -> None:
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, SILENT_MS)
    socket.setsockopt(zmq.HANDSHAKE_IVL, SILENT_MS)
