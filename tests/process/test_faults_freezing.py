"""Parts of a whole pipeline frozen and killed, one after the other and at random: every question is answered."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from pathlib import Path

import pytest

from tests.rig.machine import Machine, Service

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = f"{ROOT}/tests/rig/short_answers.yaml"
SIMULATOR = f"stages.simulator={{script: {SCRIPT}, notice: false}}"
QUESTIONS = ("not_ill_disposed", "made_amiable")


def files(count: int) -> str:
    """So many questions, one after the other."""
    names = [f"{ROOT}/tests/recordings/{QUESTIONS[number % len(QUESTIONS)]}.wav" for number in range(count)]
    return f"stages.capture.files=[{', '.join(names)}]"


def outcomes(machine: Machine) -> list[str]:
    """How each spoken turn ended."""
    return [str(event.body["outcome"]) for event in machine.events("turn_ended", kind="speech")]


def to_the_end(machine: Machine, questions: int) -> None:
    """It ends by itself, and so many were answered."""
    machine.until(lambda: machine.process.poll() is not None, 120)
    machine.pump()
    assert machine.process.returncode == 0, "\n".join(machine.log.read())
    assert outcomes(machine).count("answered") >= questions, outcomes(machine)


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("m")


@pytest.mark.parametrize("moment", ["speech", "answer"])
def test_each_stage_in_turn_is_frozen(home: Path, moment: str) -> None:
    order = ("frontend", "session", "playback", "simulator")
    with Machine(home, "demo.yaml", [SIMULATOR, files(len(order))]) as machine:
        for number, stage in enumerate(order, start=1):
            told = "turn_started" if moment == "speech" else "first_audio"
            machine.until(lambda n=number, t=told: machine.events(t, turn=n))
            pid = machine.kill(stage, signal.SIGSTOP)
            machine.until(lambda s=stage, p=pid: machine.processes().get(s) not in (None, p))
            machine.until(lambda n=number: answered(machine) >= n)
        to_the_end(machine, len(order))


def answered(machine: Machine) -> int:
    return outcomes(machine).count("answered")


def test_a_frozen_microphone_is_back_and_the_next_question_is_answered(home: Path) -> None:
    with Machine(home, "demo.yaml", [SIMULATOR, files(2)]) as machine:
        machine.until(lambda: machine.events("speech_started"))
        pid = machine.kill("capture", signal.SIGSTOP)
        machine.until(lambda: machine.processes().get("capture") not in (None, pid))
        to_the_end(machine, 2)  # the recordings are spoken from the first on again


def test_kills_at_random_while_people_speak_and_are_answered(home: Path) -> None:
    dice, questions = random.Random(7), 3
    with Machine(home, "demo.yaml", [SIMULATOR, files(questions)]) as machine:
        machine.until(lambda: machine.events("speech_started"))
        for stage in dice.sample(("frontend", "session", "playback", "simulator") * 2, 6):
            with contextlib.suppress(KeyError, ProcessLookupError):
                machine.kill(stage)
            until = time.monotonic() + dice.uniform(1.0, 3.0)
            machine.until(lambda u=until: time.monotonic() > u)
        to_the_end(machine, questions)


def test_killed_again_while_it_is_reconnecting(home: Path) -> None:
    service = Service(home, SCRIPT)
    sets = ["stages.session.service=gemini", "stages.capture.lead_s=1.0", files(1)]
    try:
        with Machine(home, "demo.yaml", sets, service.environ) as machine:
            machine.until(lambda: machine.events("connection", up=True) and machine.events("speech_started"))
            service.kill()
            machine.until(lambda: machine.events("connection", up=False))
            for stage in ("session", "frontend", "session", "playback"):
                pid = machine.kill(stage)
                machine.until(lambda s=stage, p=pid: machine.processes().get(s) not in (None, p) and machine.live(s))
            service.start()
            to_the_end(machine, 1)
    finally:
        service.kill()


def test_a_killed_supervisor_is_followed_by_one_that_goes_on_with_the_visit(home: Path) -> None:
    with Machine(home, "demo.yaml", [SIMULATOR, files(2)]) as machine:
        machine.until(lambda: answered(machine) >= 1)
        pids = machine.processes()
        visit = machine.events("visit", open=True)[-1].body["id"]
        machine.process.kill()
        machine.until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids.values()), 3)
    with Machine(home, "demo.yaml", [SIMULATOR, files(1)]) as machine:
        machine.until(lambda: answered(machine) >= 1)
        assert machine.events("visit", open=True)[0].body["id"] == visit
