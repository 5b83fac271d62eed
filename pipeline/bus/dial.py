"""The side that connects: a SUB or DEALER of ours, which finds the other side again whenever it is back."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence

from pipeline.bus import zmtp
from pipeline.bus.wire import Lost, Wire

RETRY_NS = ((3_000_000_000, 5_000_000), (60_000_000_000, 25_000_000))
"""Lost for less than so long: tried again this often. A try takes 30 us; a killed stage is back within 50 ms."""
RETRY_LATE_NS = 100_000_000


class Dial:
    """One end that connects to `path`. `fileno` stays the same across connections, and says when there is something."""

    def __init__(
        self, path: str, kind: bytes, *, topics: Sequence[bytes] = (), identity: bytes = b"", high_water: int
    ) -> None:
        """`kind`: ZeroMQ's name of our socket. `topics`: what each new connection subscribes to."""
        self._path, self._topics, self._high_water = path, topics, high_water
        self._properties = {b"Socket-Type": kind}
        if identity:
            self._properties[b"Identity"] = identity
        if topics:
            self._properties[zmtp.TOPICS] = b"\0".join(topics)
        self._epoll = select.epoll()
        self.fileno = self._epoll.fileno()
        self._wire: Wire | None = None
        self._greeted = False
        self._owed: deque[bytes] = deque()
        """What was sent while nobody was there; the newest is dropped over `high_water`."""
        self._messages: deque[list[bytes]] = deque()
        self._emptied = self._writes = False
        self._lost_ns = self._again_ns = time.monotonic_ns()
        self._connect(self._lost_ns)

    @property
    def due_ns(self) -> int | None:
        """When to call `receive` although nothing has come: to try again. None while connected."""
        return self._again_ns if self._wire is None else None

    @property
    def waits(self) -> bool:
        """Never: our descriptor speaks as long as there is something."""
        return False

    def receive(self) -> list[bytes] | None:
        """The next message; None: nothing more for now. Connects anew when that is due."""
        if self._messages:
            return self._messages.popleft()
        if self._emptied:  # a short read has taken everything: asking again would only say so
            self._emptied = False
            return None
        if self._wire is None and not self._connect(time.monotonic_ns()):
            return None
        self._read()
        if self._messages:
            return self._messages.popleft()
        self._emptied = False
        return None

    def send(self, parts: Sequence[bytes]) -> None:
        """Send a message, or keep it until somebody is there."""
        data = zmtp.message(parts)
        if self._wire is None or not self._greeted:
            if len(self._owed) < self._high_water:
                self._owed.append(data)
            return
        try:
            self._wire.send(data)
            self._watch()
        except Lost:
            self._lose()

    def close(self, linger_s: float = 0.0) -> None:
        """Leave; what was sent last may take so long."""
        end = time.monotonic() + linger_s
        while self._wire is not None and (self._wire.waiting or self._owed) and time.monotonic() < end:
            with contextlib.suppress(OSError, ValueError):
                select.select([self.fileno], [], [], 0.005)
            self._read()
        if self._wire is not None:
            self._wire.close()
        self._wire = None
        self._epoll.close()

    def _connect(self, now_ns: int) -> bool:
        if now_ns < self._again_ns:
            return False
        away_ns = now_ns - self._lost_ns
        self._again_ns = now_ns + next((each for until, each in RETRY_NS if away_ns < until), RETRY_LATE_NS)
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError:  # no descriptor to be had: that may pass
            return False
        try:
            sock.connect(self._path)
            wire = Wire(sock, self._high_water, self._properties)
            self._epoll.register(sock.fileno(), select.EPOLLIN)
        except (OSError, Lost):  # nobody there, or not yet
            sock.close()
            return False
        self._wire, self._writes = wire, False
        return True

    def _read(self) -> None:
        wire = self._wire
        assert wire is not None
        try:
            messages, more = wire.read()
            self._messages.extend(messages)
            self._emptied = not more
            if not self._greeted and wire.ready is not None:
                self._greeted = True
                self._begin(wire, wire.ready)
            if self._writes:
                wire.flush()
            self._watch()
        except Lost:
            self._lose()

    def _begin(self, wire: Wire, theirs: Mapping[bytes, bytes]) -> None:
        """Say what a connection begins with. Not before the other side was READY: libzmq would hang up."""
        if zmtp.TOPICS not in theirs:
            for topic in self._topics:
                wire.send(zmtp.message([zmtp.SUBSCRIBE + topic]))
        for data in self._owed:
            wire.send(data)
        self._owed.clear()

    def _watch(self) -> None:
        """Have the descriptor speak up when more can be sent, if there is more."""
        if self._wire is not None and self._wire.waiting != self._writes:
            self._writes = self._wire.waiting
            self._epoll.modify(self._wire.fileno, select.EPOLLIN | (select.EPOLLOUT if self._writes else 0))

    def _lose(self) -> None:
        if self._wire is not None:
            self._wire.close()
        self._wire, self._emptied = None, False
        if self._greeted:  # one who hangs up at once is not dialled without end
            self._greeted = False
            self._lost_ns = self._again_ns = time.monotonic_ns()
