"""Waiting on descriptors: what a send has hidden is found, what nobody announced is not asked for."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from pipeline import Stage
from pipeline.bus.consumer import Consumer
from pipeline.bus.messages import Audio
from pipeline.bus.producer import Producer
from pipeline.stage.brief import Brief
from pipeline.stage.link import Link
from pipeline.stage.waits import Waits

pytestmark = pytest.mark.bus


class Listens(Stage):
    """Keeps what it hears."""

    reads = ("mic",)
    emits = ("voice",)

    def on_audio(self, audio: Audio) -> None:
        self.heard = [*getattr(self, "heard", []), audio]


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture(params=["own", "libzmq"])
def link(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Link]:
    """With our own ends of each connection, and with libzmq's."""
    folder, names = tmp_path_factory.mktemp("w"), ("capture", "frontend", "control")
    if request.param == "own":
        at = {name: f"ipc://{folder}/{name}.bus" for name in names}
    else:
        at = {name: f"tcp://127.0.0.1:{port}" for name, port in zip(names, free_ports(3), strict=True)}
    peers = {name: at[name] for name in ("capture", "frontend")}
    brief = Brief("frontend", 1, folder, folder, folder, peers["frontend"], at["control"], peers, {"mic": "capture"})
    stage = Listens()
    stage.name, stage.inst, stage.brief = brief.name, brief.inst, brief
    stage.link = Link(stage, brief)
    stage.link.open()
    yield stage.link
    stage.link.close()


def readable(descriptor: int, within_ms: int = 2_000) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(within_ms))


def joined(producer: Producer, topics: set[bytes]) -> bool:
    """Whether somebody has subscribed to all of these."""
    so_far = vars(producer).setdefault("joined_so_far", set())
    while (frame := producer._line.take()) is not None:
        so_far.add(frame[1:])
    return topics <= so_far


def turns_until(link: Link, done: Any, within_s: float = 5.0) -> None:
    waits, ready, end = Waits(link), None, time.monotonic() + within_s
    while not done():
        assert time.monotonic() < end
        link.turn(ready)
        ready = waits.wait(0.05)


def test_a_subscriber_whose_announcement_a_send_has_hidden_is_told_what_holds(link: Link) -> None:
    assert link.producer is not None
    link.turn()
    link.tell("state", {"state": "live", "reason": "", "replays": []}, sticky=True)
    consumer = Consumer(None, link.brief.bind, ("event.state",))
    try:
        assert readable(link.producer.fileno)
        end = time.monotonic() + 2
        while readable(link.producer.fileno, 0) and time.monotonic() < end:
            consumer.drain(time.monotonic_ns())
            link.tell("level", {})  # a send takes the announcement, sooner or later
        if link.brief.bind.startswith("tcp:"):
            assert link.announced() == [link.producer.fileno]
        turns_until(link, lambda: consumer.drain(time.monotonic_ns()))
    finally:
        consumer.close()


def test_audio_is_heard_though_only_descriptors_are_asked(link: Link, tmp_path: Path) -> None:
    producer = Producer(None, link.brief.peers["capture"], "capture", 1, time.monotonic_ns)
    producer.bind()
    stage: Any = link.stage
    try:
        turns_until(link, lambda: joined(producer, {b"audio.mic"}))
        producer.event("state", {"state": "live", "reason": "", "replays": []}, sticky=True)
        for number in range(50):
            producer.audio(Audio("mic", bytes(640), 16_000, 1, t=10**9 + number * 20_000_000))
            turns_until(link, lambda number=number: len(getattr(stage, "heard", [])) > number)
    finally:
        producer.close()


def test_a_socket_that_is_not_ready_is_not_read_unless_it_holds_more(link: Link) -> None:
    consumer = link.consumers["capture"]
    producer = Producer(None, link.brief.peers["capture"], "capture", 1, time.monotonic_ns)
    producer.bind()
    try:
        end = time.monotonic() + 5
        while not joined(producer, {b"audio.mic"}):
            assert time.monotonic() < end
            consumer.drain(time.monotonic_ns())
        consumer.drain(time.monotonic_ns())
        assert not consumer.holds_more
        producer.event("state", {"state": "live", "reason": "", "replays": []})
        assert readable(consumer.fileno)
        assert not consumer.drain(0, [])
        consumer.holds_more = True
        end = time.monotonic() + 5
        while not consumer.drain(0, [consumer.fileno]):
            assert time.monotonic() < end
    finally:
        producer.close()


def test_control_is_heard_when_its_descriptor_says_so(link: Link) -> None:
    context: zmq.Context[Any] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.bind(link.brief.control)
    try:
        link.control.say("hello", pid=1)
        turns_until(link, lambda: router.poll(0))
        identity, _ = router.recv_multipart()
        import msgpack

        router.send_multipart([identity, msgpack.packb({"v": 1, "kind": "go"})])
        turns_until(link, lambda: link.going)
    finally:
        context.destroy(linger=0)
