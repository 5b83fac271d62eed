"""Processes: starting one, noticing its death, ending it and all that it started.

A `Spawner` turns a recipe into a `Child`. Exec is the one way here, `zygote_spawner` has the other; both give back the
same `Child`, for everything after the start goes by process id and descriptors.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from pipeline.pids import pidfd_open
from pipeline.supervisor import sweeper
from pipeline.supervisor.recipe import Recipe

if TYPE_CHECKING:
    from pipeline.supervisor.loop import Loop


class NoSuchProgram(Exception):
    """The program of a `command:` is not there or not executable. The text names it."""


@dataclass
class Child:
    """One running process of a stage, leader of its own process group."""

    stage: str
    inst: int
    pid: int
    pidfd: int | None
    """Readable when it has ended; None where the system has no pidfd, then `reap` is to be polled."""
    stderr: int
    """Read end, non-blocking, of what it says on stderr and stdout."""
    lifeline: int
    """Write end of the pipe whose closing tells it that the supervisor is gone."""

    def kill(self, number: int) -> None:
        """Send a signal to the process alone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill_group(self) -> None:
        """SIGKILL to the process and everything in its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
            os.killpg(self.pid, signal.SIGKILL)

    def reap(self) -> int | None:
        """Its exit code or minus the signal if it has ended, else None. To be called until it says so, not after.

        What is left of its group is killed first, while the dead process still holds the group's number.
        """
        try:
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return None
            self.kill_group()
            return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        except ChildProcessError:  # somebody else waited for it: how it ended is lost, that it did is not
            return 1

    def close(self) -> None:
        """Give its descriptors back."""
        for descriptor in (self.pidfd, self.stderr, self.lifeline):
            if descriptor is not None:
                os.close(descriptor)


class Spawner(Protocol):
    """A way of making processes."""

    @property
    def pids(self) -> Collection[int]:
        """Processes of its own, which are not stages."""

    def spawn(self, recipe: Recipe) -> Child:
        """Start a process. Raises NoSuchProgram, and OSError when the system has no room for one."""

    def ready_for(self, use: str | None) -> bool:
        """False while a stage of this `use` is better started a little later."""

    def attach(self, loop: Loop) -> None:
        """Called once, before the first spawn."""

    def close(self) -> None:
        """Called when no more is spawned."""


@dataclass
class Ends:
    """The four ends of the two pipes between a new process and us."""

    said_read: int
    said_write: int
    life_read: int
    life_write: int

    @classmethod
    @contextlib.contextmanager
    def opened(cls) -> Iterator[Ends]:
        """Open them; afterwards only ours are left, and none if the body raised."""
        with contextlib.ExitStack() as if_failed, contextlib.ExitStack() as in_any_case:
            said_read, said_write = os.pipe()
            if_failed.callback(os.close, said_read)
            in_any_case.callback(os.close, said_write)
            life_read, life_write = os.pipe()
            in_any_case.callback(os.close, life_read)
            if_failed.callback(os.close, life_write)
            yield cls(said_read, said_write, life_read, life_write)
            if_failed.pop_all()

    def child(self, recipe: Recipe, pid: int) -> Child:
        """Our side of the process that has the other ends."""
        os.set_blocking(self.said_read, False)
        return Child(recipe.stage, recipe.inst, pid, pidfd_open(pid), self.said_read, self.life_write)


class ExecSpawner:
    """A new program for each process: works everywhere and for every language; a Python stage costs its imports."""

    pids: Collection[int] = ()

    def __init__(self) -> None:
        self._setpriv = shutil.which("setpriv") if sys.platform == "linux" else None

    def spawn(self, recipe: Recipe) -> Child:
        """Start it in its own group, stdin empty, stderr and stdout in a pipe, its lifeline in PIPELINE_LIFELINE."""
        argv = list(recipe.argv)
        if not recipe.ours:
            argv[0] = program(argv[0], recipe.cwd)
            if self._setpriv:
                argv = [self._setpriv, "--pdeathsig", "KILL", "--", *argv]
        with Ends.opened() as ends:
            popen = subprocess.Popen(
                argv,
                env={**recipe.environ, "PIPELINE_LIFELINE": str(ends.life_read)},
                cwd=recipe.cwd,
                stdin=subprocess.DEVNULL,
                stdout=None if recipe.terminal else ends.said_write,
                stderr=ends.said_write,
                pass_fds=(ends.life_read,),
                # its own group: Ctrl-C must reach the supervisor alone, and what a stage started ends with it
                process_group=0,
            )
            popen.returncode = 0  # we wait for it ourselves; Popen would otherwise warn, and wait a second time
            return ends.child(recipe, popen.pid)

    def ready_for(self, use: str | None) -> bool:
        """Always."""
        return True

    def attach(self, loop: Loop) -> None:
        """Nothing to watch."""

    def close(self) -> None:
        """Nothing to end."""


def program(name: str, cwd: Path | None) -> str:
    """The path of a program: relative to `cwd` if it names a folder, else from PATH. Raises NoSuchProgram."""
    path = (cwd or Path()) / name if os.sep in name else shutil.which(name)
    if path is None or not os.access(path, os.X_OK) or os.path.isdir(path):
        where = f"in {cwd}" if os.sep in name and cwd else "on PATH"
        raise NoSuchProgram(f"command: expected an executable program, found none called {name} {where}")
    return str(path)


def orphans(known: set[int]) -> list[int]:
    """Our children that we did not start: what stages left behind. Ended ones are waited for and not named."""
    found = []
    with contextlib.suppress(OSError):  # no descriptor left to look: the next look finds them
        for path in Path("/proc/self/task").glob("*/children"):
            with contextlib.suppress(OSError):  # a thread that has ended
                found += [int(pid) for pid in path.read_text().split() if int(pid) not in known]
    return [pid for pid in found if not _wait_quietly(pid)]


def end_orphan(pid: int) -> None:
    """SIGKILL to a process that a stage left behind, and wait for it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
    _wait_quietly(pid)


def _wait_quietly(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    return True


class Sweeper:
    """The program that ends what we would leave behind if we were killed. See `sweeper`."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._groups: set[int] = set()
        self._start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def add(self, group: int) -> None:
        """A process group that must not outlive us."""
        self._groups.add(group)
        self._tell(f"+{group}\n")

    def discard(self, group: int) -> None:
        """A group that is gone: its number may soon belong to somebody else."""
        self._groups.discard(group)
        self._tell(f"-{group}\n")

    def revive(self) -> None:
        """Start it again if it was killed."""
        if self._process.poll() is not None:
            self._start()

    def close(self) -> None:
        """Let it take its last look and end."""
        with contextlib.suppress(OSError):
            self._pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", sweeper.__file__, self._mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )
        assert self._process.stdin is not None
        self._pipe: IO[bytes] = self._process.stdin
        os.set_blocking(self._pipe.fileno(), False)  # a frozen sweeper must not freeze us
        for group in self._groups:
            self._tell(f"+{group}\n")

    def _tell(self, line: str) -> None:
        with contextlib.suppress(OSError):  # killed: `revive` tells the new one everything
            self._pipe.write(line.encode())
