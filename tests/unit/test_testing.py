"""What we give people to try their stages with, and the skeleton of a stage."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from pipeline import Audio, Event, Stage
from pipeline.cli import run_command
from pipeline.config.options import OptionError
from pipeline.testing import Trial, blocks, silence, tone

pytestmark = pytest.mark.unit


class Echo(Stage):
    """Says each block `delay_s` later."""

    delay_s: float = 0.5

    def start(self) -> None:
        self.steps = 0
        self.state("waiting", "for sound")

    def step(self) -> float:
        self.steps += 1
        return 0.01

    def on_audio(self, audio: Audio) -> None:
        self.state("live")
        self.after(self.delay_s, lambda: self.emit("voice", audio))

    def on_visitor_left(self, event: Event) -> None:
        self.tell("goodbye", sticky=True, by=event.src)
        self.ended()


def test_time_is_the_trials_and_timers_run_in_it() -> None:
    with Trial(Echo, delay_s=1.0) as trial:
        assert trial.states == [("waiting", "for sound")]
        trial.hear(*blocks(tone(1000, ms=60)))
        trial.pass_time(0.99)
        assert trial.emitted == []
        trial.pass_time(0.01)
        assert [audio.t for audio in trial.emitted] == [0, 20_000_000, 40_000_000]
        assert trial.state == "live"
        assert isinstance(trial.stage, Echo)
        assert 95 <= trial.stage.steps <= 105


def test_events_arrive_and_are_told() -> None:
    with Trial(Echo) as trial:
        trial.event("visitor_left", src="door")
        trial.event("nobody_listens")
        assert trial.events("goodbye") == [{"by": "door"}]
        assert trial.ended


def test_options_are_checked_as_in_a_configuration() -> None:
    with pytest.raises(OptionError, match="delay_s"):
        Trial(Echo, delay_s="soon")


def test_sounds_to_feed() -> None:
    assert silence(ms=40).pcm == bytes(2 * 640)
    assert abs(tone(1000, ms=100).samples).max() == 1000
    assert [block.frames for block in blocks(tone(1, ms=50))] == [320, 320, 160]


def test_a_new_stage_passes_its_own_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ["new", "stage", "my_filter", "--in", str(tmp_path)]
    assert run_command(argv) == 0
    assert run_command(argv) == 1, "nothing is written over"
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = importlib.util.spec_from_file_location("test_my_filter", tmp_path / "test_my_filter.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.test_what_is_heard_is_said()
    sys.modules.pop("my_filter")


@pytest.mark.parametrize("name", ["Gain", "my-filter", "class", "1st", ""])
def test_a_name_that_python_can_not_import_is_refused(name: str, tmp_path: Path) -> None:
    assert run_command(["new", "stage", name, "--in", str(tmp_path)]) == 1
    assert not list(tmp_path.iterdir())
