"""The doctor at a real sound server: a microphone that hears, one that gives zeros, a speaker that it hears or not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.rig.pulse import PulseServer

pytestmark = [pytest.mark.device, pytest.mark.timeout(120)]


def doctor(folder: Path, speaker: str, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """What it found, by what; the microphone is `mic`."""
    config = folder / "booth.yaml"
    config.write_text(f"extends: kiosk.yaml\nstages: {{capture: {{device: mic}}, playback: {{device: {speaker}}}}}\n")
    argv = [sys.executable, "-m", "pipeline", "doctor", str(config), "--json", "--offline", *words]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=60, env={**os.environ, "PIPELINE_RUN_DIR": str(folder / "run")}
    )
    return done.returncode, {found["what"]: found for found in json.loads(done.stdout)["findings"]}


def test_a_tone_is_heard_where_speaker_and_microphone_share_a_room_and_nowhere_else(
    pulse: PulseServer, tmp_path: Path
) -> None:
    code, found = doctor(tmp_path, "mic_feed", "--loud")
    assert found["sound server"]["grade"] == "ok"
    assert found["microphone"]["words"].endswith("zeros only"), "nobody speaks into a null sink"
    assert found["microphone"]["grade"] == "bad"
    assert found["loop"]["grade"] == "ok", found["loop"]
    assert code == 1
    _, found = doctor(tmp_path, "speaker", "--loud")
    assert found["speaker"]["grade"] == "ok"
    assert found["loop"]["grade"] == "bad"
    assert "amplifier" in found["loop"]["remedy"]
