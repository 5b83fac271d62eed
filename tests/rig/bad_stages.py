"""Stages that misbehave, each in its own way. They read `voice`, so that they are where they could do harm.

A stage is bad from its first second of sound on; its successor is good, so that a test sees it come back.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

from pipeline import Audio, Event, Stage


class Bad(Stage):
    """Bad after half a second of voice, in its first life."""

    reads: ClassVar[tuple[str, ...]] = ("voice",)
    emits: ClassVar[tuple[str, ...]] = ()

    def start(self) -> None:
        self._heard = 0

    def on_audio(self, audio: Audio) -> None:
        self._heard += 1
        if self._heard == 25 and self.brief.restarts == 0:
            self.misbehave()

    def on_event(self, event: Event) -> None:
        """Hear everything."""

    def misbehave(self) -> None:
        raise NotImplementedError


class HangsInNativeCode(Bad):
    """Holding the GIL: no Python of this process runs any more."""

    def misbehave(self) -> None:
        ctypes.PyDLL(None).sleep(600)


class Spins(Bad):
    """Never returns to its loop."""

    def misbehave(self) -> None:
        while True:
            pass


class Floods(Bad):
    """Like a sound library in its endless loop, natively and for ever."""

    def misbehave(self) -> None:
        line = b"Expression 'self->capture.ready || self->playback.ready' failed\n" * 500
        while True:
            os.write(2, line)


class ExitsWithZero(Bad):
    """As if its work were done."""

    def misbehave(self) -> None:
        os._exit(0)


class ForksAndDies(Bad):
    """Leaves one child in its group and one in a session of its own."""

    def misbehave(self) -> None:
        sleeper = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]
        pids = [subprocess.Popen(sleeper).pid, subprocess.Popen(sleeper, start_new_session=True).pid]
        Path(self.run_dir, "children").write_text(" ".join(map(str, pids)))
        os.kill(os.getpid(), signal.SIGKILL)


class Leaks(Bad):
    """50 MB with each block of sound."""

    def misbehave(self) -> None:
        self._kept: list[Any] = []
        self.after(0, self._leak)

    def _leak(self) -> None:
        self._kept.append(bytearray(os.urandom(1_000_000) * 10))
        self.after(0.02, self._leak)


class RunsOutOfDescriptors(Bad):
    """Opens files and never closes one."""

    def misbehave(self) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
        self._kept = []
        while True:
            self._kept.append(open(os.devnull))  # noqa: SIM115


class RunsOutOfMemory(Bad):
    """Against a limit of its own."""

    def misbehave(self) -> None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 50_000_000, used + 50_000_000))
        kept = []
        while True:
            kept.append(bytearray(5_000_000))
