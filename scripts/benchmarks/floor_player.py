"""The floor of a speaker: a hand-made WebSocket client that writes 2 ms at a time to libpulse.

`python -m scripts.benchmarks.floor_player PORT CERT` plays what the service says, drops it when told `interrupted`.
"""

from __future__ import annotations

import base64
import ctypes
import json
import re
import select
import sys
from pathlib import Path

import numpy as np

from scripts.benchmarks import websocket as ws
from scripts.benchmarks.floor import SETUP

RATE = 48_000
BLOCK = RATE // 500 * 2
"""Bytes of 2 ms."""
PLAYBACK, S16LE = 1, 3
_DATA = re.compile(rb'"data": ?"([^"]*)"')


class _Spec(ctypes.Structure):
    _fields_ = (("format", ctypes.c_int), ("rate", ctypes.c_uint32), ("channels", ctypes.c_uint8))


class _Buffer(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("maxlength", "tlength", "prebuf", "minreq", "fragsize"))


class Player:
    """libpulse's simplest writer with a queue of 2 ms."""

    def __init__(self) -> None:
        self._pulse = ctypes.CDLL("libpulse-simple.so.0")
        self._pulse.pa_simple_new.restype = ctypes.c_void_p
        spec, error, rest = _Spec(S16LE, RATE, 1), ctypes.c_int(), 2**32 - 1
        buffer = _Buffer(rest, BLOCK, 0, BLOCK // 2, rest)
        self._stream = ctypes.c_void_p(
            self._pulse.pa_simple_new(
                None, b"floor", PLAYBACK, b"speaker", b"floor", ctypes.byref(spec), None, ctypes.byref(buffer),
                ctypes.byref(error),
            )
        )  # fmt: skip
        if not self._stream:
            raise RuntimeError(f"libpulse: error {error.value}: is a sound server there?")

    def write(self, pcm: bytes) -> None:
        """Waits until the queue takes it."""
        self._pulse.pa_simple_write(self._stream, pcm, ctypes.c_size_t(len(pcm)), None)


def main(port: str, cert: str) -> None:
    """Until the service hangs up."""
    player, wire = Player(), ws.dial(int(port), Path(cert))
    wire.send(json.dumps(SETUP).encode())
    queue = b""
    while True:
        while select.select([wire.sock], [], [], 0)[0]:
            for _, payload in wire.frames(wire.receive_raw()):
                if found := _DATA.search(payload):
                    queue += np.repeat(np.frombuffer(base64.b64decode(found.group(1)), np.int16), 2).tobytes()
                elif b'"interrupted"' in payload:
                    queue = b""
        player.write(queue[:BLOCK].ljust(BLOCK, b"\0"))
        queue = queue[BLOCK:]


if __name__ == "__main__":
    main(*sys.argv[1:])
