"""A person's side of control: one question to a running pipeline, one answer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgpack
import zmq

from pipeline import pids, places
from pipeline.bus import codec
from pipeline.bus.messages import VERSION

ANSWER_S = 1.0
"""The supervisor answers within a turn of its loop, some ms."""


class NoAnswer(Exception):
    """Nobody answered in time. The text says what to look at."""


def _why(run_dir: Path) -> str:
    """What its process is doing instead, with the next step."""
    pid = places.holder(run_dir)
    if not pid:
        return "it has just ended"
    if pids.stopped(pid):
        return f"its process {pid} is stopped (SIGSTOP, Ctrl-Z or a debugger); kill -CONT {pid}"
    if pids.state(pid) == "D":
        return f"its process {pid} waits for a disk or a device that does not answer; see `dmesg | tail`"
    return f"its process {pid} is busy or hangs; kill -USR1 {pid} prints its stacks into the log, kill {pid} ends it"


def ask(run_dir: Path, kind: str, **fields: Any) -> dict[str, Any]:
    """Send a command to the pipeline of `run_dir`; returns its reply. Raises NoAnswer."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.IDENTITY, f"cli/{os.getpid()}".encode())
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(f"ipc://{run_dir}/control")
        socket.send(msgpack.packb({"v": VERSION, "kind": kind, **fields}))
        if not socket.poll(int(ANSWER_S * 1000)):
            raise NoAnswer(f"the pipeline of {run_dir} did not answer within {ANSWER_S:g} s: {_why(run_dir)}")
        try:
            return codec.unpack_map(socket.recv())
        except codec.Malformed as error:
            raise NoAnswer(f"the pipeline of {run_dir} speaks another protocol: {error}") from error
