"""What ZeroMQ sockets say to each other, byte by byte, and whatever else may come instead."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.bus import zmtp

pytestmark = pytest.mark.unit

READY = zmtp.command(b"READY", {b"Socket-Type": b"SUB"})


def greeted() -> zmtp.Parser:
    parser = zmtp.Parser()
    assert parser.feed(zmtp.GREETING + READY) == []
    return parser


def test_the_greeting_is_that_of_the_specification() -> None:
    assert len(zmtp.GREETING) == 64
    assert zmtp.GREETING[0] == 0xFF
    assert zmtp.GREETING[9] == 0x7F
    assert zmtp.GREETING[10:12] == b"\x03\x00"
    assert READY == b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"


@given(
    st.lists(st.lists(st.binary(max_size=700), min_size=1, max_size=4), max_size=8),
    st.lists(st.integers(1, 900), max_size=60),
)
def test_messages_come_whole_however_the_bytes_are_cut(messages: list[list[bytes]], cuts: list[int]) -> None:
    data = zmtp.GREETING + READY + b"".join(map(zmtp.message, messages))
    parser, found = zmtp.Parser(), []
    for cut in cuts:
        found += parser.feed(data[:cut])
        data = data[cut:]
    assert found + parser.feed(data) == messages
    assert parser.ready == {b"Socket-Type": b"SUB"}


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    for parser in (zmtp.Parser(), greeted()):
        with contextlib.suppress(zmtp.Broken):
            parser.feed(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"GET / HTTP/1.1\r\n", "greeting"),
        (b"\xff" + bytes(8) + b"\x7f\x01\x00", "greeting"),
        (zmtp.GREETING.replace(b"NULL", b"CURV"), "NULL"),
    ],
)
def test_who_speaks_otherwise_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(zmtp.Broken, match=said):
        zmtp.Parser().feed(data)


@pytest.mark.parametrize(
    "data",
    [b"\x02" + b"\x7f" * 8, b"\x40\x01a", b"\x01\x00" * 40, b"\x04\x0a\x05ERROR\x03not", b"\x04\x08\x05READY\x09X"],
)
def test_a_frame_that_cannot_be_ends_the_connection(data: bytes) -> None:
    with pytest.raises(zmtp.Broken):
        greeted().feed(data)


def test_a_frame_that_is_too_long_is_skipped_and_what_follows_is_heard() -> None:
    parser, found = zmtp.Parser(largest=1_000), []
    after = zmtp.message([b"event.state", b"x" * 1_000])
    data = zmtp.GREETING + READY + zmtp.message([b"audio.voice", b"y" * 70_000]) + after
    for at in range(0, len(data), 777):
        found += parser.feed(data[at : at + 777])
    (topic, skipped), heard = found
    assert (topic, len(skipped), bytes(skipped)) == (b"audio.voice", 70_000, b"")
    assert heard == [b"event.state", b"x" * 1_000]
    with pytest.raises(zmtp.Broken, match="1000 bytes at most"):
        parser.feed(zmtp.command(b"READY", {b"Socket-Type": b"S" * 1_000}))


def test_a_long_frame_costs_no_more_than_its_length() -> None:
    body = bytes(zmtp.MAX_BYTES)
    data, parser, began_s = zmtp.message([b"audio.reply", body]), greeted(), time.process_time()
    found = [parts for at in range(0, len(data), 32_768) for parts in parser.feed(data[at : at + 32_768])]
    assert found == [[b"audio.reply", body]]
    assert time.process_time() - began_s < 1.0, "joined anew with each piece that comes it takes 4 s"
