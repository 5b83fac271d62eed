"""The words between supervisor and fork server, and which starts may be forks."""

import os
import socket
from collections.abc import Iterator

import pytest

from pipeline.supervisor import zygote_wire as wire
from pipeline.supervisor.zygote_launch import ForkServer, NoFork, same_program

pytestmark = pytest.mark.unit


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_a_request_brings_its_descriptors_and_a_body_of_any_size(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    read, write = os.pipe()
    body = {"environ": {"LONG": "x" * 1_000_000, "ODD": "\udcff"}}
    wire.send_request(ours, body, (write,))
    taken, (given,) = wire.take_request(theirs)
    assert taken == body
    os.write(given, b"through")
    assert os.read(read, 10) == b"through"
    for descriptor in (read, write, given):
        os.close(descriptor)


def test_descriptors_are_not_inherited_by_what_is_executed(pair: tuple[socket.socket, socket.socket]) -> None:
    wire.send_request(pair[0], {}, (0,))
    _, (given,) = wire.take_request(pair[1])
    assert not os.get_inheritable(given)
    os.close(given)


def test_replies(pair: tuple[socket.socket, socket.socket]) -> None:
    assert wire.take_reply(pair[0]) is None
    wire.send_reply(pair[1], id=1, pid=2)
    assert wire.take_reply(pair[0]) == {"id": 1, "pid": 2}
    pair[1].send(b"[]")
    with pytest.raises(wire.Gone, match=r"said b'\[\]'"):
        wire.take_reply(pair[0])


def test_a_closed_end_is_gone(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].close()
    with pytest.raises(wire.Gone):
        wire.send_request(pair[0], {}, ())
    with pytest.raises(wire.Gone):
        wire.take_reply(pair[0])
    with pytest.raises(wire.Gone):
        wire.take_request(pair[0])


def test_a_server_that_reads_nothing_is_gone_once_its_socket_is_full(pair: tuple[socket.socket, socket.socket]) -> None:
    def say_much() -> None:
        for _ in range(10_000):
            wire.send_request(pair[0], {}, ())

    with pytest.raises(wire.Gone):
        say_much()


SERVER = {"PYTHONPATH": "/code", "PYTHONUNBUFFERED": "1", "LANG": "C.UTF-8", "HOME": "/home/a"}


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({"PYTHONPATH": "/code:/config", "GEMINI_API_KEY": "k", "HOME": "/b"}, True),
        ({"PYTHONHASHSEED": "0"}, False),
        ({"LANG": "de_DE.UTF-8"}, False),
        ({"LD_PRELOAD": "shim.so"}, False),
        ({"TZ": "Asia/Tokyo"}, False),
        ({"PYTHONUNBUFFERED": None}, False),
    ],
)
def test_a_stage_that_needs_another_interpreter_is_no_fork(change: dict[str, str | None], fits: bool) -> None:
    server = ForkServer(socket.socket(), environ=SERVER)
    environ = {name: value for name, value in {**SERVER, **change}.items() if value is not None}
    try:
        if fits:
            same_program(server, environ)
            return
        with pytest.raises(NoFork, match=next(iter(change))):
            same_program(server, environ)
    finally:
        server.line.close()
