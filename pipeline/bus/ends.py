"""Which ends a connection has: our own on this machine, libzmq's for every other address and system."""

from __future__ import annotations

import select
from collections.abc import Sequence
from typing import Any, Protocol

IPC = "ipc://"
OWN = hasattr(select, "epoll")

Context = Any  # zmq.Context | None; None: the process's own, made when it is needed


class Reads(Protocol):
    """The side that connects."""

    @property
    def fileno(self) -> int:
        """Readable when something has come."""

    @property
    def due_ns(self) -> int | None:
        """When to call `receive` although nothing has come; None: never."""

    @property
    def waits(self) -> bool:
        """Something has come that the descriptor may not announce, because a send has taken its edge."""

    def receive(self) -> list[bytes] | None:
        """The next message; None when there is none for now."""

    def send(self, parts: Sequence[bytes]) -> None:
        """Send or keep; the newest is dropped when too much is kept."""

    def close(self, linger_s: float = 0.0) -> None:
        """Leave; what was sent last may take so long."""


class Writes(Protocol):
    """The side that binds, and sends to whoever has subscribed."""

    @property
    def fileno(self) -> int:
        """Readable when somebody has subscribed."""

    @property
    def due_ns(self) -> int | None:
        """When to call `take` although nothing has come; None: never."""

    @property
    def waits(self) -> bool:
        """A subscription has come that the descriptor may not announce."""

    def bind(self, path: str) -> None:
        """Take the address."""

    def take(self) -> bytes | None:
        """The next subscription; None when there is none for now."""

    def send(self, parts: Sequence[bytes]) -> None:
        """To all who want it; never blocks."""

    def close(self, linger_s: float = 0.2) -> None:
        """Give the address back."""


def path_of(endpoint: str) -> str | None:
    """The path of a socket that we reach by ourselves; None if it is libzmq's matter."""
    own = OWN and endpoint.startswith(IPC) and not endpoint.startswith(IPC + "@")
    return endpoint.removeprefix(IPC) if own else None


def subscriber(context: Context, endpoint: str, topics: Sequence[str], high_water: int) -> Reads:
    """A SUB."""
    if (path := path_of(endpoint)) is not None:
        from pipeline.bus.dial import Dial

        return Dial(path, b"SUB", topics=[topic.encode() for topic in topics], high_water=high_water)
    from pipeline.bus import libzmq

    return libzmq.subscriber(context, endpoint, topics, high_water)


def dealer(context: Context, endpoint: str, identity: str, high_water: int) -> Reads:
    """A DEALER."""
    if (path := path_of(endpoint)) is not None:
        from pipeline.bus.dial import Dial

        return Dial(path, b"DEALER", identity=identity.encode(), high_water=high_water)
    from pipeline.bus import libzmq

    return libzmq.dealer(context, endpoint, identity, high_water)


def publisher(context: Context, endpoint: str, high_water: int) -> Writes:
    """An XPUB, not bound yet: to `path_of(endpoint)` or the endpoint itself."""
    if path_of(endpoint) is not None:
        from pipeline.bus.door import Door

        return Door(high_water)
    from pipeline.bus import libzmq

    return libzmq.Publisher(context, high_water)
