"""One worker process from the stage's side: started without anything of the stage's, spoken with, ended for certain."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.package import import_path
from pipeline.pids import pidfd_open
from pipeline.tools import wire
from pipeline.tools.noise import Noise

OURS = ("PIPELINE_WIRING", "PIPELINE_LIFELINE", "PIPELINE_STAGE", "PIPELINE_INST")
"""Variables that would make a worker pass for its stage."""
NOISE_S = 0.05
NOISE_BYTES = 16_384
"""Read from a worker's stdout and stderr in that time; more waits in the pipe, and so does the worker."""
POLL_S = 0.2
"""Between two looks whether a worker lives, where the system has no descriptor for that."""


class Process:
    """A worker. `on_message` gets what it says, `on_end` how it ended, once; both on the loop it is `attach`ed to."""

    def __init__(self, module: str, first: Mapping[str, Any], folder: Path, environ: Mapping[str, str]) -> None:
        """Start `python -m MODULE` and give it `first`. Raises OSError when there is no room for a process."""
        self.on_message: Callable[[dict[str, Any]], None] = lambda _: None
        self.on_end: Callable[[str], None] = lambda _: None
        self.on_line: Callable[[str], None] = lambda _: None
        self._unpacker, self._noise = wire.Unpacker(), Noise()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pausing: asyncio.TimerHandle | None = None
        self._ended = False
        self._line, theirs = socket.socketpair()
        self._said, said = os.pipe()
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-m", module, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=_environ(environ),
                cwd=folder,
                pass_fds=(theirs.fileno(),),  # and no other: none of the stage's sockets
                # a group to be killed as one; no session, or niceness would not count (see `confined`)
                process_group=0,
            )
        except OSError:
            self._line.close()
            os.close(self._said)
            raise
        finally:
            theirs.close()
            os.close(said)
        for descriptor in (self._line.fileno(), self._said):
            os.set_blocking(descriptor, False)
        self.pid = self._popen.pid
        self._pidfd = pidfd_open(self.pid)
        self.send(first)

    def send(self, message: Mapping[str, Any]) -> None:
        """Give it a message. One that does not take it (its end has perhaps not been noticed yet) is ended."""
        data = wire.pack(message)
        try:
            if self._line.send(data) != len(data):
                self.kill()
        except OSError:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to it and all in its group. That it has ended is said as for any other end."""
        if not self._ended:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def wait_for(self, key: str, seconds: float) -> dict[str, Any] | str:
        """Its first message with `key`, before it is attached to a loop; or how it ended, or that it is late."""
        until = time.monotonic() + seconds
        ends: list[Any] = [self._line, self._said]
        while (left_s := until - time.monotonic()) > 0:
            ready, _, _ = select.select(ends, [], [], min(left_s, POLL_S))
            if self._said in ready:
                self._read_noise()
            if self._line in ready:
                try:
                    for message in self._received():
                        if key in message:
                            return message
                except EOFError:
                    return self._reap()
            if self._has_ended():
                return self._reap()
        return f"took more than {seconds:g} s"

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the loop call `on_message` and `on_end` from now on."""
        self._loop = loop
        loop.add_reader(self._line, self._on_line)
        loop.add_reader(self._said, self._on_noise)
        if self._pidfd is not None:
            loop.add_reader(self._pidfd, self._on_end)
        else:
            loop.call_later(POLL_S, self._look)

    def close(self) -> None:
        """Kill it and wait for its end, without a word to anybody."""
        self.on_end = lambda _: None
        self.kill()
        self._on_end()

    # Inside

    def _received(self) -> Iterator[dict[str, Any]]:
        """What has come. Raises EOFError when it has closed its end, or speaks another language."""
        try:
            data = self._line.recv(wire.CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            raise EOFError from error
        if not data:
            raise EOFError
        try:
            yield from self._unpacker.feed(data)
        except wire.Garbled as error:
            raise EOFError from error

    def _on_line(self) -> None:
        try:
            for message in self._received():
                self.on_message(message)
        except EOFError:
            assert self._loop is not None
            self._loop.remove_reader(self._line)
            self.kill()  # whoever closed the line serves us no more; that it ended comes by its descriptor

    def _on_noise(self) -> None:
        assert self._loop is not None
        self._loop.remove_reader(self._said)
        if self._read_noise():
            self._pausing = self._loop.call_later(NOISE_S, self._loop.add_reader, self._said, self._on_noise)

    def _read_noise(self) -> bool:
        try:
            data = os.read(self._said, NOISE_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        for line in self._noise.feed(data, time.monotonic_ns()):
            self.on_line(line)
        return bool(data)

    def _look(self) -> None:
        if self._ended or self._loop is None:
            return
        if self._has_ended():
            self._on_end()
        else:
            self._loop.call_later(POLL_S, self._look)

    def _has_ended(self) -> bool:
        """Not waited for yet: a dead process holds the number of its group until then."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _on_end(self) -> None:
        if self._ended:
            return
        how = self._reap()
        self.on_end(how)

    def _reap(self) -> str:
        """Wait for it, end what it left of its group, give the descriptors back; how it ended, in words."""
        self.kill()
        self._ended = True
        code = self._popen.wait()
        with contextlib.suppress(EOFError):  # what it said before its end
            for message in self._received():
                self.on_message(message)
        self._read_noise()
        for line in self._noise.end():
            self.on_line(line)
        if self._loop is not None:
            if self._pausing is not None:
                self._pausing.cancel()
            for descriptor in (self._line.fileno(), self._said, self._pidfd):
                if descriptor is not None:
                    self._loop.remove_reader(descriptor)
        self._line.close()
        for number in (self._said, self._pidfd):
            if number is not None:
                os.close(number)
        return f"ended its process with {code}" if code >= 0 else f"ended its process by {_signal(-code)}"


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if name not in OURS}
    kept["PYTHONPATH"] = os.pathsep.join(part for part in (*import_path(), environ.get("PYTHONPATH", "")) if part)
    return {**kept, "PYTHONUNBUFFERED": "1"}


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
