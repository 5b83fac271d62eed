"""What is made of a tape, whole or not: a summary, sound, subtitles, the same words again."""

from __future__ import annotations

import argparse
import wave
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.bus.tape import Entry, Recorder
from pipeline.cli import replay, tape
from pipeline.cli.subtitles import cues_of
from pipeline.stages.replay import Replay
from pipeline.testing import Trial

pytestmark = pytest.mark.unit

S = 1_000_000_000
BEGAN = 1_000 * S
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def event(at_s: float, name: str, src: str = "session", **body: Any) -> Entry:
    body = {key: BEGAN + round(value * S) if key in ("t", "start_t") else value for key, value in body.items()}
    ns = BEGAN + round(at_s * S)
    return Entry(ns, f"event.{name}", {"v": 1, "src": src, "inst": 1, "seq": 0, "sent": ns, "body": body})


def sound(at_s: float, stream: str, pcm: bytes, rate: int, src: str) -> Entry:
    t = BEGAN + round(at_s * S)
    fields = {"v": 1, "src": src, "inst": 1, "seq": 0, "sent": t, "rate": rate, "channels": 1, "format": "s16le"}
    fields |= {"t": t, "pcm": pcm} if stream != "played" else {"t": t, "epoch": 1, "at": 0, "pcm": pcm}
    return Entry(t + 25_000_000, f"audio.{stream}", fields)


def write(path: Path, entries: Iterable[Entry]) -> Path:
    with path.open("wb") as file:
        recorder = Recorder(file, {"privacy": "everything"}, 10**8)
        for entry in entries:
            recorder.write(*entry)
    return path


def export(what: str, path: Path) -> int:
    return tape.run(argparse.Namespace(what=what, tape=path, out=None))


def said(at_s: float, who: str, text: str, turn: int, *, final: bool = True) -> Entry:
    return event(at_s, "caption", who=who, text=text, turn=turn, final=final)


def test_words_stand_where_they_were_said_and_not_where_they_were_told() -> None:
    entries = [
        event(3.0, "speech_started", "frontend", t=2.9),
        event(3.0, "turn_started", turn=1, kind="speech"),
        event(5.9, "speech_ended", "frontend", t=5.5, start_t=2.9),
        said(6.3, "person", "what does it cost", 1),
        said(6.3, "machine", "Twelve", 1, final=False),
        event(6.4, "audible", "playback", epoch=1, at=0, t=6.5),
        event(9.0, "speech_started", "frontend", t=8.9),
        event(9.0, "turn_started", turn=2, kind="speech"),
        said(9.4, "machine", "Twelve pounds.", 1),
        event(9.8, "speech_ended", "frontend", t=9.7, start_t=8.9),
        event(10.0, "speech_started", "frontend", t=9.9),
        event(10.9, "speech_ended", "frontend", t=10.8, start_t=9.9),
        said(11.5, "person", "and for <children> & dogs", 2),
        said(12.0, "machine", "They are", 2, final=False),
    ]
    cues = [(cue.start_ns / S, cue.end_ns / S, cue.who, cue.text) for cue in cues_of(entries)]
    assert cues == [  # from the first message on, at 3.0
        (0.0, 2.5, "person", "what does it cost"),
        (3.5, 6.4, "machine", "Twelve pounds."),
        (5.9, 7.8, "person", "and for <children> & dogs"),
        (9.0, 9.0, "machine", "They are"),
    ]


