"""The doorkeeper of CURVE servers: libzmq asks it about every key that knocks (ZAP, RFC 27)."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import zmq
from zmq.utils import z85

ENDPOINT = "inproc://zeromq.zap.01"
VERSION = b"1.0"

_keepers: weakref.WeakKeyDictionary[zmq.Context[Any], Keeper] = weakref.WeakKeyDictionary()


class Keeper:
    """Who may enter, by domain; public keys in their 32 bytes."""

    def __init__(self) -> None:
        self._allowed: dict[bytes, dict[bytes, bytes]] = {}

    def allow(self, domain: str, keys: Mapping[str, str]) -> None:
        """These and no others: name to public key in Z85."""
        self._allowed[domain.encode()] = {z85.decode(key): name.encode() for name, key in keys.items()}

    def answer(self, request: Sequence[bytes]) -> list[bytes]:
        """The reply to a request: 200 with the name of the machine, or 400. No names to who is refused."""
        ident = request[1] if len(request) > 1 else b""
        known = len(request) == 7 and request[0] == VERSION and request[5] == b"CURVE"
        name = self._allowed.get(request[2], {}).get(request[6]) if known else None
        if name is not None:
            return [VERSION, ident, b"200", b"OK", name, b""]
        return [VERSION, ident, b"400", b"not on the list", b"", b""]


def keeper(context: zmq.Context[Any]) -> Keeper:
    """The doorkeeper of a context. It has a thread of its own: who knocks must not wait for a stage's work."""
    found = _keepers.get(context)
    if found is None:
        found = _keepers[context] = Keeper()
        # a shadow, so that who closes the context does not close this socket under the thread's feet
        socket: zmq.Socket[bytes] = zmq.Context.shadow(context.underlying).socket(zmq.REP)
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind(ENDPOINT)
        threading.Thread(target=_serve, args=(socket, found), name="zap", daemon=True).start()
    return found


def _serve(socket: zmq.Socket[bytes], keeper: Keeper) -> None:
    while True:
        try:
            socket.send_multipart(keeper.answer(socket.recv_multipart()))
        except zmq.ZMQError:  # the context ends
            socket.close()
            return
