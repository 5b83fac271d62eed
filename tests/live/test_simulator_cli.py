"""`simulate` as a person starts it: in a process of its own, from any folder."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from ssl import create_default_context
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

pytestmark = pytest.mark.process

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "pipeline", "simulate"]


def environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(home)}


@contextmanager
def simulating(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    process = subprocess.Popen(
        [*COMMAND, *options],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield process, json.loads(line)
    finally:
        process.kill()
        process.communicate()


@contextmanager
def open_session(place: dict[str, Any]) -> Iterator[ClientConnection]:
    path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=k"
    url = place["url"].replace("https://", "wss://") + path
    with connect(url, ssl=create_default_context(cafile=place["cert"])) as ws:
        ws.send('{"setup":{"model":"models/gemini-3.8-live"}}')
        assert json.loads(ws.recv(10)) == {"setupComplete": {}}
        yield ws


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_line_then_silence_and_zero_at_the_end(tmp_path: Path, number: signal.Signals) -> None:
    with simulating(tmp_path, "--log", "log.jsonl") as (process, place):
        assert set(place) == {"url", "cert"}
        assert place["url"].startswith("https://127.0.0.1:")
        assert Path(place["cert"]).is_absolute()
        with open_session(place):
            process.send_signal(number)
            out, err = process.communicate(timeout=10)
        assert (process.returncode, out, err) == (0, "", "")
    events = [json.loads(line)["event"] for line in (tmp_path / "log.jsonl").read_text("ascii").splitlines()]
    assert events[0] == "started"
    assert events[-1] == "stopped"
    assert {"open", "in", "setup", "out", "close"} <= set(events)


def test_the_certificate_outlives_a_restart_and_the_key_is_private(tmp_path: Path) -> None:
    with simulating(tmp_path, "--certs", "certs") as (_, first):
        before = Path(first["cert"]).read_bytes()
        assert (tmp_path / "certs" / "key.pem").stat().st_mode & 0o077 == 0
    with simulating(tmp_path, "--certs", "certs") as (_, second):
        assert Path(second["cert"]).read_bytes() == before
        with open_session(second):
            pass
    (tmp_path / "certs" / "key.pem").write_text("broken", "utf-8")
    with simulating(tmp_path, "--certs", "certs") as (_, third), open_session(third):
        pass


def test_an_idle_client_costs_almost_nothing(tmp_path: Path) -> None:
    with simulating(tmp_path) as (process, place), open_session(place):
        before = cpu_s(process.pid)
        time.sleep(3)  # the measured time itself, not a wait for something
        assert cpu_s(process.pid) - before <= 0.03


def test_a_wrong_script_a_taken_port_and_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("version: 1\nthink: 3\n", "utf-8")
    (tmp_path / "file").write_text("", "utf-8")

    def fails(*options: str) -> tuple[int, str]:
        done = subprocess.run(
            [*COMMAND, *options], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=30
        )
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    code, words = fails("--script", "bad.yaml")
    assert code == 78
    assert words.startswith("simulate: bad.yaml:2: think: unknown key; did you mean `think_ms`?")
    code, words = fails("--certs", "file/certs")
    assert code == 69
    assert "file/certs" in words
    with simulating(tmp_path) as (_, place):
        port = place["url"].rpartition(":")[2]
        code, words = fails("--port", port)
        assert code == 69
        assert f"127.0.0.1:{port}" in words
    code, words = fails("--port", "70000")
    assert code == 2


def test_a_killed_server_knows_its_sessions_again(tmp_path: Path) -> None:
    def resumed(place: dict[str, Any], handle: str | None) -> tuple[dict[str, Any], str]:
        path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=k"
        with connect(
            place["url"].replace("https://", "wss://") + path, ssl=create_default_context(cafile=place["cert"])
        ) as ws:
            resumption = {"handle": handle} if handle else {}
            ws.send(json.dumps({"setup": {"model": "models/gemini-3.8-live", "sessionResumption": resumption}}))
            first = json.loads(ws.recv(10))
            return first, json.loads(ws.recv(10))["sessionResumptionUpdate"]["newHandle"]

    options = ("--state", "state.jsonl", "--certs", "certs")
    with simulating(tmp_path, *options) as (process, place):
        _, handle = resumed(place, None)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with simulating(tmp_path, *options) as (_, place):
        first, newer = resumed(place, handle)
        assert first == {"setupComplete": {}}
        assert newer != handle
