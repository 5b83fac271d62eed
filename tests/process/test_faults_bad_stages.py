"""A person's own stage misbehaves in every way that we know; the conversation beside it is answered all the same."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.rig.machine import Machine, alive

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]
CONVERSATION = (
    f"stages.simulator={{script: {ROOT}/tests/rig/short_answers.yaml, notice: false}}",
    f"stages.capture.files=[{ROOT}/tests/recordings/not_ill_disposed.wav, {ROOT}/tests/recordings/made_amiable.wav]",
)
FOREIGN = ROOT / "tests" / "rig" / "foreign_stage.py"
DEADLY = ("HangsInNativeCode", "Floods", "ExitsWithZero", "ForksAndDies", "RunsOutOfDescriptors", "RunsOutOfMemory")


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("m")


def beside(home: Path, *kinds: str) -> str:
    """The demonstration with these stages beside it."""
    lines = [f"extends: {ROOT}/configs/demo.yaml", *(["stages:"] if kinds else [])]
    lines += [
        f'  {kind.lower()}: {{use: "tests.rig.bad_stages:{kind}", inputs: {{voice: frontend/voice}}, required: false}}'
        for kind in kinds
    ]
    (home / "mine.yaml").write_text("\n".join(lines) + "\n")
    return str(home / "mine.yaml")


def to_the_end(machine: Machine) -> None:
    """Both questions are answered, nobody but the bad stages was restarted, and the run ends by itself."""
    machine.until(lambda: machine.process.poll() is not None, 120)
    machine.pump()
    log = "\n".join(machine.log.read())
    assert machine.process.returncode == 0, log
    turns = [dict(event.body) for event in machine.events("turn_ended")]
    assert [turn["outcome"] for turn in turns if turn["kind"] == "speech"] == ["answered", "answered"], log
    died = {event.body["stage"] for event in machine.events("stage", state="restarting")}
    assert not died & {"capture", "frontend", "session", "playback", "simulator"}, log


def test_stages_that_die_of_it_are_replaced(home: Path) -> None:
    with Machine(home, beside(home, *DEADLY), CONVERSATION) as machine:
        names = [name.lower() for name in DEADLY]
        first = {name: machine.until(lambda name=name: machine.processes().get(name)) for name in names}
        for name, pid in first.items():
            again = machine.until(lambda name=name, pid=pid: machine.processes().get(name) not in (None, pid))
            assert again
        children = [int(word) for word in (machine.run_dir / "children").read_text().split()]
        assert len(children) == 2
        machine.until(lambda: not any(map(alive, children)), 3)
        to_the_end(machine)


def test_a_stage_that_spins_or_leaks_is_replaced(home: Path) -> None:
    sets = (*CONVERSATION, "stages.leaks.restart={max_rss_mb: 400}")
    with Machine(home, beside(home, "Spins", "Leaks"), sets) as machine:
        pid = machine.until(lambda: machine.processes().get("spins"))
        machine.until(lambda: machine.processes().get("spins") not in (None, pid))
        machine.until(lambda: any("max_rss_mb" in line for line in machine.log.read()))
        to_the_end(machine)


def test_a_million_malformed_messages_are_dropped_and_counted(home: Path) -> None:
    program = (
        f'stages.shouts={{command: ["{sys.executable}", "{FOREIGN}", shout, "1000000"], emits: [], required: false}}'
    )
    with Machine(home, beside(home), [*CONVERSATION, program]) as machine:
        machine.until((machine.run_dir / "shouted").exists, 60)
        warned = [line for line in machine.log.read() if "malformed message dropped" in line]
        assert warned
        assert len(warned) < 100, "a log line for each would be a fault of its own"
        to_the_end(machine)
