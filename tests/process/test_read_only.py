"""A machine whose disk is read-only but for the run and the state directory: no home, no /tmp, not even /dev/shm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.bus.tape import Tape
from tests.rig.machine import DEADLINE_S, KEYS, ROOT, Lines

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

READ_ONLY = """
mount --make-rprivate / && mount --bind "$RUN" "$RUN" && mount --bind "$STATE" "$STATE" || exit 99
for place in /dev/shm /; do mount -o remount,bind,ro "$place" || exit 99; done
cd / && exec "$@"
"""
"""Of this process and its children alone: nobody else's view of the disk changes."""
WAVS = ", ".join(20 * [f"{ROOT}/tests/recordings/not_ill_disposed.wav"])
CONFIG = f"""
extends: demo.yaml
stages:
  simulator: {{script: {ROOT}/tests/rig/short_answers.yaml, notice: false}}
  capture: {{files: [{WAVS}], gap_s: 2.0}}
black_box: {{minutes: 1}}
"""


class Kiosk:
    """Runs everything inside."""

    def __init__(self, home: Path) -> None:
        self.run, self.state = home / "run", home / "state"
        for folder in (self.run, self.state):
            folder.mkdir(mode=0o700)
        places = {"RUN": str(self.run), "STATE": str(self.state), "HOME": "/nonexistent"}
        names = {"PIPELINE_RUN_DIR": places["RUN"], "STATE_DIRECTORY": places["STATE"], "PYTHONPATH": str(ROOT)}
        outside = {key: value for key, value in os.environ.items() if key not in KEYS and not key.startswith("XDG_")}
        self._environ = {**outside, **places, **names, "NO_COLOR": "1"}

    def inside(self, *argv: str) -> list[str]:
        return ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", *argv]

    def start(self, config: Path) -> subprocess.Popen[str]:
        argv = self.inside(sys.executable, "-m", "pipeline", "run", str(config))
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(argv, env=self._environ, text=True, **pipes)  # type: ignore[call-overload, no-any-return]

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = self.inside(sys.executable, "-m", "pipeline", *words)
        return subprocess.run(argv, env=self._environ, text=True, capture_output=True, timeout=60)

    def status(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self("status", "--json").stdout))
        except ValueError:
            return {}

    def can(self) -> str:
        """Why it can't be tried here, if so."""
        try:
            done = subprocess.run(
                self.inside("sh", "-c", 'touch "$STATE/x" && rm "$STATE/x" && ! touch "$STATE/../x" 2> /dev/null'),
                env=self._environ, text=True, capture_output=True, timeout=20,
            )  # fmt: skip
        except OSError as error:
            return str(error)
        return "" if done.returncode == 0 else f"no mount namespace to be had here: {done.stderr.strip()[:100]}"


def until(enough: Callable[[], Any], log: Lines) -> Any:
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if result := enough():
            return result
        time.sleep(0.1)  # between looks: nothing is judged by it
    raise AssertionError("\n".join(log.read()[-30:]))


def test_everything_works_where_only_run_and_state_can_be_written(tmp_path: Path) -> None:
    kiosk = Kiosk(tmp_path)
    if why := kiosk.can():
        pytest.skip(why)
    config, tape = tmp_path / "kiosk.yaml", kiosk.state / "all.tape"
    config.write_text(CONFIG)
    with kiosk.start(config) as process:
        out, log = Lines(process.stdout), Lines(process.stderr)
        try:
            until(lambda: any("machine  " in line for line in out.read()), log)
            assert kiosk("record", str(tape), "--minutes", "0.05").returncode == 0
            assert [entry.topic for entry in Tape(tape).entries() if entry.topic == "audio.voice"]
            for words in ("mute",), ("unmute",), ("volume", "55"), ("say", "hello"), ("play", "awake"), ("incidents",):
                done = kiosk(*words)
                assert done.returncode == 0, (words, done.stdout, done.stderr)
            assert kiosk("swap", "frontend", "--option", "vad.stop=0.31").stdout == "frontend: done\n"
            os.kill(kiosk.status()["stages"]["frontend"]["pid"], signal.SIGKILL)
            until(lambda: list((kiosk.state / "black_box").glob("*.tape")), log)
            until(lambda: kiosk.status()["stages"]["frontend"]["state"] == "live", log)
            assert kiosk("reload").returncode == 0
            assert kiosk("doctor", str(config)).returncode in (0, 1)
            assert kiosk("stop").returncode == 0
            assert process.wait(DEADLINE_S) == 0
        finally:
            if process.poll() is None:
                process.kill()
        assert not [line for line in log.read() if "Read-only file system" in line]
