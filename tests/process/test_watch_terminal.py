"""`status --watch` as a terminal shows it: narrow, resized, dumb; and of a supervisor that stands still."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator

import pytest

from tests.rig.machine import Machine

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

CONFIG = "name: tiny\nstages:\n  lamp: {command: [sleep, '600'], inputs: {}, emits: []}\n"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]")


class Terminal:
    """A pseudo terminal in which `status --watch` runs."""

    def __init__(self, machine: Machine, columns: int, term: str = "xterm-256color") -> None:
        self._ours, theirs = pty.openpty()
        self.resize(columns)
        environ = {**machine.environ, "TERM": term}
        for name in ("NO_COLOR", "COLUMNS", "LINES"):  # a size that is said goes before that of the terminal
            environ.pop(name, None)
        argv = [sys.executable, "-m", "pipeline", "status", "--watch"]
        self.process = subprocess.Popen(
            argv, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", 20, columns, 0, 0))

    def frames(self, columns: int, enough: Callable[[str], bool]) -> list[str]:
        """What is drawn from now on, each whole screen apart, until one of `columns` that is `enough`."""
        text, end = "", time.monotonic() + 30
        while time.monotonic() < end:
            if select.select([self._ours], [], [], 0.1)[0]:
                text += os.read(self._ours, 65536).decode(errors="replace")
            drawn = [ESCAPES.sub("", frame) for frame in text.split("\x1b[H")]
            good = [frame for frame in drawn[1:-1] if width(frame) == columns and enough(frame)]
            if good:
                return good
        raise AssertionError(repr(text[-3000:]))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


def width(frame: str) -> int:
    return max(len(line.rstrip("\r")) for line in frame.split("\n"))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    home = tmp_path_factory.mktemp("w")
    (home / "tiny.yaml").write_text(CONFIG)
    with Machine(home, str(home / "tiny.yaml")) as machine:
        machine.until(lambda: machine.connection().get("verdict"))
        yield machine


def test_each_screen_is_as_wide_as_the_terminal_also_after_it_was_resized(machine: Machine) -> None:
    terminal = Terminal(machine, 40)
    try:
        for columns in (40, 100, 30):
            terminal.resize(columns)
            os.kill(terminal.process.pid, signal.SIGWINCH)
            frame = terminal.frames(columns, lambda frame: "lamp" in frame)[-1]
            assert frame.count("\n") < 20, "it fits the screen"
    finally:
        terminal.close()


def test_a_dumb_terminal_gets_lines(machine: Machine) -> None:
    terminal = Terminal(machine, 80, term="dumb")
    try:
        text, end = "", time.monotonic() + 30
        while text.count("\n") < 2 and time.monotonic() < end:
            if select.select([terminal._ours], [], [], 0.1)[0]:
                text += os.read(terminal._ours, 65536).decode()
        assert re.match(r"\d\d:\d\d:\d\d \S", text), text
        assert "\x1b" not in text
    finally:
        terminal.close()


def test_a_supervisor_that_stands_still_is_said_within_a_second_with_what_helps(machine: Machine) -> None:
    pid = machine.process.pid
    os.kill(pid, signal.SIGSTOP)
    said = machine.command("status")
    os.kill(pid, signal.SIGCONT)
    first, last = said.stderr.splitlines()
    assert f"did not answer within 1 s: its process {pid} is stopped" in first
    assert first.endswith(f"; kill -CONT {pid}")
    assert last.startswith("its last written state")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_somebody_else_hears_whose_it_is_and_how_to_ask(machine: Machine) -> None:
    code = "import os; from pipeline.cli import running; os.setgid(65534); os.setuid(65534); print(running.of_others())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=machine.environ, text=True, capture_output=True, timeout=30, check=True
    )
    assert done.stdout.startswith("root runs one (pid ")
    assert done.stdout.endswith("): sudo -u root voice-pipeline status\n")
