"""`health:`, `black_box:` and `traces:` beside the stages."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import ConfigErrors, Pipeline, load

pytestmark = pytest.mark.unit


def loaded(folder: Path, text: str) -> Pipeline:
    (folder / "x.yaml").write_text(f"extends: demo.yaml\n{text}")
    return load(str(folder / "x.yaml"))


def test_they_become_stages_that_are_not_required(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path, 'health: {listen: "127.0.0.1:8601"}\nblack_box:\ntraces:\nbudget_ms: 200\n')
    health, box = pipeline.stage("health"), pipeline.stage("black_box")
    assert (health.use, health.required) == ("pipeline.stages.health:Health", False)
    assert health.options == {"listen": "127.0.0.1:8601"}
    assert (box.use, box.required, box.options) == ("pipeline.stages.black_box:BlackBox", False, {})
    assert pipeline.stage("traces").use == "pipeline.stages.traces:Tracing"
    assert pipeline.budget_ms == 200


def test_null_takes_one_away_and_a_mistake_is_shown_where_it_stands(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        loaded(tmp_path, "health: null\n").stage("health")
    with pytest.raises(ConfigErrors, match=r"x\.yaml:3: .*listn.*did you mean 'listen'"):
        loaded(tmp_path, "health:\n  listn: none\n")
    with pytest.raises(ConfigErrors, match=r"x\.yaml:2: "):
        loaded(tmp_path, "black_box: {minutes: -1}\n")
    with pytest.raises(ConfigErrors, match=r"x\.yaml:2: black_box: no table; expected black_box: \{OPTION: VALUE\}"):
        loaded(tmp_path, "black_box: 5\n")


def test_what_a_place_lacks_is_said_with_what_is_lost(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from pipeline import Stage\nfrom pipeline.stages.frontend import Frontend\n\n"
        "class Ear(Stage):\n    reads = ('mic',)\n    emits = ('voice',)\n\n    def on_audio(self, audio):\n"
        "        self.tell('speech_started', t=audio.t)\n        self.emit('voice', audio)\n\n"
        "class Mine(Frontend):\n    pass\n"
    )
    said = loaded(tmp_path, 'stages: {frontend: {use: "mine:Ear"}}\n').warnings
    assert len(said) == 1
    assert said[0].startswith("stages.frontend: mine:Ear never tells event.speech_ended: no latency")
    assert loaded(tmp_path, 'stages: {frontend: {use: "mine:Mine"}}\n').warnings == ()
    assert loaded(tmp_path, "").warnings == ()
    said = loaded(tmp_path, "stages: {capture: {command: [cat], emits: [mic]}}\n").warnings
    assert said == (
        "stages.capture: a program in this place has to bring a memory (`replays`): "
        "without it what is said while frontend is replaced is lost",
    )


def test_a_machine_that_can_not_speak_or_is_never_spoken_to_is_told(tmp_path: Path) -> None:
    said = loaded(tmp_path, "stages: {capture: {use: wav_source, files: []}, playback: null}\n").warnings
    assert len(said) == 2
    assert said[0].startswith("stages.capture: no `files`")
    assert said[1].startswith("stages.playback: missing")
    assert loaded(tmp_path, "stages: {capture: {use: wav_source, files: [hello.wav]}}\n").warnings == ()
