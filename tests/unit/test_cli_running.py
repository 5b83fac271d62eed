"""Which running pipeline a command means, and how its state is printed."""

import argparse
from pathlib import Path

import pytest

from pipeline import places
from pipeline.cli import running, status

pytestmark = pytest.mark.unit


def found(monkeypatch: pytest.MonkeyPatch, names: list[str], name: str | None = None) -> Path:
    monkeypatch.delenv("PIPELINE_RUN_DIR", raising=False)
    monkeypatch.setattr(places, "find_runs", lambda: [places.FoundRun(n, Path("/run") / n, 7) for n in names])
    return running.find(argparse.Namespace(run=None, name=name))


def test_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, ["kiosk"]) == Path("/run/kiosk")


def test_the_one_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, ["kiosk", "demo"], "demo") == Path("/run/demo")


@pytest.mark.parametrize(
    ("names", "name", "words"),
    [
        ([], None, "no pipeline runs; start one with `voice-pipeline run CONFIG`"),
        (["kiosk"], "demo", "no pipeline called demo runs"),
        (["kiosk", "demo"], None, r"2 pipelines run: kiosk \(pid 7\), demo \(pid 7\); choose one with --name or --run"),
    ],
)
def test_none_or_several(monkeypatch: pytest.MonkeyPatch, names: list[str], name: str | None, words: str) -> None:
    monkeypatch.setattr(places, "find_past_runs", list)
    with pytest.raises(running.NotFound, match=words):
        found(monkeypatch, names, name)


def test_who_waits_is_told_once_and_not_each_second(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = iter(range(100))

    def not_found(_: argparse.Namespace) -> Path:
        raise running.NotFound(f"kiosk does not run, for {running.duration(next(seconds))}: stopped")

    monkeypatch.setattr(running, "find", not_found)
    look = running.wait_for(argparse.Namespace(run=None, name=None))
    assert {look() for _ in range(70)} == {None}
    assert capsys.readouterr().err.splitlines() == [
        "waiting: kiosk does not run, for 0 s: stopped",
        "waiting: kiosk does not run, for 1 min 0 s: stopped",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"), [(3.9, "3 s"), (61, "1 min 1 s"), (7322, "2 h 2 min"), (90_000, "1 d 1 h")]
)
def test_durations(seconds: float, words: str) -> None:
    assert running.duration(seconds) == words


def test_a_table_for_people() -> None:
    reply = {
        "pipeline": {
            "name": "kiosk",
            "state": "degraded",
            "reason": "capture: no microphone",
            "pid": 1,
            "uptime_s": 5.0,
        },
        "stages": {
            "capture": {"state": "degraded", "reason": "no microphone", "pid": None, "restarts": 2},
            "session": {"state": "live", "reason": "", "pid": 3, "restarts": 0},
        },
        "verdict": {
            "code": "microphone_gone",
            "words": "microphone gone: no microphone",
            "remedy": "plug it in",
            "for_s": 61.0,
            "heard_s": 90.0,
            "answered_s": None,
        },
    }
    assert status.table(reply, colour=False) == [
        "kiosk: microphone gone: no microphone, for 1 min 1 s; last heard 1 min 30 s ago; plug it in",
        "  degraded, for 5 s, pid 1",
        "  capture: no microphone",
        "  capture  degraded    pid -, restarted 2x: no microphone",
        "  session  live        pid 3",
    ]
    assert "\033[31mmicrophone gone" in status.table(reply, colour=True)[0]
    assert "\033[33mdegraded" in status.table(reply, colour=True)[1]
