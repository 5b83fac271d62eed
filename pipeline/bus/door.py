"""The side that binds: an XPUB of ours, one Unix socket with everybody who has subscribed."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections import deque
from collections.abc import Sequence

from pipeline.bus import zmtp
from pipeline.bus.wire import Lost, Wire

BACKLOG = 128
PROPERTIES = {b"Socket-Type": b"XPUB", zmtp.TOPICS: b""}
LARGEST = 65_536
"""Bytes of a frame of a reader: it says nothing but what it wants to hear."""
FULL_NS = 100_000_000
"""Without a descriptor for who knocks, the next look comes after so long."""


class Guest:
    """One reader and what it has subscribed to."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.writes = False
        self.greeted = False
        self._prefixes: dict[bytes, int] = {}
        self._wants: dict[bytes, bool] = {}

    def wants(self, topic: bytes) -> bool:
        """Whether a topic begins with something that was subscribed to."""
        known = self._wants.get(topic)
        if known is None:
            known = self._wants[topic] = any(topic.startswith(prefix) for prefix in self._prefixes)
        return known

    def subscribe(self, frame: bytes) -> bool:
        """Take note of a subscription or its end; False if it is neither."""
        prefix = frame[1:]
        if frame[:1] == zmtp.SUBSCRIBE:
            self._prefixes[prefix] = self._prefixes.get(prefix, 0) + 1
        elif frame[:1] == zmtp.CANCEL:
            if self._prefixes.get(prefix, 0) > 1:
                self._prefixes[prefix] -= 1
            else:
                self._prefixes.pop(prefix, None)
        else:
            return False
        self._wants.clear()
        return True


class Door:
    """Sends each message to whoever wants it. `fileno` says when somebody knocks, subscribes or can take more."""

    def __init__(self, high_water: int) -> None:
        self._high_water = high_water
        self._epoll = select.epoll()
        self.fileno = self._epoll.fileno()
        self._listener: socket.socket | None = None
        self._path = ""
        self._guests: dict[int, Guest] = {}
        self._came: deque[bytes] = deque()
        self._full_until_ns = 0

    def bind(self, path: str) -> None:
        """Listen at `path`, whatever lies there. Raises OSError."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listener.bind(path)
        listener.listen(BACKLOG)
        self._listener, self._path = listener, path
        self._epoll.register(listener.fileno(), select.EPOLLIN)

    @property
    def dropped(self) -> int:
        """Messages that present readers did not take in time."""
        return sum(guest.wire.dropped for guest in self._guests.values())

    @property
    def due_ns(self) -> int | None:
        """When to look again although nobody announces anything."""
        return self._full_until_ns or None

    @property
    def waits(self) -> bool:
        """What came with a send is not announced any more."""
        return bool(self._came)

    def take(self) -> bytes | None:
        """The next subscription (byte 1 and prefix) or end of one; None when there is none."""
        if not self._came:
            self._look()
        return self._came.popleft() if self._came else None

    def send(self, parts: Sequence[bytes]) -> None:
        """To everybody who wants it, also who has come in this moment."""
        self._look()
        data, lost = b"", []
        for guest in self._guests.values():
            if guest.wants(parts[0]):
                data = data or zmtp.message(parts)
                try:
                    guest.wire.send(data)
                    self._watch(guest)
                except Lost:
                    lost.append(guest)
        for guest in lost:
            self._leave(guest)

    def close(self, linger_s: float = 0.2) -> None:
        """Give the path back; readers may take so long to take the rest."""
        end = time.monotonic() + linger_s
        while any(guest.wire.waiting for guest in self._guests.values()) and (left := end - time.monotonic()) > 0:
            select.select([self.fileno], [], [], left)
            self._look()
        for guest in list(self._guests.values()):
            guest.wire.close()
        if self._listener is not None:
            self._listener.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
        self._epoll.close()

    def _look(self) -> None:
        if self._full_until_ns and time.monotonic_ns() > self._full_until_ns and self._listener is not None:
            self._full_until_ns = 0
            self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        for descriptor, _ in self._epoll.poll(0):
            guest = self._guests.get(descriptor)
            if guest is None:
                self._let_in()
                continue
            try:
                self._read(guest)
            except Lost:
                self._leave(guest)

    def _let_in(self) -> None:
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:  # no descriptor to be had: who knocks would be announced without end
            self._epoll.unregister(self._listener.fileno())
            self._full_until_ns = time.monotonic_ns() + FULL_NS
            return
        try:
            guest = Guest(Wire(sock, self._high_water, PROPERTIES, LARGEST))
        except Lost:
            sock.close()
            return
        self._guests[sock.fileno()] = guest
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        try:
            self._read(guest)  # who connects speaks at once
        except Lost:
            self._leave(guest)

    def _read(self, guest: Guest) -> None:
        messages, _ = guest.wire.read()  # once: what is left is announced again, and others have their turn
        if not guest.greeted and (theirs := guest.wire.ready) is not None:
            guest.greeted = True
            topics = theirs[zmtp.TOPICS].split(b"\0") if zmtp.TOPICS in theirs else []
            messages = [[zmtp.SUBSCRIBE + topic] for topic in topics] + messages
        for parts in messages:
            if len(parts) == 1 and guest.subscribe(parts[0]):
                self._came.append(parts[0])
        if guest.writes:
            guest.wire.flush()
            self._watch(guest)

    def _watch(self, guest: Guest) -> None:
        if guest.wire.waiting != guest.writes:
            guest.writes = guest.wire.waiting
            self._epoll.modify(guest.wire.fileno, select.EPOLLIN | (select.EPOLLOUT if guest.writes else 0))

    def _leave(self, guest: Guest) -> None:
        self._guests.pop(guest.wire.fileno, None)
        guest.wire.close()
