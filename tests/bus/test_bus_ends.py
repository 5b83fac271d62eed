"""Our ends of a connection against libzmq's, in every pairing that a bus can have, and against what goes wrong."""

from __future__ import annotations

import os
import resource
import select
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from pipeline.bus import wire
from pipeline.bus.dial import Dial
from pipeline.bus.door import Door

pytestmark = pytest.mark.bus

DEADLINE_S = 5.0


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    made: zmq.Context[Any] = zmq.Context()
    yield made
    made.destroy(linger=0)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return f"{tmp_path}/x.bus"


def until(done: Callable[[], Any]) -> Any:
    end = time.monotonic() + DEADLINE_S
    while not (found := done()):
        assert time.monotonic() < end
        time.sleep(0.001)
    return found


def subscriber(path: str, topic: bytes = b"event.") -> Dial:
    return Dial(path, b"SUB", topics=[topic], high_water=100)


def joined(door: Door, *dials: Dial) -> None:
    for dial in dials:
        until(lambda dial=dial: [dial.receive(), door.take()][1])


def test_a_subscriber_of_libzmq_hears_us(context: zmq.Context[Any], path: str) -> None:
    door = Door(100)
    door.bind(path)
    reader: zmq.Socket[bytes] = context.socket(zmq.SUB)
    reader.subscribe(b"event.")
    reader.connect(f"ipc://{path}")
    assert until(door.take) == b"\x01event."
    door.send([b"audio.mic", b"not wanted"])
    door.send([b"event.state", b"x" * 1_000])
    assert reader.poll(5_000)
    assert reader.recv_multipart() == [b"event.state", b"x" * 1_000]
    reader.unsubscribe(b"event.")
    assert until(door.take) == b"\x00event."
    door.close()


def test_we_hear_a_publisher_of_libzmq(context: zmq.Context[Any], path: str) -> None:
    writer: zmq.Socket[bytes] = context.socket(zmq.XPUB)
    writer.bind(f"ipc://{path}")
    reader = subscriber(path)
    until(lambda: [reader.receive(), writer.poll(0)][1])
    assert writer.recv() == b"\x01event."
    writer.send_multipart([b"event.state", b"x" * 70_000])
    assert until(reader.receive) == [b"event.state", b"x" * 70_000]
    reader.close()


def test_all_that_is_said_after_connecting_is_heard(path: str) -> None:
    door = Door(100)
    door.bind(path)
    reader = Dial(path, b"SUB", topics=[b"event.a", b"event.b"], high_water=100)
    for name in (b"event.a", b"event.b", b"event.c"):
        door.send([name, b""])
    assert [until(reader.receive)[0] for _ in range(2)] == [b"event.a", b"event.b"]
    assert [door.take(), door.take()] == [b"\x01event.a", b"\x01event.b"]
    reader.close()
    door.close()


def test_a_dealer_of_ours_has_its_name_at_a_router(context: zmq.Context[Any], path: str) -> None:
    dealer = Dial(path, b"DEALER", identity=b"lamp/7", high_water=10)
    dealer.send([b"before anybody is there"])
    router: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
    router.bind(f"ipc://{path}")
    until(lambda: [dealer.receive(), router.poll(0)][1])
    assert router.recv_multipart() == [b"lamp/7", b"before anybody is there"]
    router.send_multipart([b"lamp/7", b"go"])
    assert until(dealer.receive) == [b"go"]
    dealer.close()


def test_last_words_arrive_though_they_were_said_before_anybody_listened(context: zmq.Context[Any], path: str) -> None:
    router: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
    router.bind(f"ipc://{path}")
    dealer = Dial(path, b"DEALER", identity=b"lamp/7", high_water=10)
    dealer.send([b"bye"])
    dealer.close(linger_s=2.0)
    assert router.poll(5_000)
    assert router.recv_multipart() == [b"lamp/7", b"bye"]


def test_a_reader_that_is_away_is_missed_by_nobody_and_loses_the_newest(path: str) -> None:
    door = Door(high_water=50)
    door.bind(path)
    asleep = subscriber(path)
    joined(door, asleep)
    for number in range(5_000):
        door.send([b"event.n", b"%d" % number + bytes(500)])
    assert door.dropped > 4_000
    got: list[bytes] = []

    def all_read() -> bool:
        door.take()
        got.extend(message[1] for message in iter(asleep.receive, None))
        return len(got) >= 5_000 - door.dropped

    until(all_read)
    assert [int(data.rstrip(b"\0")) for data in got] == list(range(len(got))), "the oldest are kept"
    asleep.close()
    for number in range(3):
        door.send([b"event.n", b"%d" % number])  # to nobody
    door.close()


def test_who_says_much_at_once_keeps_no_more_than_that_of_it(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_KEPT_BYTES", 2**20)
    door = Door(high_water=8_000)
    door.bind(path)
    asleep = subscriber(path)
    joined(door, asleep)
    for _ in range(60):
        door.send([b"event.n", bytes(100_000)])
    assert 40 < door.dropped < 50, "a dozen, and what the kernel has taken"
    got: list[int] = []

    def all_read() -> bool:
        door.take()
        got.extend(len(message[1]) for message in iter(asleep.receive, None))
        return len(got) == 60 - door.dropped

    until(all_read)
    assert set(got) == {100_000}
    door.send([b"event.n", b"again"])
    assert until(asleep.receive) == [b"event.n", b"again"]
    asleep.close()
    door.close()


def test_a_reader_that_says_what_is_no_subscription_says_nothing(path: str) -> None:
    door = Door(100)
    door.bind(path)
    reader = subscriber(path)
    joined(door, reader)
    reader.send([b"\x01" + bytes(200_000)])
    reader.send([b"\x01event.after"])
    assert until(lambda: [reader.receive(), door.take()][1]) == b"\x01event.after"
    reader.close()
    door.close()


def test_a_connection_that_breaks_off_is_made_again_with_its_subscriptions(path: str) -> None:
    reader = subscriber(path)
    for number in range(3):
        door = Door(100)
        door.bind(path)
        joined(door, reader)
        door.send([b"event.n", b"%d" % number])
        assert until(reader.receive) == [b"event.n", b"%d" % number]
        door.close()
    until(lambda: [reader.receive(), reader.due_ns][1])
    reader.close()


def test_what_is_no_zeromq_is_not_dialled_without_end(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1_000)
        listener.setblocking(False)
        reader, came, end = subscriber(path), 0, time.monotonic() + 0.2
        while time.monotonic() < end:
            reader.receive()
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                continue
            came += 1
            sock.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            sock.close()
        assert 1 < came <= 45
        reader.close()


def test_without_a_descriptor_for_who_knocks_nobody_spins(path: str) -> None:
    door = Door(100)
    door.bind(path)
    readers = [subscriber(path) for _ in range(2)]
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    held = [os.dup(0) for _ in range(highest)]  # so that every number below the limit is taken
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(held) + 1, before[1]))
        assert door.take() is None
        assert door.due_ns is not None
        assert not select.select([door.fileno], [], [], 0)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for descriptor in held:
            os.close(descriptor)
    joined(door, *readers)
    assert door.due_ns is None
    door.close()
