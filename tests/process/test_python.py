"""A stage in an interpreter of its own, with libraries that the others do not have."""

from __future__ import annotations

import os
import signal
import site
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.config import ConfigErrors, load
from tests.rig.machine import ROOT, Machine

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

VOICES = ROOT / "tests" / "recordings"
STAGE = """
from only_there import QUIETER
from pipeline import Audio, Stage

class Through(Stage):
    def on_audio(self, audio: Audio) -> None:
        self.emit("voice", audio.replace(samples=audio.samples // QUIETER))
"""
CONFIG = f"""
extends: demo.yaml
stages:
  simulator: {{script: {ROOT}/tests/rig/short_answers.yaml, notice: false}}
  capture: {{files: [{VOICES}/not_ill_disposed.wav, {VOICES}/made_amiable.wav]}}
  through: {{use: "through:Through", python: venv/bin/python, inputs: {{voice: frontend/voice}}}}
  session: {{inputs: {{voice: through/voice}}}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration beside a virtual environment that alone has the module `only_there`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True, timeout=60)
    (there,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (there / "others.pth").write_text("\n".join(site.getsitepackages()))
    (there / "only_there.py").write_text("QUIETER = 2\n")
    (tmp_path / "through.py").write_text(STAGE)
    (tmp_path / "own.yaml").write_text(CONFIG)
    return tmp_path / "own.yaml"


def test_it_answers_and_is_restarted_like_any_other(config: Path, tmp_path: Path) -> None:
    with Machine(tmp_path, str(config)) as machine:
        machine.until(lambda: machine.events("speech_started"))
        pid = machine.processes()["through"]
        assert os.readlink(f"/proc/{pid}/exe") == os.path.realpath(sys.executable)
        assert Path(f"/proc/{pid}/cmdline").read_text().startswith(f"{tmp_path}/venv/bin/python\0")
        os.kill(pid, signal.SIGKILL)
        machine.until(lambda: machine.process.poll() is not None, 90)
        machine.pump()
        assert machine.process.returncode == 0
        assert len(machine.events("turn_ended", kind="speech", outcome="answered")) == 2


def test_one_without_this_package_is_refused_with_what_it_lacks(config: Path, tmp_path: Path) -> None:
    (there,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (there / "others.pth").unlink()
    with pytest.raises(ConfigErrors) as refused:
        load(str(config))
    assert "own.yaml:6: stages.through.use: " in str(refused.value)
    assert f"install structlog for {tmp_path}/venv/bin/python" in str(refused.value)
