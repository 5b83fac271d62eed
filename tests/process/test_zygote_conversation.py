"""The fork servers die or freeze in the middle of a conversation: nobody notices."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pipeline.supervisor.zygote_launch import possible
from tests.rig.machine import Machine

pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not possible(), reason="forks need Linux"),
]

ROOT = Path(__file__).resolve().parents[2]
VOICES = ROOT / "tests" / "recordings"
SHORT = (
    f"stages.simulator={{script: {ROOT}/tests/rig/short_answers.yaml, notice: false}}",
    f"stages.capture.files=[{VOICES}/not_ill_disposed.wav, {VOICES}/made_amiable.wav]",
)
STAGES = ("capture", "frontend", "session", "playback")


def servers(machine: Machine) -> set[int]:
    """The fork servers of a running pipeline."""
    found = set()
    for path in Path(f"/proc/{machine.process.pid}/task").glob("*/children"):
        found |= {int(pid) for pid in path.read_text().split() if name(int(pid)).startswith("voice-pipeline: fork")}
    return found


def name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()
    except OSError:
        return ""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_conversation_goes_on_and_what_dies_meanwhile_returns(
    tmp_path_factory: pytest.TempPathFactory, number: signal.Signals
) -> None:
    home = tmp_path_factory.mktemp("m")
    with Machine(home, "demo.yaml", SHORT) as machine:
        machine.until(lambda: machine.live(*STAGES) and len(servers(machine)) == 2)
        assert name(machine.processes()["session"]) == "voice-pipeline: session"
        machine.until(lambda: machine.events("speech_started"))
        before, lost = machine.processes(), servers(machine)
        for pid in lost:
            os.kill(pid, number)
        killed = machine.kill("frontend")
        machine.until(lambda: machine.processes().get("frontend") not in (None, killed))
        machine.until(lambda: machine.live("frontend") and len(servers(machine) - lost) == 2)
        assert not servers(machine) & lost
        after = machine.processes()
        assert {stage: after[stage] for stage in before if stage != "frontend"} == {
            stage: before[stage] for stage in before if stage != "frontend"
        }
        killed = machine.kill("session")
        machine.until(lambda: machine.processes().get("session") not in (None, killed))
        machine.until(lambda: name(machine.processes()["session"]) == "voice-pipeline: session")
        machine.until(lambda: machine.process.poll() is not None, 120)
        machine.pump()
        assert machine.process.returncode == 0
        assert len(machine.events("turn_ended", kind="speech", outcome="answered")) >= 2
        assert not any(name(pid) for pid in lost | set(after.values()))
