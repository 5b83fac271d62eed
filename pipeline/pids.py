"""What the system knows of a process, asked by its number."""

from __future__ import annotations

import os


def pidfd_open(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where there is none (not Linux, old kernel)."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None
