"""A machine that is watched: verdict, incidents, health, tapes and stacks on a signal, what systemd hears."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from pipeline.bus.tape import Tape
from tests.rig.machine import ROOT, Machine

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

VOICES = ROOT / "tests" / "recordings"
SHORT = (
    f"stages.simulator={{script: {ROOT}/tests/rig/short_answers.yaml, notice: false}}",
    f"stages.capture.files=[{VOICES}/not_ill_disposed.wav, {VOICES}/made_amiable.wav]",
)


def test_a_fault_is_in_the_verdict_the_journal_the_health_and_on_a_tape(tmp_path: Path) -> None:
    with socket.socket() as free, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        watched = (f'health={{listen: "127.0.0.1:{port}"}}', "black_box={minutes: 1, every_s: 0}")
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"}
        with Machine(tmp_path / "m", "demo.yaml", [*SHORT, *watched], environ) as machine:
            heard = {manager.recv(1000).decode() for _ in range(4)}
            assert "READY=1" in heard
            machine.until(lambda: machine.events("verdict", code="simulator"))
            machine.until(lambda: machine.events("speech_started"))
            machine.kill("frontend")
            machine.until(lambda: machine.events("turn_ended", kind="speech", outcome="answered"))
            status = json.loads(machine.command("status", "--json").stdout)
            assert status["verdict"]["code"] == "simulator"
            assert status["verdict"]["heard_s"] is not None
            parts = machine.until(lambda: machine.events("latency"))[0].body
            assert 0 < parts["uplink_ms"] < parts["total_ms"]
            assert machine.command("status").stdout.splitlines()[0].startswith("demo: simulator instead of service")
            unknown = machine.command("play", "nosuch")
            assert (unknown.returncode, unknown.stderr.split(",")[0]) == (
                1,
                "no sound is called 'nosuch': there are awake",
            )
            machine.until(lambda: "frontend" in machine.command("incidents").stdout)
            records = [json.loads(line) for line in machine.command("incidents", "--json").stdout.splitlines()]
            record = next(record for record in records if record["what"] == "frontend")
            assert record["seconds"] < 20
            assert healthz(port)[0] == 200
            machine.command("mute")
            machine.until(lambda: machine.events("verdict", code="muted"))
            machine.until(lambda: healthz(port)[1].startswith("muted: by command"))
            machine.process.send_signal(signal.SIGUSR2)
            machine.until(lambda: [e for e in machine.events("tape_written") if e.body["why"] == "asked"])
            (written,) = [e.body["file"] for e in machine.events("tape_written") if e.body["why"] == "asked"]
            assert any(entry.topic == "event.speech_started" for entry in Tape(Path(written)).entries())
            machine.process.send_signal(signal.SIGUSR1)
            machine.until(lambda: sum("Current thread" in line for line in machine.log.read()) >= 2)
            assert b"voice_pipeline_verdict" in urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read()
            machine.process.send_signal(signal.SIGSTOP)
            said = machine.command("status")
            machine.process.send_signal(signal.SIGCONT)
            assert said.returncode == 1
            assert "did not answer within 1 s" in said.stderr
            assert "its last written state" in said.stderr
            assert "muted" in said.stderr
            manager.setblocking(False)
            heard |= drained(manager)  # the kernel keeps ten
            machine.process.send_signal(signal.SIGINT)
            machine.until(lambda: machine.process.poll() is not None)
        more = drained(manager)
        assert "WATCHDOG=1" in heard | more
        assert "STOPPING=1" in more
        assert any(word.startswith("STATUS=muted: by command") for word in heard | more)
        kept = machine.command("incidents", "--name", "demo")
        assert "frontend" in kept.stdout, "the journal outlives the machine"


def healthz(port: int) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def drained(manager: socket.socket) -> set[str]:
    found: set[str] = set()
    try:
        while True:
            found.add(manager.recv(1000).decode())
    except BlockingIOError:
        return found
