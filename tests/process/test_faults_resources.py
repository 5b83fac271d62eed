"""A machine that has run out: of disk, of descriptors, of memory, of processes. Limits are lowered from outside, on
processes that run already, as it happens to them in the field."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.rig.machine import Machine
from tests.rig.supervised import Supervised, foreign

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]
SETS = (
    f"stages.simulator={{script: {ROOT}/tests/rig/short_answers.yaml, notice: false}}",
    f"stages.capture.files=[{ROOT}/tests/recordings/not_ill_disposed.wav, {ROOT}/tests/recordings/made_amiable.wav]",
)


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("m")


def limit(pids: Iterable[int], which: int, soft: int) -> None:
    """Lower (or give back) a soft limit."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, which, (soft, resource.prlimit(pid, which)[1]))


def answered(machine: Machine) -> int:
    return len(machine.events("turn_ended", kind="speech", outcome="answered"))


def to_the_end(machine: Machine) -> None:
    machine.until(lambda: machine.process.poll() is not None, 120)
    machine.pump()
    assert machine.process.returncode == 0
    turns = [event.body["outcome"] for event in machine.events("turn_ended", kind="speech")]
    assert turns.count("answered") >= 2, turns


def test_a_full_disk_ends_no_conversation_and_is_said(home: Path) -> None:
    with Machine(home, "demo.yaml", [*SETS, "log.file=kiosk.log"]) as machine:
        machine.until(lambda: machine.events("speech_started") and machine.events("connection", up=True))
        limit([machine.process.pid, *machine.processes().values()], resource.RLIMIT_FSIZE, 0)  # no file grows any more
        to_the_end(machine)
        reasons = [str(event.body["reason"]) for event in machine.events("state", state="degraded")]
        assert any("memory" in reason or "disk" in reason or "too large" in reason for reason in reasons), reasons


def test_a_session_without_a_descriptor_left_waits_until_there_is_one(home: Path) -> None:
    with Machine(home, "demo.yaml", SETS) as machine:
        machine.until(lambda: machine.events("connection", up=True) and machine.events("speech_started"))
        pid = machine.processes()["session"]
        limit([pid], resource.RLIMIT_NOFILE, len(os.listdir(f"/proc/{pid}/fd")))
        machine.kill("simulator")
        machine.until(lambda: machine.events("connection", up=False))
        limit([pid], resource.RLIMIT_NOFILE, 1024)
        to_the_end(machine)


def test_a_supervisor_without_a_descriptor_left_restarts_stages_as_soon_as_it_can(home: Path) -> None:
    with Supervised(home, {"lamp": foreign(), "other": foreign()}) as run:
        pids = run.until_live("lamp", "other")
        supervisor = run.process.pid
        limit([supervisor], resource.RLIMIT_NOFILE, 3)  # what is open stays so
        os.kill(pids["lamp"], signal.SIGKILL)
        degraded = run.until_state("lamp", "degraded")
        assert "no process to be had" in degraded["reason"]
        limit([supervisor], resource.RLIMIT_NOFILE, 1024)
        run.until_state("lamp", "live", not_pid=pids["lamp"])
        assert run.ask("status")["stages"]["other"]["pid"] == pids["other"]
        assert run.said("pipeline restarts") == []


def test_a_stage_at_the_end_of_its_memory_is_replaced_and_the_conversation_goes_on(home: Path) -> None:
    with Machine(home, "demo.yaml", SETS) as machine:
        machine.until(lambda: machine.events("connection", up=True) and machine.events("speech_started"))
        for stage in ("frontend", "session", "playback"):
            pid = machine.processes()[stage]
            used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
            limit([pid], resource.RLIMIT_AS, used)
        to_the_end(machine)
