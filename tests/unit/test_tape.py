"""Tapes, what may be kept on them, patterns, gaps."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.bus import privacy
from pipeline.bus.codec import Stamp
from pipeline.bus.listener import Gaps
from pipeline.bus.patterns import Patterns
from pipeline.bus.tape import Damaged, Recorder, Tape, TapeError
from pipeline.log import secrets_in

pytestmark = pytest.mark.unit


BEGAN = 10**15
"""So that every record has the same size."""


def recorded(path: Path, count: int, max_bytes: int = 10**6) -> Path:
    with path.open("wb") as file:
        recorder = Recorder(file, {"privacy": "everything"}, max_bytes)
        for number in range(count):
            recorder.write(BEGAN + number, "event.level", {"v": 1, "seq": number, "body": {"rms_dbfs": -20.0}})
    return path


def test_what_was_recorded_is_read_in_order(tmp_path: Path) -> None:
    tape = Tape(recorded(tmp_path / "a.tape", 5))
    assert tape.header["privacy"] == "everything"
    assert [(entry.ns, entry.fields["seq"]) for entry in tape.entries()] == [(BEGAN + n, n) for n in range(5)]
    assert len(list(tape.entries())) == 5, "a second pass begins at the start"


@given(data=st.data())
def test_a_torn_tape_gives_all_that_stands_before_the_damage(data: st.DataObject, tmp_path_factory: Any) -> None:
    path = recorded(tmp_path_factory.mktemp("tape") / "a.tape", 8)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    flip = data.draw(st.booleans())
    torn = whole[:cut] + (bytes([whole[cut] ^ 0xFF]) + whole[cut + 1 :] if flip else b"")
    path.write_bytes(torn)
    got: list[int] = []
    with contextlib.suppress(TapeError):
        got.extend(entry.fields["seq"] for entry in Tape(path).entries())
    assert got == list(range(len(got))), "nothing out of order, nothing invented"
    one = (len(whole) - _start(path, whole)) // 8
    assert len(got) >= (cut - _start(path, whole)) // one


def _start(path: Path, whole: bytes) -> int:
    path.with_suffix(".whole").write_bytes(whole)
    return Tape(path.with_suffix(".whole"))._start


def test_a_damage_says_where_and_how_much_is_whole(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.tape", 3)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(
        Damaged, match=r"damaged at byte \d+: it ends within a record; the 2 messages before it are whole"
    ):
        list(Tape(path).entries())


def test_what_is_no_tape_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"RIFF1234")
    with pytest.raises(TapeError, match="expected a tape"):
        Tape(tmp_path / "x")
    with pytest.raises(TapeError, match="No such file"):
        Tape(tmp_path / "y")


def test_a_tape_ends_at_its_bound() -> None:
    file = io.BytesIO()
    recorder = Recorder(file, {}, 500)
    while recorder.write(0, "event.level", {"body": {}}):
        assert recorder.bytes <= 500
    assert file.tell() == recorder.bytes > 450


VOICE = {"v": 1, "src": "frontend", "seq": 1, "pcm": b"\1\2" * 320, "rate": 16000, "t": 5}
CAPTION = {"v": 1, "src": "session", "seq": 1, "body": {"who": "person", "text": "my name is Ada", "turn": 3}}


@pytest.mark.parametrize("kind", ["everything", "no_audio", "no_words"])
def test_privacy_keeps_what_it_says(kind: privacy.Privacy) -> None:
    voice, caption = privacy.keep("audio.voice", VOICE, kind), privacy.keep("event.caption", CAPTION, kind)
    assert (voice["pcm"] == VOICE["pcm"]) == (kind == "everything")
    assert voice.get("pcm_bytes", 640) == 640
    assert ("Ada" in repr(caption)) == (kind != "no_words")
    assert caption["body"]["who"] == "person"
    assert VOICE["pcm"] == b"\1\2" * 320, "what is passed on is not changed"


def test_words_of_a_stage_that_nobody_knows_are_words() -> None:
    kept = privacy.keep("event.my_notes", {"body": {"note": "Ada was here", "count": 3}}, "no_words")
    assert kept["body"] == {"note": "(12 characters)", "count": 3}


@pytest.mark.parametrize("kind", ["everything", "no_audio", "no_words"])
def test_secrets_are_never_kept(kind: privacy.Privacy) -> None:
    known = "hunter2-hunter2"
    body = {
        "url": f"https://x/?k={known}",
        "api_key": "abc",
        "nested": [{"token": "t0ken"}, "AIza" + "x" * 35],
        "reason": "ya29." + "y" * 30,
    }
    kept = repr(privacy.keep("event.state", {"body": body}, kind, secrets_in({"MY_API_KEY": known})))
    for secret in (known, "'abc'", "t0ken", "AIzax", "ya29."):
        assert secret not in kept


@pytest.mark.parametrize(
    ("patterns", "fit", "not_fit", "topics"),
    [
        ([], ("a", "audio.mic"), None, ("",)),
        (["event.*"], ("a", "event.level"), ("a", "audio.mic"), ("event.",)),
        (["gain/voice"], ("gain", "audio.voice"), ("frontend", "audio.voice"), ("audio.voice",)),
        (["gain/*"], ("gain", "audio.voice"), ("gain", "event.level"), ("audio.",)),
        (["gain/event.*"], ("gain", "event.level"), ("frontend", "event.level"), ("event.",)),
        (["event.*", "event.level"], ("a", "event.level"), ("a", "audio.x"), ("event.",)),
        (["audio.voice"], ("a", "audio.voice"), ("a", "audio.voices"), ("audio.voice",)),
    ],
)
def test_patterns(patterns: list[str], fit: tuple[str, str], not_fit: tuple[str, str] | None, topics: object) -> None:
    chosen = Patterns(patterns)
    assert chosen.fit(*fit)
    assert not_fit is None or not chosen.fit(*not_fit)
    assert chosen.topics == topics


def test_gaps_are_counted_and_sticky_words_are_none() -> None:
    gaps = Gaps(since_ns=100)

    def missed(seq: int, *, topic: str = "audio.mic", inst: int = 1, sent: int = 200, **fields: Any) -> int | None:
        return gaps.missed(Stamp(topic, "capture", inst, seq, sent), fields)

    assert [missed(seq) for seq in (7, 8, 11)] == [0, 0, 2]
    assert missed(9, replay="x") == 0, "what is replayed came before"
    assert missed(3, inst=2) == 3, "a new process counts from 0"
    assert missed(9, topic="event.state", sent=5) == 0
    assert missed(9, topic="event.state", sent=5) is None
    assert [missed(seq, topic="event.state") for seq in (20, 21, 23)] == [0, 0, 1]
