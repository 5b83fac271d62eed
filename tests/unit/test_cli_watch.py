"""The screen of `status --watch`: what it shows of what it hears, at any size."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipeline.bus.listener import Heard
from pipeline.cli.watch import Board, draw

pytestmark = pytest.mark.unit


def heard(topic: str, ns: int = 2_000_000, **fields: object) -> Heard:
    return Heard(ns, topic, {"src": "frontend", "sent": 0, **fields}, 0, ns / 1e6)


def board() -> Board:
    shown = Board()
    for number in range(100):
        shown.hear(heard("audio.voice", 1_000_000 * (1 + number // 99), pcm=b""))
    shown.hear(heard("audio.voice", 10**12, pcm=b"", replay="x"))
    shown.hear(heard("event.level", body={"rms_dbfs": -31.0}))
    shown.hear(heard("event.caption", body={"who": "person", "text": "What do you", "final": False}))
    shown.hear(heard("event.caption", body={"who": "person", "text": "What do you [sell]?", "final": True}))
    shown.hear(heard("event.caption", body={"who": "machine", "text": "Tea.", "final": False}))
    shown.status = {
        "pipeline": {"name": "kiosk", "state": "degraded"},
        "stages": {"capture": {"state": "degraded", "pid": None, "restarts": 2, "reason": "gone [usb]"}},
        "verdict": {"code": "microphone_gone", "words": "microphone gone", "remedy": "plug it in"},
        "latency": {"ours_ms": {"p50": 12, "p95": 20}, "total_ms": {"p50": 750, "p95": 900}},
        "usage": {"day_usd": 0.5},
        "incidents": [{}],
    }
    return shown


def printed(shown: Board, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width, height=20, force_terminal=False).print(draw(shown))
    return out.getvalue()


def test_everything_is_on_the_screen() -> None:
    text = printed(board(), 160)
    for words in (
        "microphone gone; plug it in",
        "gone [usb]",
        "What do you [sell]?",
        "Tea.",
        "mic -31 dBFS",
        "0.50 USD",
    ):
        assert words in text
    assert "frontend/voice p50 1.0 p99 1.0 ms" in text, "a replay is no latency"


@pytest.mark.parametrize("width", [20, 40, 80, 300])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(len(line) for line in printed(board(), width).splitlines()) <= width


def test_a_supervisor_that_does_not_answer_is_said() -> None:
    shown = board()
    shown.trouble = "the pipeline of /run/x did not answer within 1 s"
    assert "did not answer" in printed(shown, 100)
    assert printed(Board(), 80)


def test_a_narrow_terminal_shows_every_stage_in_a_line_of_its_own() -> None:
    shown = board()
    gone = {"state": "degraded", "pid": 12345, "restarts": 2, "reason": "no sound server: " * 9}
    shown.status = {**shown.status, "stages": {name: gone for name in ("capture", "frontend", "session", "playback")}}
    lines = printed(shown, 40).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("capture"))
    assert [line.split()[0] for line in lines[first : first + 4]] == ["capture", "frontend", "session", "playback"]
    assert "no sound server" in lines[first]
