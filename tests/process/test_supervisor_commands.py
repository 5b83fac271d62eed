"""The command line and a supervisor from a configuration file: found, asked, refused, stopped."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig.machine import environment
from tests.rig.supervised import FOREIGN, gone

pytestmark = pytest.mark.process

NAME = f"kiosk{os.getpid()}"  # a machine's own pipelines, and other tests, may run beside this
CONFIG = f"""
version: 1
name: {NAME}
stages:
  frontend: {{command: {json.dumps(FOREIGN)}}}
  screen: {{command: {json.dumps(FOREIGN)}, required: false}}
log: {{file: /dev/full}}
"""


class Home:
    """An empty home directory, and commands typed there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = environment(folder)
        self.config = folder / "kiosk.yaml"
        self.config.write_text(CONFIG)
        self.started: list[subprocess.Popen[str]] = []

    def type(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        argv = [sys.executable, "-m", "pipeline", *words]
        environ = {**self.environ, **environ}
        return subprocess.run(argv, env=environ, cwd=self.folder, text=True, capture_output=True, timeout=30)

    def run(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        """`run`, returning as soon as a stage is live."""
        argv = [sys.executable, "-m", "pipeline", "run", str(self.config), *words]
        environ = {**self.environ, **environ}
        process = subprocess.Popen(
            argv, env=environ, cwd=self.folder, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        self.started.append(process)
        assert process.stderr is not None
        for line in process.stderr:
            if '"stage is"' in line and '"live"' in line and '"frontend"' in line:
                return process
        raise AssertionError(f"it ended with {process.wait()}")

    def close(self) -> None:
        """End what was started; the sweepers end the rest."""
        for process in self.started:
            process.kill()
            process.wait()


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("c"))
    yield home
    home.close()


DEBUG = ("--set", "log.level=debug")


@pytest.mark.parametrize(
    "command",
    [["status"], ["stop"], ["mute"], ["volume", "3"], ["restart", "x"], ["say", "x"], ["trigger"], ["play", "x"]],
)
def test_without_a_pipeline_there_is_one_clear_line(home: Home, command: list[str]) -> None:
    done = home.type(*command, "--name", NAME)
    assert done.returncode == 1
    assert done.stderr == f"no pipeline called {NAME} runs; start one with `voice-pipeline run CONFIG`\n"


def test_a_pipeline_from_its_start_to_its_stop(home: Home) -> None:
    process = home.run(*DEBUG)
    this = ("--name", NAME)
    status = json.loads(home.type("status", "--json", *this).stdout)
    assert status["pipeline"].items() >= {"name": NAME, "state": "live", "reason": "", "pid": process.pid}.items()
    assert status["stages"]["frontend"].items() >= {"state": "live", "reason": "", "restarts": 0}.items()
    lines = home.type("status", *this).stdout.splitlines()
    assert lines[0].startswith(f"{NAME}: ok, for ")
    assert home.type("mute", *this).returncode == 0
    kept = home.folder / "state" / "voice-pipeline" / NAME / "settings.json"
    assert json.loads(kept.read_text())["muted"] is True
    assert home.type("unmute", *this).returncode == 0
    assert json.loads(kept.read_text())["muted"] is False
    refused = home.type("volume", "101", *this)
    assert (refused.returncode, refused.stderr) == (1, "expected a volume of 0 to 100 percent, got '101'\n")
    assert home.type("say", "good", "morning", *this).returncode == 0
    assert home.type("trigger", "--by", "button", *this).returncode == 0
    assert home.type("play", "awake", *this).returncode == 0
    refused = home.type("play", "../awake", *this)
    assert (refused.returncode, refused.stderr.split(",")[0]) == (1, "expected the name of a prompt")
    assert home.type("restart", "frontend", *this).returncode == 0
    assert home.type("stop", *this).returncode == 0
    assert process.wait(5) == 0
    assert home.type("status", *this).returncode == 1


def test_a_word_that_is_refused_is_not_said_to_be_a_set_and_a_full_disk_is_no_success(home: Home) -> None:
    home.run(*DEBUG)
    refused = home.type("swap", "frontend", "--use", "nosuch:X", "--name", NAME)
    assert refused.returncode == 78
    assert refused.stderr.startswith("stages.frontend")
    with open("/dev/full", "w") as full:
        argv = [sys.executable, "-m", "pipeline", "check", str(home.config)]
        assert subprocess.run(argv, env=home.environ, cwd=home.folder, stdout=full, timeout=30).returncode == 1


def test_a_second_run_refuses_and_names_the_first(home: Home) -> None:
    process = home.run(*DEBUG)
    second = home.type("run", str(home.config))
    assert second.returncode == 75
    assert f"process {process.pid}" in second.stderr
    assert process.poll() is None
    process.kill()
    process.wait()
    again = home.run(*DEBUG)
    assert again.poll() is None


def test_two_pipelines_are_told_apart(home: Home) -> None:
    first, second = home.run(*DEBUG), home.run(*DEBUG, "--set", f"name={NAME}b")
    both = home.type("status")
    assert both.returncode == 1
    for name, process in ((NAME, first), (f"{NAME}b", second)):
        assert f"{name} (pid {process.pid})" in both.stderr
        assert home.type("status", "--name", name).stdout.startswith(f"{name}: ok")
    assert "choose one with --name or --run" in both.stderr
    run_dir = home.folder / "runtime" / "voice-pipeline" / NAME
    assert home.type("status", "--run", str(run_dir)).stdout.startswith(NAME)
    assert home.type("status", PIPELINE_RUN_DIR=str(run_dir)).stdout.startswith(NAME)
    elsewhere = home.type("status", PIPELINE_RUN_DIR=str(home.folder))
    assert elsewhere.stderr.startswith(f"no pipeline runs in {home.folder}")


def test_a_supervisor_that_does_not_answer_is_named_within_a_second(home: Home) -> None:
    process = home.run(*DEBUG)
    os.kill(process.pid, signal.SIGSTOP)
    done = home.type("status", "--name", NAME)
    assert done.returncode == 1
    assert "did not answer within 1 s" in done.stderr


def test_a_configuration_that_is_wrong_is_78_and_starts_nothing(home: Home) -> None:
    home.config.write_text(CONFIG.replace("log: {file", "log: {fiel"))
    done = home.type("run", str(home.config))
    assert done.returncode == 78
    assert "kiosk.yaml:7" in done.stderr
    assert "fiel" in done.stderr


def test_a_run_directory_that_is_too_long_is_78(home: Home) -> None:
    done = home.type("run", str(home.config), PIPELINE_RUN_DIR=str(home.folder / ("x" * 110)))
    assert done.returncode == 78
    assert "PIPELINE_RUN_DIR" in done.stderr


def test_a_closed_terminal_and_a_full_log_end_in_order(home: Home) -> None:
    process = home.run(*DEBUG)
    pids = [
        stage["pid"] for stage in json.loads(home.type("status", "--json", "--name", NAME).stdout)["stages"].values()
    ]
    assert process.stderr is not None
    process.stderr.close()
    process.send_signal(signal.SIGHUP)
    assert process.wait(10) == 0
    assert all(gone(pid, 0) for pid in pids)


def status_of(home: Home, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first `status --json` for which `done` holds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = home.type("status", "--json", "--name", NAME)
        if answer.returncode == 0 and done(status := json.loads(answer.stdout)):
            return dict(status)
    raise AssertionError(answer)


@pytest.mark.parametrize("what", ["", "lock", "control"])
def test_a_run_directory_that_is_taken_away_is_made_again_with_everything_in_it(home: Home, what: str) -> None:
    process = home.run(*DEBUG)
    run_dir = home.folder / "runtime" / "voice-pipeline" / NAME
    before = status_of(home, lambda status: True)["stages"]["frontend"]["pid"]
    (shutil.rmtree if run_dir / what == run_dir else os.unlink)(run_dir / what)
    again = status_of(
        home, lambda status: status["pipeline"]["state"] == "live" and status["stages"]["frontend"]["pid"] != before
    )
    assert again["pipeline"]["pid"] == process.pid, "whoever watches it sees the same process"
    assert gone(before, 0)
    assert f"{run_dir / (what or 'lock')} was removed" in home.type("incidents", "--name", NAME).stdout
    assert home.type("stop", "--name", NAME).returncode == 0
    assert process.wait(5) == 0


def test_a_connection_file_that_is_removed_is_written_again(home: Home) -> None:
    process = home.run(*DEBUG)
    file = home.folder / "runtime" / "voice-pipeline" / NAME / "bus.json"
    status_of(home, lambda status: status["verdict"]["code"] == "ok")
    time.sleep(0.3)  # a look of the supervisor's: what it writes of its own accord is written
    file.unlink()
    deadline = time.monotonic() + 10
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert json.loads(file.read_text())["pid"] == process.pid


def test_standard_files_that_are_closed_or_that_nobody_reads_hold_nobody(home: Home) -> None:
    check = [sys.executable, "-m", "pipeline", "run", str(home.config), *DEBUG]
    closed = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *check], env=home.environ, cwd=home.folder)
    home.started.append(closed)
    status_of(home, lambda status: status["pipeline"]["state"] == "live")
    assert home.type("stop", "--name", NAME).returncode == 0
    assert closed.wait(10) == 0
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, bytes(4096))
    os.set_blocking(write, True)
    unread = subprocess.Popen(check, env=home.environ, cwd=home.folder, stdout=write, stderr=write)
    home.started.append(unread)
    status_of(home, lambda status: status["pipeline"]["state"] == "live")
    unread.terminate()
    assert unread.wait(10) == 0
    os.close(read)
    os.close(write)
