"""What systemd hears, at a socket that stands in for it; the unit file as systemd reads it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.supervisor.notify import Notify

pytestmark = pytest.mark.unit

UNIT = Path(__file__).resolve().parents[2] / "scripts" / "voice-pipeline.service"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def heard(manager: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(manager.recv(1000).decode())
        except BlockingIOError:
            return found


def test_an_address_without_a_file() -> None:
    name = f"voice-pipeline-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.setblocking(False)
        Notify({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert heard(listening) == ["READY=1"]


def test_ready_status_stopping_and_a_watchdog_fed_by_progress_alone(manager: socket.socket) -> None:
    now = [100.0]
    environ = {"NOTIFY_SOCKET": str(manager.getsockname()), "WATCHDOG_USEC": "30000000"}
    notify = Notify(environ, lambda: now[0])
    notify.ready()
    notify.status("ok")
    notify.status("ok")
    notify.stopping()
    assert heard(manager) == ["READY=1", "STATUS=ok", "STOPPING=1"]
    assert notify.every_s == 10.0
    notify.progress()
    now[0] += 9
    notify.progress()
    assert heard(manager) == ["WATCHDOG=1"]
    now[0] += 1
    notify.progress()
    assert heard(manager) == ["WATCHDOG=1"]


def test_nothing_is_said_where_nobody_listens_and_another_process_is_watched() -> None:
    Notify({}).ready()
    Notify({"NOTIFY_SOCKET": "/no/such/socket"}).ready()
    assert Notify({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid() + 1)}).every_s == 0.0


def test_a_manager_that_does_not_read_holds_nobody_up(manager: socket.socket) -> None:
    notify = Notify({"NOTIFY_SOCKET": str(manager.getsockname())})
    for number in range(5000):
        notify.status(str(number))
    assert heard(manager)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    unit = tmp_path / "voice-pipeline.service"
    text = UNIT.read_text().replace("/opt/voice-pipeline/.venv/bin/voice-pipeline", shutil.which("true") or "/bin/true")
    unit.write_text(text.replace("User=kiosk", "User=root"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=30)
    about_us = [line for line in done.stderr.splitlines() if "voice-pipeline" in line]
    assert not about_us, done.stderr
