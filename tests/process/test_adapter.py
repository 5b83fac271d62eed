"""Programs that know nothing of the bus, in the pipeline."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pipeline.config import ConfigErrors, load
from tests.rig.machine import ROOT, Machine

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

VOICES = ROOT / "tests" / "recordings"
CONFIG = f"""
extends: demo.yaml
stages:
  simulator: {{script: {ROOT}/tests/rig/short_answers.yaml, notice: false}}
  capture: {{files: [{VOICES}/not_ill_disposed.wav, {VOICES}/made_amiable.wav]}}
  through: {{adapter: pcm, command: [cat], inputs: {{voice: frontend/voice}}, emits: [voice]}}
  session: {{inputs: {{voice: through/voice}}}}
"""


def children(pid: int) -> list[int]:
    """Processes that it started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_question_goes_through_cat_and_through_the_cat_that_follows_when_it_is_killed(tmp_path: Path) -> None:
    config = tmp_path / "cat.yaml"
    config.write_text(CONFIG)
    with Machine(tmp_path, str(config)) as machine:
        machine.until(lambda: machine.events("turn_ended", kind="speech", outcome="answered"))
        heard, said = machine.audio("voice"), [audio for audio in machine.audio("voice") if audio.t is not None]
        assert len(heard) == len(said)
        (cat,) = children(machine.processes()["through"])
        machine.until(lambda: len(machine.events("speech_started")) == 2)
        os.kill(cat, signal.SIGKILL)
        machine.until(lambda: machine.process.poll() is not None, 90)
        machine.pump()
        assert machine.process.returncode == 0
        assert len(machine.events("turn_ended", kind="speech", outcome="answered")) >= 2
        assert any("cat was killed by signal 9" in line for line in machine.log.read())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("{adapter: pmc, command: [cat]}", "stages.x.adapter: got 'pmc'; did you mean 'pcm'?"),
        ("{adapter: pcm}", "stages.x.adapter: there is no program; add command:"),
    ],
)
def test_an_adapter_that_can_not_be_is_refused_with_its_line(words: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(f"stages:\n  x: {words}\n")
    with pytest.raises(ConfigErrors) as refused:
        load(str(tmp_path / "x.yaml"))
    (error,) = refused.value.errors
    assert (error.line, said in str(error)) == (2, True), error
