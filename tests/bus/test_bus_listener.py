"""Who listens in: to our writers and to libzmq's, across restarts, with every gap told."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from pipeline.bus import codec
from pipeline.bus.listener import AT_ONCE, Heard, Listener
from pipeline.bus.messages import Audio
from pipeline.bus.producer import Producer

pytestmark = pytest.mark.bus

DEADLINE_S = 5.0


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    endpoints = {name: f"ipc://{tmp_path}/{name}.bus" for name in ("frontend", "lamp")}
    (tmp_path / "bus.json").write_text(json.dumps({"endpoints": endpoints}))
    return tmp_path


@pytest.fixture
def writers(run_dir: Path) -> Iterator[list[Producer]]:
    made: list[Producer] = []
    yield made
    for writer in made:
        writer.close()


def frontend(run_dir: Path, inst: int, writers: list[Producer]) -> Producer:
    writer = Producer(None, f"ipc://{run_dir}/frontend.bus", "frontend", inst, time.monotonic_ns)
    writer.bind()
    writers.append(writer)
    return writer


def hear(listener: Listener, writer: Producer, *, count: int) -> list[Heard]:
    """So many messages, while the writer takes in who has come."""
    got: list[Heard] = []
    end = time.monotonic() + DEADLINE_S
    while len(got) < count and time.monotonic() < end:
        writer.pump()
        got += listener.heard(0.01)
    return got


def joined(listener: Listener, writer: Producer) -> None:
    end = time.monotonic() + DEADLINE_S
    while not hear(listener, writer, count=0) and time.monotonic() < end:
        writer.event("joined", {})
        if any(message.topic == "event.joined" for message in listener.heard(0.02)):
            return
    raise AssertionError("not heard")


def block(number: int) -> Audio:
    return Audio("voice", bytes(640), 16_000, 1, t=number * 20_000_000)


def test_all_is_heard_in_order_and_a_restart_is_followed(run_dir: Path, writers: list[Producer]) -> None:
    listener = Listener(lambda: run_dir, ["audio.voice", "event.*"])
    writer = frontend(run_dir, 1, writers)
    joined(listener, writer)
    for number in range(2 * AT_ONCE):
        writer.audio(block(number))
    got = [message for message in hear(listener, writer, count=2 * AT_ONCE) if message.topic == "audio.voice"]
    assert [message.fields["seq"] for message in got] == list(range(2 * AT_ONCE))
    assert not any(message.missed for message in got)
    writers.pop().close()
    again = frontend(run_dir, 2, writers)
    again.audio(block(0))  # before anybody has found it
    joined(listener, again)
    again.audio(block(1))
    (first,) = [message for message in hear(listener, again, count=1) if message.topic == "audio.voice"]
    assert (first.fields["inst"], first.fields["seq"], first.missed) == (2, 1, 1)
    listener.close()


def test_a_writer_of_libzmq_is_heard_too(run_dir: Path, writers: list[Producer]) -> None:
    context: zmq.Context[Any] = zmq.Context()
    lamp: zmq.Socket[bytes] = context.socket(zmq.XPUB)
    lamp.bind(f"ipc://{run_dir}/lamp.bus")
    listener = Listener(lambda: run_dir, ["lamp/event.*"])
    writer = frontend(run_dir, 1, writers)
    hear(listener, writer, count=0)
    list(listener.heard(0.05))
    assert lamp.poll(5_000)
    stamp = {"v": 1, "src": "lamp", "inst": 1, "sent": time.monotonic_ns(), "body": {}}
    for seq in (0, 1, 3):
        lamp.send_multipart(codec.pack("event.lit", {**stamp, "seq": seq}))
    lamp.send_multipart([b"event.lit", b"no map"])
    got = hear(listener, writer, count=3)
    assert [(message.fields["seq"], message.missed) for message in got] == [(0, 0), (1, 0), (3, 1)]
    assert listener.malformed == 1
    listener.close()
    context.destroy(linger=0)
