"""What commands answer to what can't be: in words, with the next step."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from pipeline import places
from pipeline.bus.patterns import Patterns
from pipeline.cli import changing, run_command, running, tap, volume
from pipeline.config import voices
from pipeline.config.tables import Restart, StageTable

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["statsu"], "no command 'statsu'; did you mean status?"),
        (["xyzzy"], "no command 'xyzzy'; expected one of run, check,"),
        ([], "the following arguments are required: COMMAND"),
        (["simulate", "--port", "x"], "argument --port: expected a port from 0 to 65535, got 'x'"),
    ],
)
def test_a_command_line_that_can_not_be(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run_command(argv)
    assert said in capsys.readouterr().err


def test_a_pipeline_that_could_not_write_down_what_it_was_started_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert changing.configuration(tmp_path) is None
    assert capsys.readouterr().err.startswith(f"{tmp_path}/bus.json: expected what the pipeline was started with")


@pytest.mark.parametrize("percent", ["loud", "101", "-1", "", "٣"])
def test_a_volume_that_is_none(percent: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert volume.run(argparse.Namespace(percent=percent, run=None, name=None)) == 1
    assert capsys.readouterr().err == f"expected a volume of 0 to 100 percent, got {percent!r}\n"


def test_a_tap_on_a_stage_that_is_not_there_says_so_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places.write_connection(tmp_path, {"endpoints": {"gain": "", "session": ""}})
    look = tap._saying_strangers(lambda: tmp_path, Patterns(["gian/voice", "*/event.*", "gain/voice", "event.*"]))
    assert look() == look() == tmp_path
    said = capsys.readouterr().err
    assert said == "waiting: no stage is called 'gian'; the stages are gain, session\n"


@pytest.mark.parametrize(
    ("verdict", "how"),
    [
        ("ended with exit code 78: gain: no numpy", "ended with exit code 78: gain: no numpy"),
        ("stopped: stop was asked for", "stopped: stop was asked for"),
    ],
)
def test_a_pipeline_that_runs_no_more_says_why(tmp_path: Path, verdict: str, how: str) -> None:
    left = {"name": "kiosk", "verdict": verdict, "config": "/etc/kiosk.yaml"}
    places.write_end(tmp_path, left)
    said = running.past([tmp_path / "absent", tmp_path])
    assert said == f"kiosk does not run, for 0 s: {how}; voice-pipeline run /etc/kiosk.yaml"
    assert running.past([tmp_path], "demo") == ""
    places.write_connection(tmp_path, {**left, "verdict": "ok"})
    os.utime(places.end_file(tmp_path), (0, 0))
    assert "it was killed, or the machine; its last state: ok" in running.past([tmp_path])


def session(voice: object) -> list[StageTable]:
    return [StageTable("session", use="pipeline.stages.session:Session", options={"voice": voice}, restart=Restart())]


def test_a_voice_with_a_typo_is_a_warning() -> None:
    [line] = voices.unknown(session("Aoade"))
    assert line == "stages.session.voice: no voice of the service is known as 'Aoade'; did you mean Aoede?"
    assert not list(voices.unknown(session("aoede")))
    assert not list(voices.unknown([]))
