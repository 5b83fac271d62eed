"""The floor: the same way through as few things as can be. Processes, two socketpairs, a hand-made WebSocket client.

    source -socketpair-> relay -socketpair-> client -TLS-> service -TLS-> client -socketpair-> sink

`python -m scripts.benchmarks.floor PORT CERT SLOTS OUT` ends after the last slot and has written (made, came) of the
blocks of answers to OUT.
"""

from __future__ import annotations

import base64
import json
import os
import re
import select
import socket
import struct
import sys
import time
from pathlib import Path

from scripts.benchmarks import websocket as ws
from scripts.benchmarks.slots import BLOCK_NS, Slots, sleep_until
from scripts.benchmarks.stamp import VOICE_BYTES, stamp_of, stamped

_DATA = re.compile(rb'"data": ?"([^"]*)"')
VOICE = b'{"realtime_input":{"audio":{"data":"%s","mime_type":"audio/pcm;rate=16000"}}}'
SETUP = {"setup": {"model": "models/gemini-floor"}}


def source(out: socket.socket, slots: Slots) -> None:
    """The microphone."""
    due_ns = slots.begin_ns
    while due_ns < slots.end_ns:
        sleep_until(due_ns)
        if slots.mine(due_ns, floor=True):
            out.send(stamped(VOICE_BYTES))
        due_ns += BLOCK_NS


def relay(inlet: socket.socket, out: socket.socket) -> None:
    """The front end."""
    while data := inlet.recv(65_536):
        out.send(data)


def client(inlet: socket.socket, out: socket.socket, wire: ws.Wire) -> None:
    """The session."""
    wire.send(json.dumps(SETUP).encode())
    while True:
        for ready in select.select([inlet, wire.sock], [], [])[0]:
            if ready is inlet:
                if not (pcm := inlet.recv(65_536)):
                    return
                wire.send(VOICE % base64.b64encode(pcm))
                continue
            for _, payload in wire.frames(wire.receive_raw()):
                if found := _DATA.search(payload):
                    out.send(base64.b64decode(found.group(1)))


def sink(inlet: socket.socket, path: Path) -> None:
    """The queue of playback."""
    came = bytearray()
    while pcm := inlet.recv(65_536):
        now_ns = time.monotonic_ns()
        if (made_ns := stamp_of(pcm)) is not None:
            came += struct.pack("<QQ", made_ns, now_ns)
    path.write_bytes(came)


def main(port: str, cert: str, slots: str, out: str) -> None:
    """Fork the four of them and wait for the source to end; the others end with their sockets."""
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(3)]
    (mic_in, mic_out), (voice_in, voice_out), (reply_in, reply_out) = pairs
    works = {
        (mic_in,): lambda: source(mic_in, Slots.of(slots)),
        (mic_out, voice_in): lambda: relay(mic_out, voice_in),
        (voice_out, reply_in): lambda: client(voice_out, reply_in, ws.dial(int(port), Path(cert))),
        (reply_out,): lambda: sink(reply_out, Path(out)),
    }
    every = [end for pair in pairs for end in pair]
    pids = []
    for mine, work in works.items():
        pid = os.fork()
        if pid == 0:
            for end in every:
                if end not in mine:
                    end.close()
            code = 1
            try:
                work()
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    for end in every:
        end.close()
    print(json.dumps(pids), flush=True)
    for pid in pids:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
