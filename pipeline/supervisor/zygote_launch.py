"""Starts a fork server, as early as a command can: hence the standard library only."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.package import import_path
from pipeline.pids import become_subreaper

MODULE = "pipeline.supervisor.zygote"
PADDING = "." * 60
"""Last argument of the command line: room for longer names of what is forked."""
SET_AT_EXEC = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "GLIBC_", "OPENBLAS_", "OMP_", "MKL_", "TZ")
"""Variables that are read when a program starts: a stage with others than the server's is no fork of it."""


class NoFork(Exception):
    """Why a process could not be forked."""


@dataclass
class ForkServer:
    """Our end of a fork server."""

    line: socket.socket
    pid: int = 0
    """0 until it has said so itself."""
    ready: bool = False
    loaded: set[str] = field(default_factory=set)
    """Modules that are loaded already; such a stage it forks before it is `ready`."""
    asked: int = 0
    """Number of the last request."""
    answered: int = 0
    """Number of the last answer."""
    answered_at: float = 0.0
    """Monotonic s."""
    environ: dict[str, str] = field(default_factory=dict)
    """What it was started with."""


def possible() -> bool:
    """Whether this system has what forking stages takes: Linux, and a kernel of the last years."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open") and hasattr(os, "memfd_create")


def launch(mark: str, with_sdk: bool = True) -> list[ForkServer]:
    """Start the fork server of all stages, and have it start that of the SDK. Each says `ready` when it has loaded.

    Raises OSError. `mark`: NAME=VALUE for their environment, by which they are found if we are killed.
    """
    # Before their first fork: the kernel gives the SDK's server to the nearest subreaper when it is forked. If that
    # is not us yet, it waits 5 s in vain to become our child, and ends, with the session that it was to become.
    become_subreaper()
    lines = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(1 + with_sdk)]
    name, _, value = mark.partition("=")
    environ = {**os.environ, name: value}
    environ.pop("NOTIFY_SOCKET", None)
    environ["PYTHONPATH"] = os.pathsep.join(part for part in (*import_path(), environ.get("PYTHONPATH", "")) if part)
    # as every stage has them (see `recipe`), because a fork can't set them any more
    environ |= {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
    environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    theirs = tuple(their.fileno() for _, their in lines)
    popen = subprocess.Popen(
        [sys.executable, "-P", "-m", MODULE, str(os.getpid()), *map(str, theirs), PADDING],
        env=environ,
        stdin=subprocess.DEVNULL,
        pass_fds=theirs,
        process_group=0,
    )
    popen.returncode = 0  # we wait for it ourselves; Popen would otherwise warn, and wait a second time
    for _, their in lines:
        their.close()
    return [ForkServer(ours, pid, environ=environ) for (ours, _), pid in zip(lines, (popen.pid, 0), strict=False)]


def same_program(server: ForkServer, environ: Mapping[str, str]) -> None:
    """Raises NoFork if an interpreter started with `environ` would be another one than the server's."""
    for name in server.environ.keys() | environ.keys():
        if (
            name.startswith(SET_AT_EXEC)
            and name != "PYTHONPATH"  # set in the fork
            and server.environ.get(name) != environ.get(name)
        ):
            raise NoFork(f"it has a {name} of its own")
