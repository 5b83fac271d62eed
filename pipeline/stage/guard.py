"""Nets that keep a stage from outliving its supervisor, and that let a hung one show its stack."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import select
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None, lifeline: int | None = None) -> None:
    """Have the kernel kill this process when the supervisor dies, however it dies. Linux; elsewhere the lifeline alone.

    The main loop cannot do this: a stage hung in a native read never sees its lifeline close. `parent`: the pid of the
    supervisor, where it is known. Where it is not, being a child of process 1 can mean that it died before the net was
    spread, or that it is process 1 itself, as in a container; then the lifeline tells.
    """
    if sys.platform != "linux":
        return
    found = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != (parent or found) or (parent is None and found == 1 and not _open(lifeline)):
        os._exit(1)  # it died before the net was spread


def _open(lifeline: int | None) -> bool:
    if lifeline is None:
        return False
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    return not poll.poll(0)


def show_stacks() -> None:
    """SIGABRT (the supervisor's first word to a hung stage) and SIGUSR1 print every thread's stack on stderr.

    SIGTERM keeps its default action: a Python handler would never run while a native audio call hangs.
    """
    faulthandler.enable(all_threads=True)
    faulthandler.register(signal.SIGUSR1, all_threads=True)
