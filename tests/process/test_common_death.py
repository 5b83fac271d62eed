"""Everything dies at once while somebody waits for an answer: nothing but a file in the run directory knows what they
said."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pipeline.live.spool import FILE
from tests.rig.machine import Machine

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("capture", "frontend", "session", "playback")
SETS = (
    f"stages.simulator={{script: {ROOT}/tests/rig/short_answers.yaml, notice: false}}",
    f"stages.capture.files=[{ROOT}/tests/recordings/not_ill_disposed.wav]",
    "stages.capture.lead_s=6",
)
"""The person is silent for 6 s after each start: what is answered before that was said before the deaths."""

LONG = "We are open every day from ten in the morning until six in the evening, and the last entry is at five."


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("m")


def answered_before_they_speak_again(machine: Machine) -> None:
    machine.until(lambda: machine.events("turn_ended", outcome="answered"))
    assert machine.events("audible")
    assert len(machine.events("turn_ended")) == 1
    assert len({event.body["t"] for event in machine.events("speech_started")}) <= 1
    machine.until(lambda: not (machine.run_dir / FILE).exists())


def test_a_question_is_answered_once_though_all_stages_die_at_its_end(home: Path) -> None:
    with Machine(home, "demo.yaml", SETS) as machine:
        machine.until(lambda: machine.events("speech_ended"))
        for pid in [machine.processes()[stage] for stage in STAGES]:
            os.kill(pid, signal.SIGKILL)
        answered_before_they_speak_again(machine)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_question_is_answered_though_the_pipeline_is_started_anew_at_its_end(home: Path, number: int) -> None:
    with Machine(home, "demo.yaml", SETS) as machine:
        machine.until(lambda: machine.events("speech_ended"))
        machine.process.send_signal(number)
        machine.process.wait(20)
    with Machine(home, "demo.yaml", SETS) as machine:
        answered_before_they_speak_again(machine)


@pytest.mark.parametrize("speed", [1, 8])
def test_an_answer_is_given_again_though_all_stages_die_while_it_plays(home: Path, speed: int) -> None:
    """At eight times the speed of speech all of it has come when they die."""
    (script := home / "script.yaml").write_text(f"version: 1\nspeed: {speed}\nspoken:\n  - say: {LONG}\n")
    with Machine(home, "demo.yaml", [*SETS, f"stages.simulator.script={script}"]) as machine:
        machine.until(lambda: machine.events("audible"))
        machine.until(lambda: any(event.body["at"] > 24_000 for event in machine.events("heard")))
        assert not machine.events("turn_ended")
        for pid in [machine.processes()[stage] for stage in STAGES]:
            os.kill(pid, signal.SIGKILL)
        machine.until(lambda: len(machine.events("audible")) > 1)
        machine.until(lambda: machine.events("turn_ended", outcome="answered"))
        assert len({event.body["t"] for event in machine.events("speech_started")}) <= 1
