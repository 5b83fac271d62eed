"""What systemd is told (sd_notify): ready, how it is, stopping, progress. Nothing where nobody listens.

The watchdog is fed by `progress` alone, called when a stage's beat was read: a supervisor that turns but hears nobody,
or hangs, is restarted by systemd, and what it started dies with it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

OFTEN: Final = 3
"""Feedings in one period of the watchdog: one may be late."""


class Notify:
    """The datagram socket that NOTIFY_SOCKET names."""

    def __init__(self, environ: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._clock = clock
        self._fed = 0.0
        self._status = ""
        usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", str(os.getpid()))
        self.every_s = int(usec) / 1e6 / OFTEN if usec.isdigit() and pid == str(os.getpid()) else 0.0
        """How often the watchdog is to be fed; 0: there is none."""

    def ready(self) -> None:
        """Everything that was to be started has been."""
        self._send("READY=1")

    def status(self, line: str) -> None:
        """One line for `systemctl status`; sent when it has changed."""
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def stopping(self) -> None:
        """An ordered stop has begun."""
        self._send("STOPPING=1")

    def progress(self) -> None:
        """A stage has beaten."""
        if self.every_s and self._clock() - self._fed >= self.every_s:
            self._fed = self._clock()
            self._send("WATCHDOG=1")

    def _send(self, words: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.setblocking(False)  # a manager that does not read must not hold us up
            out.sendto(words.encode(), self._address)
