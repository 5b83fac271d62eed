"""A guarded bus over tcp: who is on the list hears everything; strangers read nothing and inject nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from pipeline.bus import codec, curve, libzmq
from pipeline.bus.consumer import Consumer
from pipeline.bus.messages import Event
from pipeline.bus.producer import Producer

pytestmark = pytest.mark.bus

DEADLINE_S = 10.0
LONG_ENOUGH_S = 0.7
"""The allowed reader has everything within 50 ms."""


BOOTH, HALL, STRANGER = libzmq.new_pair(), libzmq.new_pair(), libzmq.new_pair()


def free_endpoint() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{free.getsockname()[1]}"


def as_machine(pair: curve.Pair, endpoint: str, server: curve.Pair) -> None:
    allow = {"hall": HALL.public}
    curve.be(curve.Identity(pair, {endpoint: server.public}, {"bus": allow, "control": allow}))


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    made: zmq.Context[Any] = zmq.Context()
    yield made
    curve.be(None)
    made.destroy(linger=0)


def heard(consumers: dict[str, Consumer], producer: Producer, until: str) -> dict[str, list[str]]:
    """What each has read when the one called `until` has something, and LONG_ENOUGH_S later."""
    got: dict[str, list[str]] = {name: [] for name in consumers}
    end, seconds = time.monotonic() + DEADLINE_S, 0
    while time.monotonic() < end:
        producer.pump()
        producer.event("level", {"n": (seconds := seconds + 1)})
        for name, consumer in consumers.items():
            consumer.drain(time.monotonic_ns())
            while (entry := consumer.next()) is not None:
                assert isinstance(entry[1], Event)
                got[name].append(entry[1].name)
        if got[until]:
            end = min(end, time.monotonic() + LONG_ENOUGH_S)
        time.sleep(0.01)
    return got


def test_only_who_is_on_the_list_reads(context: zmq.Context[Any]) -> None:
    endpoint = free_endpoint()
    as_machine(BOOTH, endpoint, BOOTH)
    producer = Producer(context, endpoint, "frontend", 1, time.monotonic_ns)
    producer.bind()
    readers = {}
    as_machine(HALL, endpoint, BOOTH)
    readers["hall"] = Consumer(context, endpoint, ["event.level"])
    as_machine(STRANGER, endpoint, BOOTH)  # it knows the server's key, and has one of its own
    readers["not on the list"] = Consumer(context, endpoint, ["event.level"])
    as_machine(HALL, endpoint, STRANGER)  # one of ours that was told a wrong key for this place
    readers["of another server"] = Consumer(context, endpoint, ["event.level"])
    curve.be(None)
    readers["without a key"] = Consumer(context, endpoint, ["event.level"])
    with socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2]))) as bare:
        got = heard(readers, producer, "hall")
        bare.setblocking(False)
        assert b"level" not in bare.recv(65536)  # a greeting, which says that CURVE is wanted
    assert len(got.pop("hall")) > 10
    assert got == {"not on the list": [], "of another server": [], "without a key": []}
    for consumer in readers.values():
        consumer.close()
    producer.close()


def test_a_stranger_in_the_place_of_a_writer_is_not_heard(context: zmq.Context[Any]) -> None:
    """It has taken the address and speaks the bus's language, but does not hold the key."""
    endpoint = free_endpoint()
    as_machine(STRANGER, endpoint, STRANGER)
    guarded = Producer(context, endpoint, "frontend", 1, time.monotonic_ns)
    guarded.bind()
    curve.be(None)
    bare = free_endpoint()
    unguarded = Producer(context, bare, "frontend", 1, time.monotonic_ns)
    unguarded.bind()
    readers = []
    for place in (endpoint, bare):
        as_machine(HALL, place, BOOTH)
        readers.append(Consumer(context, place, ["event.level"]))
    curve.be(None)
    accomplice = Consumer(context, bare, ["event.level"])
    got = heard({"ours": readers[1], "accomplice": accomplice}, unguarded, "accomplice")
    assert got["accomplice"]
    assert not got["ours"]
    end = time.monotonic() + LONG_ENOUGH_S
    while time.monotonic() < end:
        guarded.pump()
        guarded.event("level", {})
        assert not readers[0].drain(time.monotonic_ns())
        time.sleep(0.02)
    for end_of_bus in (*readers, accomplice, guarded, unguarded):
        end_of_bus.close()


def test_only_machines_on_the_list_are_heard_on_control(context: zmq.Context[Any]) -> None:
    endpoint = free_endpoint()
    as_machine(BOOTH, endpoint, BOOTH)
    router = context.socket(zmq.ROUTER)
    libzmq.guard_server(context, router, endpoint, "control")
    router.bind(endpoint)
    word = codec.pack("hello", {"v": 1, "kind": "hello"})[1]
    dealers = []
    for pair, server in ((STRANGER, BOOTH), (HALL, STRANGER), (HALL, BOOTH)):
        as_machine(pair, endpoint, server)
        dealers.append(libzmq.dealer(context, endpoint, f"capture/{len(dealers)}", 10))
    curve.be(None)
    dealers.append(libzmq.dealer(context, endpoint, "cli/9", 10))
    for dealer in dealers:
        dealer.send([word])
    said, end = [], time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if router.poll(50):
            frames = router.recv_multipart(copy=False)
            said.append((bytes(frames[0].buffer), frames[1].get("User-Id")))
            end = time.monotonic() + LONG_ENOUGH_S
    assert said == [(b"capture/2", "hall")]
    for dealer in dealers:
        dealer.close()