def test_both_sides_and_the_words_have_one_clock(tmp_path: Path) -> None:
    def tone(rate: int) -> bytes:
        return np.rint(np.sin(np.arange(rate // 50) * 2 * np.pi * 1000 / rate) * 8_000).astype("<i2").tobytes()

    def side(stream: str, rate: int, src: str, loud: range) -> list[Entry]:
        quiet = bytes(rate // 50 * 2)
        return [sound(n * 0.02, stream, tone(rate) if n in loud else quiet, rate, src) for n in range(200)]

    entries = side("voice", 16_000, "frontend", range(50, 100)) + side("played", 24_000, "playback", range(125, 150))
    words = [event(1.0, "speech_started", "frontend", t=1.0), event(2.4, "speech_ended", "frontend", t=2.0)]
    words += [said(2.4, "person", "Ada", 1), said(2.5, "machine", "Yes", 1, final=False)]
    words += [event(2.5, "audible", "playback", t=2.5, epoch=1, at=0), said(3.0, "machine", "Yes", 1)]
    path = write(tmp_path / "a.tape", sorted(entries + words, key=lambda entry: entry.ns))
    assert export("wav", path) == export("vtt", path) == 0
    with wave.open(str(path.with_suffix(".wav"))) as file:
        sides = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    for channel, (begin, end) in enumerate([(1.0, 2.0), (2.5, 3.0)]):
        loud = np.flatnonzero(np.abs(sides[:, channel]) > 1_000) / 16_000
        assert loud[0] == pytest.approx(begin, abs=0.02)
        assert loud[-1] == pytest.approx(end, abs=0.02)
    lines = path.with_suffix(".vtt").read_text().splitlines()
    assert lines[2:4] == ["00:00:01.000 --> 00:00:02.000", "<v person>Ada"]
    assert lines[5:7] == ["00:00:02.500 --> 00:00:03.000", "<v machine>Yes"]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
KEYS = st.sampled_from(
    ["t", "start_t", "turn", "who", "text", "final", "epoch", "at", "id", "self", "event", "key", "x"]
)
BODIES = st.dictionaries(KEYS, ANY, max_size=6)
NAMES = ["speech_started", "speech_ended", "turn_started", "audible", "caption", "heard", "mine", "", "tool_call"]
TOPICS = st.sampled_from([f"event.{name}" for name in NAMES] + ["audio.voice", "audio.played", "image.in", "x", ""])
FIELDS = st.fixed_dictionaries(
    {"v": st.just(1) | ANY, "src": st.just("session") | ANY, "inst": st.just(1), "seq": st.just(0), "sent": st.just(5)},
    optional={
        "body": BODIES | ANY,
        "pcm": st.binary(max_size=64) | ANY,
        "pcm_bytes": ANY,
        "rate": st.just(16_000) | ANY,
        "channels": st.just(1) | ANY,
        "format": st.just("s16le"),
        "t": st.integers(BEGAN, BEGAN + 60 * S) | ANY,
        "epoch": ANY,
        "at": ANY,
        "replay": st.none() | ANY,
    },
)
TIMES = st.integers(BEGAN, BEGAN + 20 * S)
ENTRIES = st.lists(st.builds(Entry, TIMES, TOPICS, FIELDS), max_size=8)


@FUZZ
@given(entries=ENTRIES, what=st.sampled_from(["info", "vtt", "wav"]))
def test_a_strange_tape_is_exported_as_far_as_it_goes(
    entries: list[Entry], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tape, "LONGEST_S", 60)
    assert export(what, write(tmp_path / "a.tape", entries)) == 0


@FUZZ
@given(entries=ENTRIES)
def test_a_strange_tape_is_replayed_as_far_as_it_goes(entries: list[Entry], tmp_path: Path) -> None:
    path = write(tmp_path / "a.tape", entries)
    replay.said_by(replay.Tape(path), "session")
    with Trial(Replay, tape=str(path), source="session") as trial:
        trial.pass_time(25)
        assert trial.events("tape_ended")
        for told in trial.told:
            msgpack.packb(told.body)


def test_a_tape_without_sound_is_refused_as_a_microphone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.tape", [sound(at, "mic", b"", 16000, "capture") for at in range(3)])
    args = argparse.Namespace(tape=path, config="demo.yaml", stage="capture", source=None, speed=1.0, sets=[])
    assert replay.run(args) == 1
    assert "record with --privacy everything" in capsys.readouterr().err


@FUZZ
@given(data=st.data(), what=st.sampled_from(["info", "vtt", "wav"]))
def test_of_a_torn_tape_everything_before_the_damage_is_used_and_the_damage_is_told(
    data: st.DataObject, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [said(n, "person", f"word {n}", n) for n in range(6)]
    path = write(tmp_path / "a.tape", entries)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    kinds = {"cut": b"", "flipped": bytes([whole[cut] ^ 0x55]) + whole[cut + 1 :], "foreign": b"RIFF" * 20}
    path.write_bytes(whole[:cut] + kinds[data.draw(st.sampled_from(sorted(kinds)))])
    capsys.readouterr()
    code = export(what, path)
    out, err = capsys.readouterr()
    header = len(write(tmp_path / "header.tape", []).read_bytes())
    before = (cut - header) // ((len(whole) - header) // 6) if cut >= header else None
    if code == 1:
        assert before is None
        assert str(path) in err
        return
    damaged = "damaged at byte" in err
    assert code == (tape.DAMAGED if damaged else 0)
    assert damaged or path.stat().st_size == cut, "cut between two records, it is a shorter tape"
    if what == "vtt":
        assert all(f"word {n}" in path.with_suffix(".vtt").read_text() for n in range(before or 0))
    elif what == "info":
        assert f"{before} messages" in out
