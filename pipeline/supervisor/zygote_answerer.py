"""A forked process that answers questions about stages."""

from __future__ import annotations

import os
import select
import subprocess

from pipeline.pids import pidfd_open


class Answerer:
    """One process, ours to wait for. See `config.child.Process`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, or minus the signal. Raises subprocess.TimeoutExpired."""
        if self._code is None:
            descriptor = pidfd_open(self.pid)
            if descriptor is not None:
                with os.fdopen(descriptor) as ended:
                    if not select.select([ended], [], [], timeout)[0]:
                        raise subprocess.TimeoutExpired("answers", timeout or 0.0)
            self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._code
