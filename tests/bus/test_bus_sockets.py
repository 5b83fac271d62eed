"""Producer and consumer over real ipc sockets in one process."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from pipeline.bus import codec
from pipeline.bus.consumer import Consumer, Message
from pipeline.bus.messages import Audio, Event
from pipeline.bus.producer import HIGH_WATER, NameTaken, Producer

pytestmark = pytest.mark.bus

DEADLINE_S = 10.0


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    made: zmq.Context[Any] = zmq.Context()
    yield made
    made.destroy(linger=0)


@pytest.fixture(params=["own", "libzmq"])
def endpoint(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """On this machine, where both ends are ours, and elsewhere, where libzmq's are."""
    if request.param == "own":
        return f"ipc://{tmp_path}/frontend.bus"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{free.getsockname()[1]}"


def producer_at(context: zmq.Context[Any], endpoint: str, inst: int = 1) -> Producer:
    producer = Producer(context, endpoint, "frontend", inst, time.monotonic_ns)
    producer.bind()
    return producer


def read_until(
    consumer: Consumer, enough: Callable[[list[Message]], bool], producer: Producer | None = None
) -> list[Message]:
    """Everything read until `enough` says so, the producer pumped meanwhile. Fails after DEADLINE_S."""
    got: list[Message] = []
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if producer is not None:
            producer.pump()
        consumer.drain(time.monotonic_ns())
        while (message := consumer.next()) is not None:
            got.append(message)
        if enough(got):
            return got
        select.select([consumer.fileno], [], [], 0.005)
    raise AssertionError(f"not enough after {DEADLINE_S} s: {got[-3:]}")


def names(messages: list[Message]) -> list[str]:
    return [message.name if isinstance(message, Event) else message.stream for _, message in messages]


def voice(number: int) -> Audio:
    return Audio("voice", bytes(640), 16_000, 1, t=number * 20_000_000)


def test_a_late_joiner_of_a_known_topic_is_told_what_holds(context: zmq.Context[Any], endpoint: str) -> None:
    producer = producer_at(context, endpoint)
    producer.event("state", {"state": "live"}, sticky=True)
    for _ in range(30):
        consumer = Consumer(context, endpoint, ["event.state"])
        assert names(read_until(consumer, bool, producer)) == ["state"]
        consumer.close()
    producer.close()


def test_a_sticky_event_is_read_once_however_often_it_is_sent(context: zmq.Context[Any], endpoint: str) -> None:
    producer = producer_at(context, endpoint)
    first = Consumer(context, endpoint, ["event.state", "event.done"])
    producer.event("state", {"n": 1}, sticky=True)
    read_until(first, bool, producer)
    second = Consumer(context, endpoint, ["event.state"])
    read_until(second, bool, producer)  # the state went out again, to both
    producer.event("done", {})
    assert names(read_until(first, bool, producer)) == ["done"]
    first.close(), second.close(), producer.close()


def test_a_released_event_is_said_to_nobody(context: zmq.Context[Any], endpoint: str) -> None:
    producer = producer_at(context, endpoint)
    producer.event("speech_started", {"t": 1}, sticky=True)
    producer.event("state", {}, sticky=True)
    producer.release("speech_started")
    consumer = Consumer(context, endpoint, ["event.state", "event.speech_started"])
    assert names(read_until(consumer, bool, producer)) == ["state"]
    consumer.close(), producer.close()


def test_one_subscriber_hears_events_and_audio_in_the_order_of_the_writer(
    context: zmq.Context[Any], endpoint: str
) -> None:
    producer = producer_at(context, endpoint)
    producer.event("state", {}, sticky=True)
    consumer = Consumer(context, endpoint, ["event.", "audio.voice"])
    read_until(consumer, bool, producer)
    for number in range(300):
        producer.event("flush", {"epoch": number})
        producer.audio(voice(number))
    got = read_until(consumer, lambda messages: len(messages) >= 600, producer)
    assert names(got) == ["flush", "voice"] * 300
    consumer.close(), producer.close()


