"""Moments at which it hurts: a part dies while the line is being changed; the wall clock is stepped under everybody."""

from __future__ import annotations

import datetime
import json
import struct
import subprocess
from pathlib import Path

import pytest

from tests.rig.machine import Machine

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]
RIG = ROOT / "tests" / "rig"
QUESTIONS = ("not_ill_disposed", "made_amiable")
HOUR_NS = 3_600_000_000_000


def files(count: int) -> str:
    """So many questions, one after the other."""
    names = [f"{ROOT}/tests/recordings/{QUESTIONS[number % len(QUESTIONS)]}.wav" for number in range(count)]
    return f"stages.capture.files=[{', '.join(names)}]"


def answered(machine: Machine) -> int:
    return len(machine.events("turn_ended", kind="speech", outcome="answered"))


def to_the_end(machine: Machine, questions: int) -> None:
    machine.until(lambda: machine.process.poll() is not None, 120)
    machine.pump()
    assert machine.process.returncode == 0, "\n".join(machine.log.read())
    assert answered(machine) >= questions


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("m")


def test_parts_die_while_the_line_is_being_changed(home: Path) -> None:
    """Each answer brings a goAway; in the gap after it the new line hangs for as long as a kill takes."""
    order = ("frontend", "session", "playback", "simulator")
    script = home / "script.yaml"
    script.write_text(
        (RIG / "short_answers.yaml").read_text()
        + "faults:\n  - {when: answer, go_away_ms: 6000}\n  - {when: connect, nth: 2-, freeze_ms: 600}\n"
    )
    simulator = f"stages.simulator={{script: {script}, notice: false}}"
    with Machine(home, "demo.yaml", [simulator, files(len(order))]) as machine:

        def renewed() -> int:
            return sum("line renewed" in line for line in machine.log.read())

        for number, stage in enumerate(order, start=1):
            machine.until(lambda n=number: renewed() >= n)
            pid = machine.kill(stage)
            machine.until(lambda s=stage, p=pid: machine.processes().get(s) not in (None, p))
            machine.until(lambda n=number: answered(machine) >= n)
        to_the_end(machine, len(order))
        assert len({event.body["id"] for event in machine.events("visit", open=True)}) == 1


class Clock:
    """A wall clock for one machine."""

    def __init__(self, folder: Path) -> None:
        self._file, library = folder / "clock", folder / "clock_shim.so"
        self.step(0)
        subprocess.run(
            ["cc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, RIG / "clock_shim.c"], check=True
        )
        self.environ = {"LD_PRELOAD": str(library), "CLOCK_FILE": str(self._file)}

    def step(self, hours: float) -> None:
        """So far from the true time is it from now on."""
        with self._file.open("r+b" if self._file.exists() else "wb", buffering=0) as file:
            file.write(struct.pack("=q", int(hours * HOUR_NS)))


def test_the_wall_clock_is_stepped_forth_and_back_in_mid_conversation(home: Path) -> None:
    clock = Clock(home)
    simulator = f"stages.simulator={{script: {RIG}/short_answers.yaml, notice: false}}"
    with Machine(home, "demo.yaml", [simulator, files(3)], clock.environ) as machine:
        for turn, hours in enumerate((24, -365 * 24, 30), start=1):
            machine.until(lambda n=turn: len(machine.events("speech_started")) >= n)
            clock.step(hours)
            machine.until(lambda n=turn: answered(machine) >= n)
            if turn == 1:  # what it kept is read again under another date
                pid = machine.kill("session")
                machine.until(lambda p=pid: machine.processes().get("session") not in (None, p))
        to_the_end(machine, 3)
        lines = [json.loads(line) for line in machine.log.read() if line.startswith("{")]
        dates = [datetime.datetime.fromisoformat(line["timestamp"]) for line in lines]
        assert max(dates) - min(dates) > datetime.timedelta(hours=30), "the clock was not stepped"
        assert not [line for line in lines if line["event"] == "stage hangs" or line.get("late_s", 0) > 60]
        assert {event.body["stage"] for event in machine.events("stage", state="restarting")} == {"session"}
        assert len({event.body["id"] for event in machine.events("visit", open=True)}) == 1
