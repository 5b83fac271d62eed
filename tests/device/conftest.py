"""A private sound server for each test. Without one the tests fail with the command that installs it: a machine whose
device tests are skipped is a machine whose devices are not tested."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.rig import pulse as rig

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pulse(monkeypatch: pytest.MonkeyPatch) -> Iterator[rig.PulseServer]:
    """Up, with `mic` and `speaker`; processes that the test starts inherit the way to it."""
    yield from _server(monkeypatch, start=True)


@pytest.fixture
def no_pulse(monkeypatch: pytest.MonkeyPatch) -> Iterator[rig.PulseServer]:
    """The place for a server that the test starts when it likes."""
    yield from _server(monkeypatch, start=False)


def _server(monkeypatch: pytest.MonkeyPatch, *, start: bool) -> Iterator[rig.PulseServer]:
    if not rig.available():
        pytest.fail(rig.MISSING)
    with rig.PulseServer(start=start) as server:
        for name in ("PULSE_SERVER", "PULSE_SOURCE", "PULSE_SINK", "PULSE_RUNTIME_PATH"):
            monkeypatch.delenv(name, raising=False)
        for name in ("XDG_RUNTIME_DIR", "HOME", "LC_ALL"):
            monkeypatch.setenv(name, server.env[name])
        yield server


@pytest.fixture
def python() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start Python code in a process of its own: PortAudio can be trusted once in a process."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
