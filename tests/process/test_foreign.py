"""Stages written from PROTOCOL.md alone, in the pipeline: heard, killed, restarted like any other."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.rig.machine import ROOT, Machine

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

VOICES = ROOT / "tests" / "recordings"
FOREIGN = ROOT / "configs" / "foreign"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of the stage in JavaScript, with what it needs beside it."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("no node and npm here")
    folder = tmp_path_factory.mktemp("node")
    for name in ("gain.mjs", "package.json"):
        shutil.copy(FOREIGN / name, folder / name)
    argv = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
    try:
        subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    except subprocess.SubprocessError as error:
        pytest.skip(f"npm can't fetch zeromq: {error}")
    return ["node", str(folder / "gain.mjs")]


def conversation(home: Path, command: list[str]) -> Machine:
    """Two questions through a stage between frontend and session."""
    config = home / "foreign.yaml"
    config.write_text(f"""
extends: demo.yaml
stages:
  simulator: {{script: {ROOT}/tests/rig/short_answers.yaml, notice: false}}
  capture: {{files: [{VOICES}/not_ill_disposed.wav, {VOICES}/made_amiable.wav], lead_s: 1.5}}
  louder: {{command: {json.dumps(command)}, db: 3, inputs: {{voice: frontend/voice}}, emits: [voice]}}
  session: {{inputs: {{voice: louder/voice}}}}
""")
    return Machine(home, str(config))


def answered_although_killed(machine: Machine) -> None:
    """The first question is heard louder; in the second the stage is killed."""
    machine.until(lambda: machine.events("turn_ended", kind="speech", outcome="answered"))
    by_stage = {src: {} for src in ("frontend", "louder")}
    for stamp, message in machine.heard:
        if stamp.topic == "audio.voice" and stamp.src in by_stage:
            by_stage[stamp.src][message.t] = message
    both = [t for t in by_stage["louder"] if t in by_stage["frontend"] and not by_stage["louder"][t].gated]
    loudest = max(both, key=lambda t: abs(by_stage["frontend"][t].samples.astype(int)).max())
    peak = [abs(by_stage[src][loudest].samples.astype(int)).max() for src in ("frontend", "louder")]
    assert peak[1] == pytest.approx(min(32767, peak[0] * 10 ** (3 / 20)), rel=0.01)
    machine.until(lambda: len(machine.events("speech_started")) == 2)
    machine.kill("louder")
    machine.until(lambda: machine.process.poll() is not None, 90)
    machine.pump()
    assert machine.process.returncode == 0
    assert len(machine.events("turn_ended", kind="speech", outcome="answered")) >= 2
    assert machine.events("stage", stage="louder", state="restarting")


def test_plain_python(tmp_path: Path) -> None:
    with conversation(tmp_path, [sys.executable, "-P", str(FOREIGN / "gain_plain.py")]) as machine:
        answered_although_killed(machine)


def test_node(tmp_path: Path, node: list[str]) -> None:
    with conversation(tmp_path, node) as machine:
        answered_although_killed(machine)


def test_who_says_what_nobody_can_read_is_named_and_its_reader_lives(tmp_path: Path) -> None:
    spoiled, said = tmp_path / "spoiled", "kept = {key: block[key] for key"
    program = (FOREIGN / "gain_plain.py").read_text()
    assert said in program
    (tmp_path / "spoils.py").write_text(
        program.replace(
            said, f"block['rate'] = 'fast' if os.path.exists({str(spoiled)!r}) else 16000\n            {said}"
        )
    )
    with conversation(tmp_path, [sys.executable, "-P", str(tmp_path / "spoils.py")]) as machine:
        machine.until(lambda: machine.events("connection", up=True))
        reader = machine.processes()["session"]
        spoiled.touch()
        machine.until(lambda: machine.events("verdict", code="stage_failing"))
        words = "louder: nobody can read what it says: audio.voice: expected `rate` to be int, got str"
        assert words in machine.events("verdict")[-1].body["words"]
        assert "PROTOCOL.md" in machine.command("status").stdout.splitlines()[0]
        named_ns = machine.events("verdict")[-1].sent
        machine.until(lambda: time.monotonic_ns() - named_ns > 3_000_000_000)  # who is deaf is killed after 2 s
        assert machine.processes()["session"] == reader, "what comes is counted, read or not"
        spoiled.unlink()
        machine.until(lambda: machine.events("verdict")[-1].body["code"] != "stage_failing")
