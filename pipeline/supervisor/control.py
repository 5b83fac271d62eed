"""The supervisor's ear: one ROUTER for stages (`<stage>/<inst>`) and people (`cli/<pid>`). Never blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack
import zmq

from pipeline.bus import codec, libzmq
from pipeline.bus.messages import VERSION

READ_AT_ONCE = 2_000
"""Messages a turn. ROUTER takes from its peers in turns, so one that floods delays nobody's beat by more than this."""
STATES = ("live", "waiting", "muted", "degraded")
"""What a stage can say of itself once it is live."""
REASON_LENGTH = 500


@dataclass(frozen=True)
class Word:
    """One message: who said it, what kind it is, its other fields."""

    sender: str
    """Stage name, or "cli"."""
    number: int
    """The stage's inst, or a person's process id."""
    kind: str
    fields: Mapping[str, Any]
    machine: str = ""
    """The other machine that it came from, by the name of its key."""


class Control:
    """The socket and what is wrong with what it brings."""

    def __init__(self, context: zmq.Context[Any], endpoint: str) -> None:
        self.socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.ROUTER_HANDOVER, 1)  # else a returned identity is refused for its dead holder's sake
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # a word to nobody raises instead of vanishing
        self.socket.setsockopt(zmq.LINGER, 200)
        self.socket.bind(endpoint)
        self._context = context
        self.outside: zmq.Socket[bytes] | None = None
        """For stages on other machines."""
        self.malformed = 0
        self.last_malformed = ""
        self.on_malformed: Callable[[str, str], None] = lambda sender, error: None
        """Called with who sent it, as far as its identity says so, and what was wrong."""

    def refuse(self, sender: str, error: str) -> None:
        """Count what could not be read."""
        self.malformed += 1
        self.last_malformed = error
        self.on_malformed(sender, error)

    def listen_outside(self, endpoint: str) -> None:
        """Hear stages on other machines too: guarded, and each word with the name of the machine."""
        self.outside = self._context.socket(zmq.ROUTER)
        self.outside.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self.outside.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.outside.setsockopt(zmq.LINGER, 200)
        libzmq.guard_server(self._context, self.outside, endpoint, "control")
        self.outside.bind(endpoint)

    @property
    def waits(self) -> bool:
        """Something has come and was not read."""
        sockets = [socket for socket in (self.socket, self.outside) if socket is not None]
        return any([int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN for socket in sockets])

    def heard(self) -> Iterator[Word]:
        """Everything that has come, READ_AT_ONCE at most."""
        yield from self._heard(self.socket)
        if self.outside is not None:
            yield from self._heard(self.outside, named=True)

    def _heard(self, socket: zmq.Socket[bytes], *, named: bool = False) -> Iterator[Word]:
        for _ in range(READ_AT_ONCE):
            machine = ""
            try:
                if named:
                    frames = socket.recv_multipart(zmq.NOBLOCK, copy=False)
                    parts, machine = [frame.bytes for frame in frames], str(frames[-1].get("User-Id"))
                else:
                    parts = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                yield parse(parts, machine)
            except codec.Malformed as error:
                self.refuse(bytes(parts[0]).decode("utf-8", "replace").rpartition("/")[0], str(error))

    def say(self, to: str, kind: str, **fields: Any) -> bool:
        """Send one word to a stage. False if it is not connected or does not read."""
        return self._send(to, {"v": VERSION, "kind": kind, **fields})

    def answer(self, word: Word, **fields: Any) -> bool:
        """Reply to a person."""
        return self._send(f"{word.sender}/{word.number}", {"v": VERSION, **fields})

    def close(self) -> None:
        """What was said last is still sent, for 200 ms at most."""
        self.socket.close()
        if self.outside is not None:
            self.outside.close()

    def _send(self, to: str, fields: Mapping[str, Any]) -> bool:
        for socket in (self.socket, self.outside):
            if socket is None:
                continue
            try:
                socket.send_multipart([to.encode(), msgpack.packb(fields, default=str)], zmq.NOBLOCK)
            except zmq.ZMQError:  # EHOSTUNREACH or EAGAIN: gone, or its pipe is full
                continue
            return True
        return False


def parse(parts: list[bytes], machine: str = "") -> Word:
    """One message off the ROUTER. Raises Malformed and nothing else, whatever the bytes."""
    if len(parts) != 2:
        raise codec.Malformed(f"expected 2 parts, identity and map, got {len(parts)}")
    try:
        sender, _, number = parts[0].decode().rpartition("/")
        inst = int(number)
    except ValueError as error:
        raise codec.Malformed(f"expected an identity <stage>/<inst> or cli/<pid>, got {parts[0][:40]!r}") from error
    if len(parts[1]) > codec.MAX_BYTES:
        raise codec.Malformed(f"expected at most {codec.MAX_BYTES} bytes, got {len(parts[1])}")
    fields = codec.unpack_map(parts[1])
    kind = fields.get("kind")
    if not isinstance(kind, str):
        raise codec.Malformed(f"{sender}: expected `kind` to be str, got {type(kind).__name__}")
    return Word(sender, inst, kind, fields, machine)


def state_of(word: Word) -> tuple[str, str]:
    """State and reason as a stage gave them. Raises Malformed for a state that is not its to say."""
    state, reason = word.fields.get("state"), word.fields.get("reason", "")
    if state not in STATES:
        expected = ", ".join(STATES)
        raise codec.Malformed(f"{word.sender}: expected `state` to be one of {expected}, got {str(state)[:40]!r}")
    if not isinstance(reason, str):
        raise codec.Malformed(f"{word.sender}: expected `reason` to be str, got {type(reason).__name__}")
    return str(state), reason[:REASON_LENGTH]


def counts_of(word: Word) -> tuple[dict[str, int], dict[str, int]]:
    """Blocks in and out by stream, as a beat gave them; empty where it gave none. Raises Malformed."""
    counts = word.fields.get("counts", {})
    if not isinstance(counts, dict):
        raise codec.Malformed(f"{word.sender}: expected `counts` to be a map, got {type(counts).__name__}")
    found = []
    for way in ("in", "out"):
        streams = counts.get(way, {})
        if not isinstance(streams, dict) or not all(
            isinstance(name, str) and isinstance(count, int) for name, count in streams.items()
        ):
            raise codec.Malformed(f"{word.sender}: expected `counts.{way}` to be a map of stream to number")
        found.append(streams)
    return found[0], found[1]
