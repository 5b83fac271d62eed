"""Nets that keep a stage from outliving its supervisor, and that let a hung one show its stack."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when the supervisor dies, however it dies. Linux; elsewhere the lifeline alone.

    The main loop cannot do this: a stage hung in a native read never sees its lifeline close.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent or parent == 1:
        os._exit(1)  # it died before the net was spread


def show_stacks() -> None:
    """SIGABRT (the supervisor's first word to a hung stage) and SIGUSR1 print every thread's stack on stderr.

    SIGTERM keeps its default action: a Python handler would never run while a native audio call hangs.
    """
    faulthandler.enable(all_threads=True)
    faulthandler.register(signal.SIGUSR1, all_threads=True)
