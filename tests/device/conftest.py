"""A private sound server for each test. Without one the tests fail with the command that installs it: a machine whose
device tests are skipped is a machine whose devices are not tested.

It is PulseAudio. Those marked `both_servers` run on PipeWire too, where it is installed; all do in
`SOUND_SERVER=pipewire make test`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.rig import pipewire
from tests.rig import pulse as pulseaudio
from tests.rig.pulse import PulseServer

ROOT = Path(__file__).resolve().parents[2]


SERVERS = {"pulseaudio": (PulseServer, pulseaudio), "pipewire": (pipewire.PipeWireServer, pipewire)}
CHOSEN = os.environ.get("SOUND_SERVER", "pulseaudio")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Both servers where that is asked for, else the chosen one."""
    if "server_kind" in metafunc.fixturenames:
        both = metafunc.definition.get_closest_marker("both_servers") and "SOUND_SERVER" not in os.environ
        if both:
            metafunc.parametrize("server_kind", list(SERVERS))


@pytest.fixture
def server_kind() -> str:
    """pulseaudio or pipewire."""
    return CHOSEN


@pytest.fixture
def pulse(monkeypatch: pytest.MonkeyPatch, server_kind: str) -> Iterator[PulseServer]:
    """Up, with `mic` and `speaker`; processes that the test starts inherit the way to it."""
    yield from _server(monkeypatch, server_kind, start=True)


@pytest.fixture
def no_pulse(monkeypatch: pytest.MonkeyPatch, server_kind: str) -> Iterator[PulseServer]:
    """The place for a server that the test starts when it likes."""
    yield from _server(monkeypatch, server_kind, start=False)


def _server(monkeypatch: pytest.MonkeyPatch, kind: str, *, start: bool) -> Iterator[PulseServer]:
    server_class, rig = SERVERS[kind]
    if not rig.available():
        if kind != CHOSEN:
            pytest.skip(rig.MISSING)
        pytest.fail(rig.MISSING)
    with server_class(start=start) as server:
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
