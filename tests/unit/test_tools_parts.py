"""Results, noise, the wire, what has been begun: the small parts of tools."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.tools import wire
from pipeline.tools.begun import MOST, Begun
from pipeline.tools.noise import LINES_A_S, LONGEST_LINE, Noise
from pipeline.tools.options import Function, Server
from pipeline.tools.results import Unsayable, bounded, plain
from pipeline.tools.staffing import Staffing

pytestmark = pytest.mark.unit


class Size(enum.Enum):
    SMALL = "small"


@dataclass
class Order:
    size: Size
    when: datetime.date


def test_results_become_plain_data() -> None:
    given = {
        1: Order(Size.SMALL, datetime.date(2026, 1, 2)),
        "set": {1},
        "price": decimal.Decimal("1.20"),
        "x": (None,),
    }
    assert plain(given) == {
        "1": {"size": "small", "when": "2026-01-02"},
        "set": [1],
        "price": "1.20",
        "x": [None],
    }


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (object(), "it returned a object, which the model can't be given"),
        (b"x", "it returned a bytes"),
        (float("nan"), "the result holds nan"),
        ([float("inf")], "the result holds inf"),
        (list(range(100)), "the result has 390 bytes, more than 100"),
    ],
)
def test_results_that_cannot_be_said(value: Any, words: str) -> None:
    with pytest.raises(Unsayable) as error:
        bounded(value, 100)
    assert words in str(error.value)


def test_a_result_that_holds_itself() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(Unsayable):
        bounded(ring, 1_000)


def test_a_text_is_cut_at_a_character_and_says_so() -> None:
    assert bounded("ä" * 50, 100) == "ä" * 50
    assert bounded("ä" * 51, 99) == "ä" * 49 + "… [cut: 51 characters, the first 49 are here]"
    assert bounded("half \ud800", 100) == "half ?", "a lone surrogate is no text on any wire"


def test_noise_is_bounded_in_lines_and_length() -> None:
    noise = Noise()
    assert noise.feed(b"one\ntw", 0) == ["one"]
    assert noise.feed(b"o\n\n\xff\n", 1) == ["two", "\ufffd"]
    kept = noise.feed(b"x" * 1_000 + b"\n" + b"line\n" * 100, 2)
    assert len(kept) == LINES_A_S - 3
    assert len(kept[0]) == LONGEST_LINE
    assert noise.feed(b"later\n", 1_000_000_000) == ["later [94 lines before it were dropped]"]
    for _ in range(100):
        noise.feed(b"z" * 100_000, 2)
    (rest,) = noise.end()
    assert len(rest) == LONGEST_LINE
    noise.feed(b"line\n" * 100, 3_000_000_000)
    assert noise.end() == ["[90 lines after it were dropped]"]
    assert noise.end() == []


def test_messages_in_pieces_and_garbage() -> None:
    unpacker = wire.Unpacker()
    data = wire.pack({"a": "ü"}) + wire.pack({"b": 1})
    assert [m for at in range(len(data)) for m in unpacker.feed(data[at : at + 1])] == [{"a": "ü"}, {"b": 1}]
    for bad in (b"\xff\xff\xff\xff", b"\0\0\0\1{", b"\0\0\0\2[]", b"GET / HTTP/1.1\r\n"):
        with pytest.raises(wire.Garbled):
            list(wire.Unpacker().feed(bad))


def test_what_was_begun_outlives_the_process(tmp_path: Path) -> None:
    first = Begun(tmp_path, fresh=True)
    for number in range(MOST + 2):
        first.add(str(number))
    first.discard("5")
    second = Begun(tmp_path, fresh=False)
    assert "5" not in second.before
    assert {"4", str(MOST + 1)} <= second.before
    assert len(second.before) == MOST - 1
    assert Begun(tmp_path, fresh=True).before == frozenset(), "another run of the pipeline"
    (tmp_path / "tools.begun").write_text("{")
    assert Begun(tmp_path, fresh=False).before == frozenset()
    Begun(tmp_path / "nowhere", fresh=False).add("x")
    (tmp_path / "tools.begun").write_text(json.dumps(7))
    assert Begun(tmp_path, fresh=False).before == frozenset()


def test_options_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "server").write_text("")
    servers = {"a": Server(command=[]), "b": Server(command=["./server"]), "c": Server(command=["no-such-program"])}
    functions = [Function(use="a:b", tells=event) for event in ("flush", "open door", "end_visit")]
    staffing = Staffing(functions, servers, tmp_path, tmp_path, 100)
    assert list(staffing.problems()) == [
        "functions.0.tells: got 'flush'; expected an event of your own, or end_visit",
        "functions.1.tells: got 'open door'; expected an event of your own, or end_visit",
        "mcp.a.command: is empty; expected a program and its arguments, such as [python3, orders.py]",
        f"mcp.b.command: expected an executable program, found none called ./server in {tmp_path}",
        "mcp.c.command: expected an executable program, found none called no-such-program on PATH",
    ]
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "mcp: needs the client library; pip install 'voice-pipeline[mcp]'" in list(staffing.problems())
