"""Another recipe for a stage, and another configuration, while the conversation goes on."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline import Audio
from tests.rig.machine import ROOT, Machine

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]

VOICES = ROOT / "tests" / "recordings"
STAGES = """
from pipeline import Audio, Stage
from pipeline.stages.frontend import Frontend


class Through(Stage):
    emits = ("voice",)
    db: float = 0.0

    def on_audio(self, audio: Audio) -> None:
        self.emit("voice", audio)


class Dies(Through):
    def on_audio(self, audio: Audio) -> None:
        raise ValueError("this one is no good")


class NeverReady(Through):
    def prime(self) -> None:
        raise RuntimeError("not even primed")


class Mine(Frontend):
    pass
"""
CONFIG = f"""
extends: demo.yaml
stages:
  simulator: {{script: {ROOT}/tests/rig/short_answers.yaml, notice: false}}
  capture: {{files: [{", ".join(30 * [f"{VOICES}/not_ill_disposed.wav"])}], gap_s: 2.0}}
  through: {{use: "mine:Through", inputs: {{voice: frontend/voice}}}}
  session: {{inputs: {{voice: through/voice}}}}
"""


SEAM_NS = 2_000_000
"""By so much the times of two blocks may differ that follow each other."""


def seams_of_through(machine: Machine) -> list[int]:
    """ns missing or heard twice between the blocks that the reader of the swapped stage was given and passed on."""
    said = [m for stamp, m in machine.heard if stamp.src == "through" and isinstance(m, Audio) and m.replay is None]
    ends = [(audio.t or 0, (audio.t or 0) + audio.duration_ns) for audio in said]
    return [abs(later[0] - sooner[1]) for sooner, later in pairwise(ends)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(STAGES)
    (tmp_path / "kiosk.yaml").write_text(CONFIG)
    return tmp_path


def test_stages_are_swapped_taken_back_and_reloaded_while_it_talks(folder: Path) -> None:
    with Machine(folder / "home", str(folder / "kiosk.yaml")) as machine:
        machine.until(lambda: machine.events("turn_ended", kind="speech", outcome="answered"))
        before = machine.processes()

        argv = [sys.executable, "-m", "pipeline", "swap", "frontend", "--use", "mine:Mine"]
        with subprocess.Popen(argv, env=machine.environ, text=True, stdout=subprocess.PIPE) as swap:
            machine.until(lambda: swap.poll() is not None)
            assert swap.communicate() == ("frontend: done\n", None)
        assert machine.processes()["frontend"] != before["frontend"]
        assert max(seams_of_through(machine)) < SEAM_NS, "nobody who reads it misses a block, or hears one twice"
        assert {name: pid for name, pid in machine.processes().items() if name != "frontend"} == {
            name: pid for name, pid in before.items() if name != "frontend"
        }

        done = machine.command("swap", "through", "--use", "mine:Dies")
        assert done.returncode == 1
        assert "taken back: crashed: ValueError: this one is no good" in done.stdout
        done = machine.command("swap", "through", "--use", "mine:NeverReady")
        assert done.returncode in (1, 78)
        assert machine.command("swap", "through", "--use", "mine:Nobody").returncode == 78
        done = machine.command("swap", "nobody", "--use", "mine:Nobody")
        assert done.returncode == 1
        assert done.stderr.startswith("no stage is called 'nobody': the stages are ")

        config = folder / "kiosk.yaml"
        good = config.read_text()
        config.write_text(good + "  extra: {use: 3}\n")
        assert machine.command("reload").returncode == 78
        pids = machine.processes()
        config.write_text("budget_ms: 200" + good.replace('{use: "mine:Through",', '{use: "mine:Through", db: 3,'))
        done = machine.command("reload")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "through: done" in done.stdout
        assert "budget_ms: changed in the file, taken up when the whole pipeline is started again" in done.stdout
        machine.pump()
        assert machine.processes()["through"] != pids["through"]
        assert machine.processes()["session"] == pids["session"], "what did not change is left alone"
        so_far = len(machine.events("turn_ended", kind="speech", outcome="answered"))
        machine.until(lambda: len(machine.events("turn_ended", kind="speech", outcome="answered")) > so_far)