def test_the_name_can_be_held_once(context: zmq.Context[Any], tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/frontend.bus"
    producer = producer_at(context, endpoint)
    with pytest.raises(NameTaken, match="frontend is already on the bus"):
        producer_at(context, endpoint, inst=2)
    producer.close()
    producer_at(context, endpoint, inst=3).close()


def test_a_reader_that_stands_still_holds_nobody_up_and_loses_only_its_own(
    context: zmq.Context[Any], endpoint: str
) -> None:
    producer = producer_at(context, endpoint)
    producer.event("state", {}, sticky=True)
    asleep = Consumer(context, endpoint, ["event.state", "audio.voice"])
    awake = Consumer(context, endpoint, ["event.state", "audio.voice"])
    read_until(asleep, bool, producer)
    read_until(awake, bool, producer)
    total, slowest_ns, heard = 3 * HIGH_WATER, 0, 0
    for number in range(total):
        began = time.monotonic_ns()
        producer.audio(voice(number))
        slowest_ns = max(slowest_ns, time.monotonic_ns() - began)
        if number % 100 == 99:
            heard += len(read_until(awake, lambda messages: len(messages) >= 100, producer))
    assert heard == total
    assert slowest_ns < 1_000_000_000
    late = read_until(asleep, lambda messages: len(messages) >= HIGH_WATER, producer)
    assert [stamp.seq for stamp, _ in late[:10]] == list(range(10)), "the oldest are kept, the newest dropped"
    awake.close(), asleep.close(), producer.close()


def test_a_flood_of_malformed_messages_is_counted_and_ends_nothing(context: zmq.Context[Any], endpoint: str) -> None:
    raw: zmq.Socket[bytes] = context.socket(zmq.XPUB)
    raw.setsockopt(zmq.SNDHWM, 0)
    raw.bind(endpoint)
    consumer = Consumer(context, endpoint, ["event.state", "audio.voice"])
    for _ in consumer.topics:
        while not raw.poll(5):
            consumer.drain(time.monotonic_ns())
        assert raw.recv()
    for _ in range(5_000):
        raw.send_multipart([b"audio.voice", b"\xc1 rubbish"])
    stamp = {"v": 1, "src": "frontend", "inst": 1, "seq": 0, "sent": 1}
    raw.send_multipart(codec.pack("audio.voice", {**stamp, **codec.audio_fields(voice(1))}))
    assert names(read_until(consumer, bool)) == ["voice"]
    assert consumer.malformed == 5_000
    assert "audio.voice: expected a msgpack map" in consumer.last_malformed
    assert consumer.unreadable == {"audio.voice": 5_000}, "they came: a reader that counts them is not deaf"
    consumer.close(), raw.close()


def test_a_place_that_has_not_come_is_refused(context: zmq.Context[Any], endpoint: str) -> None:
    """A session that believed one block of tomorrow would be deaf until then."""
    producer = producer_at(context, endpoint)
    consumer = Consumer(context, endpoint, ["audio.voice", "event.speech_ended", "event.level"])
    tomorrow_ns = time.monotonic_ns() + 86_400 * 10**9
    end = time.monotonic() + 5
    got: list[Message] = []
    while "level" not in names(got) and time.monotonic() < end:
        producer.pump()
        producer.audio(Audio("voice", bytes(640), 16_000, 1, t=tomorrow_ns))
        producer.event("speech_ended", {"t": tomorrow_ns})
        producer.event("level", {"t": tomorrow_ns})
        consumer.drain(time.monotonic_ns())
        while (entry := consumer.next()) is not None:
            got.append(entry)
    assert set(names(got)) == {"level"}, "whose `t` is none of ours"
    assert "ahead of the clock" in consumer.complaint
    assert consumer.unreadable["audio.voice"] > 0
    consumer.close()
    producer.close()


def test_a_tap_cannot_speak(context: zmq.Context[Any], endpoint: str) -> None:
    producer = producer_at(context, endpoint)
    tap: zmq.Socket[bytes] = context.socket(zmq.XSUB)
    tap.connect(endpoint)
    tap.send(b"\x01event.state")
    tap.send(b"audio.voice rubbish")
    tap.send_multipart([b"event.flush", b"\x81"])
    producer.event("state", {}, sticky=True)
    end = time.monotonic() + DEADLINE_S
    while not tap.poll(5) and time.monotonic() < end:
        producer.pump()
    assert tap.recv_multipart()[0] == b"event.state"
    tap.close(), producer.close()


def test_a_restarted_producer_is_joined_again(context: zmq.Context[Any], tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/frontend.bus"  # libzmq gives a port of TCP back when it likes
    producer = producer_at(context, endpoint)
    producer.event("state", {"n": 1}, sticky=True)
    consumer = Consumer(context, endpoint, ["event.state"])
    read_until(consumer, bool, producer)
    producer.close()
    again = producer_at(context, endpoint, inst=2)
    again.event("state", {"n": 2}, sticky=True)
    [(stamp, _)] = read_until(consumer, bool, again)
    assert stamp.inst == 2
    consumer.close(), again.close()
