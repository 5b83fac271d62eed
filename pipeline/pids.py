"""Processes by their numbers: what the system knows of one, whose child an orphan becomes, and in which boot."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

PR_SET_CHILD_SUBREAPER = 36


def pidfd_open(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where there is none (not Linux, old kernel)."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def state(pid: int) -> str:
    """Its letter as `ps` shows it: T (stopped), t (by a debugger), D (stuck in the kernel), …; "" if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode()
    except (OSError, IndexError):
        return ""


def stopped(pid: int) -> bool:
    """Whether a signal or a debugger stopped it: it answers nobody, however long one waits."""
    return state(pid) in ("T", "t")


def kept_waiting_s(pid: int) -> float:
    """How long a process was ready to run and was not run, since it began; 0 where the system does not say (Linux)."""
    try:
        with open(f"/proc/{pid}/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):  # gone; a kernel without the figure
        return 0.0


def environ_of(pid: int) -> set[bytes]:
    """The variables a process was started with ("NAME=VALUE"); empty if it is gone."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        return set(file.read().split(b"\0"))
    return set()


def boot_id() -> str:
    """What tells this start of the machine from every other; "" if it can't be known, as where no /proc is mounted."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def become_subreaper() -> None:
    """Have orphans of our children become ours instead of init's, so that they can be found and ended. Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
