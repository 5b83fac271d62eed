"""Words on the control socket: what is understood, what is refused."""

import contextlib
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from pipeline.bus.codec import Malformed
from pipeline.supervisor.control import Control, Word, counts_of, parse, state_of

pytestmark = pytest.mark.unit


def packed(**fields: object) -> bytes:
    return msgpack.packb({"v": 1, **fields})


def test_a_word_of_a_stage() -> None:
    word = parse([b"capture/81", packed(kind="hello", pid=7, unknown=[1])])
    assert (word.sender, word.number, word.kind, word.fields["pid"]) == ("capture", 81, "hello", 7)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([b"capture/1"], "2 parts"),
        ([b"capture/1", b"", packed(kind="hello")], "2 parts"),
        ([b"capture", packed(kind="hello")], "identity"),
        ([b"capture/x", packed(kind="hello")], "identity"),
        ([b"\xff/1", packed(kind="hello")], "identity"),
        ([b"capture/1", b"\xc1"], "msgpack map"),
        ([b"capture/1", msgpack.packb([1])], "msgpack map"),
        ([b"capture/1", msgpack.packb({"v": 2, "kind": "hello"})], "version"),
        ([b"capture/1", packed()], "`kind`"),
        ([b"capture/1", packed(kind=3)], "`kind`"),
    ],
)
def test_malformed(parts: list[bytes], words: str) -> None:
    with pytest.raises(Malformed, match=words):
        parse(parts)


def test_who_said_it_is_told_as_far_as_its_identity_says_so(tmp_path: Path) -> None:
    context: zmq.Context[Any] = zmq.Context()
    control, lamp = Control(context, f"ipc://{tmp_path}/control"), context.socket(zmq.DEALER)
    heard: list[tuple[str, str]] = []
    control.on_malformed = lambda sender, error: heard.append((sender, error))
    lamp.identity = b"lamp/7"
    lamp.connect(f"ipc://{tmp_path}/control")
    for data in (b"\xc1", packed(kind=3), packed(kind="beat")):
        lamp.send(data)
    words: list[Word] = []
    while not words:
        assert control.socket.poll(5_000)
        words += control.heard()
    assert [(word.sender, word.kind) for word in words] == [("lamp", "beat")]
    assert [sender for sender, _ in heard] == ["lamp", "lamp"]
    assert control.malformed == 2
    lamp.close(), control.close(), context.term()


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_no_bytes_raise_anything_else(parts: list[bytes]) -> None:
    with contextlib.suppress(Malformed):
        parse(parts)


@pytest.mark.parametrize("fields", [{}, {"state": 3}, {"state": "stopping"}, {"state": "live", "reason": 1}])
def test_a_state_that_is_not_its_to_say(fields: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        state_of(Word("capture", 1, "state", fields))


def test_a_long_reason_is_cut() -> None:
    assert len(state_of(Word("capture", 1, "state", {"state": "live", "reason": "x" * 9999}))[1]) == 500


@pytest.mark.parametrize(
    "counts", [3, {"in": 3}, {"in": {"voice": "many"}}, {"out": {1: 1}}, {"in": {}, "out": {"voice": 1.5}}]
)
def test_counts_that_are_none(counts: object) -> None:
    with pytest.raises(Malformed):
        counts_of(Word("capture", 1, "beat", {"counts": counts}))


def test_counts() -> None:
    assert counts_of(Word("a", 1, "beat", {"counts": {"in": {"voice": 3}}})) == ({"voice": 3}, {})
    assert counts_of(Word("a", 1, "beat", {})) == ({}, {})
