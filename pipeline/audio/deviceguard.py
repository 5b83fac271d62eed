"""Three watches over an open stream, because the stream itself is the last to know.

A source that is unplugged raises nothing: the server moves the stream to another one, mostly to the speaker's own
monitor, and the machine listens to itself. A server that dies under a polled stream leaves the poll in a deadlock. And
a call into a frozen server, a suspended source or a driver that fails for ever simply does not return.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import IO, NoReturn

from pipeline.audio import soundserver
from pipeline.audio.soundserver import Kind


class Wire:
    """Whether the sound server lives, known at the instant it dies and without asking PortAudio.

    A connection of our own to its socket: the kernel hangs it up together with PortAudio's. The server closes strangers
    that never introduce themselves after 60 s, so it is renewed before.
    """

    RENEW_S = 25.0

    def __init__(self) -> None:
        self._wire = _connect()
        self._since = time.monotonic()
        self._poll = select.poll()
        self._register()

    def _register(self) -> None:
        if self._wire is not None:
            self._poll.register(self._wire, select.POLLIN | select.POLLHUP)

    def alive(self) -> bool:
        """False once the server has hung up. True without a unix socket to watch."""
        if self._wire is None:
            return True
        if self._poll.poll(0):
            return False
        if time.monotonic() - self._since > self.RENEW_S:
            self._renew()
        return True

    def _renew(self) -> None:
        assert self._wire is not None
        fresh = _connect()
        if fresh is None:  # full backlog or gone: the old connection will say which
            return
        self._poll.unregister(self._wire)
        self._wire.close()
        self._wire, self._since = fresh, time.monotonic()
        self._register()

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None


def _connect() -> socket.socket | None:
    with contextlib.suppress(soundserver.ServerSilent):
        return soundserver.connect()
    return None


class MoveWatch:
    """Whether our stream is still on the endpoint it was opened on; from `pactl subscribe`, in a thread of its own.

    Without pactl it never has anything to say.
    """

    EVERY_S = 5.0
    """Also checked without an event: subscribe may have missed one while it was restarted."""

    NOWHERE_S = 0.5
    """PipeWire lists a new stream before it has led it anywhere: that is looked at again."""

    def __init__(self, kind: Kind, expected: str | None, monitor_allowed: bool = False) -> None:
        self._kind: Kind = kind
        self._expected = expected
        self._monitor_allowed = monitor_allowed
        self._moved = ""
        self._closed = False
        self._subscription: subprocess.Popen[bytes] | None = None
        word = "source" if kind == "microphone" else "sink"
        stream = "source-output" if kind == "microphone" else "sink-input"
        self._relevant = tuple(f"on {name} ".encode() for name in (word, stream, "server"))
        self.checking = shutil.which("pactl") is not None
        """A change was announced and is being looked at: whoever must not hear a wrong source holds back meanwhile."""
        if self.checking:
            threading.Thread(target=self._watch, name="move-watch", daemon=True).start()

    @property
    def moved(self) -> str:
        """Where the stream went instead, as a sentence; "" while it is where it belongs."""
        return self._moved

    def close(self) -> None:
        self._closed = True
        if self._subscription is not None:
            self._subscription.kill()

    def _watch(self) -> None:
        while not self._closed:
            with self._subscribe() as subscription:
                assert subscription.stdout is not None
                self._check()
                while self._follow(subscription.stdout) and not self._closed:
                    self._check()
            time.sleep(0.5)

    def _subscribe(self) -> subprocess.Popen[bytes]:
        # The kernel ends it with us: an orphan would hold a place at the server for ever.
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        self._subscription = subprocess.Popen(
            [*leash, "pactl", "subscribe"],
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        return self._subscription

    def _follow(self, events: IO[bytes]) -> bool:
        """Wait for a change that matters, or for the time to look anyway. False at the end of the subscription."""
        deadline = time.monotonic() + self.EVERY_S
        while (left := deadline - time.monotonic()) > 0:
            if select.select([events], [], [], left)[0]:
                said = os.read(events.fileno(), 65536)
                if not said:
                    return False
                if any(word in said for word in self._relevant):
                    self.checking = True
                    return True
        return True

    def _check(self) -> None:
        with contextlib.suppress(soundserver.ServerSilent):  # frozen: then no sound comes either
            names = soundserver.connected(self._kind, os.getpid())
            if names and "" in names:
                time.sleep(self.NOWHERE_S)
                names = soundserver.connected(self._kind, os.getpid())
            if names:
                self._moved = self._judge(names)
        self.checking = False

    def _judge(self, names: list[str]) -> str:
        for name in names:
            if self._expected and name != self._expected:
                return f"the sound server moved the {self._kind} from {self._expected} to {name or 'nowhere'}"
            if not self._expected and name.endswith(".monitor") and not self._monitor_allowed:
                return f"the sound server offers only {name}, the speaker's own sound, as {self._kind}"
        return ""


class HangWatch:
    """Ends a process whose native call does not return, with a last word that says why.

        with hang_watch:
            stream.read(320)

    The hung thread can say nothing itself, and SIGKILL leaves no reason. So a thread looks on, and once a call takes
    too long it keeps the other from ever coming back from it and speaks in its place.
    """

    LOOK_S = 0.1
    DOUBT_LOOKS = 6
    """After so many looks at the same call it is found out what may be the matter; that takes DIAGNOSIS_S at most."""
    LOOKS = 12
    """And after so many it is given up. Looks, not seconds: a process that was stopped itself hangs nowhere."""

    def __init__(self, why: Callable[[], str], give_up: Callable[[str], NoReturn]) -> None:
        """`why` is asked for a reason; `give_up` takes it, in the watch's thread, and ends the process."""
        self._why, self._give_up = why, give_up
        self._call = 0
        self._inside = False
        self._returning = threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="hang-watch", daemon=True).start()

    def __enter__(self) -> None:
        self._call += 1
        self._inside = True

    def __exit__(self, *_: object) -> None:
        with self._returning:  # held for good by a watch that gives up: then it alone uses what was ours
            self._inside = False

    def close(self) -> None:
        """There will be no more calls."""
        self._closed.set()

    def _watch(self) -> None:
        call, looks, why = 0, 0, ""
        while not self._closed.wait(self.LOOK_S):
            if not self._inside or self._call != call:
                call, looks = self._call, 0
                continue
            looks += 1
            if looks == self.DOUBT_LOOKS:
                why = self._why()
            if looks >= self.LOOKS:
                with self._returning:
                    if self._inside and self._call == call:
                        self._give_up(why)
