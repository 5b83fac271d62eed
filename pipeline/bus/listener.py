"""Everything that passes on a pipeline's bus, for taps and tapes: across restarts, with every gap told.

A listener reads only. It keeps what it has not yet handed out to HIGH_WATER messages a stage, in its own process, and
loses the newest beyond that: nobody who speaks can notice.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import zmq

from pipeline.bus import codec, curve, libzmq
from pipeline.bus.patterns import Patterns
from pipeline.bus.producer import HIGH_WATER
from pipeline.bus.sticky import Seen

LOOK_S = 0.5
"""How often the connection file is looked at: for a pipeline that is not up yet, and for new stages."""
AT_ONCE = 500
"""Messages of one stage handed out before the next stage's turn."""


class Heard(NamedTuple):
    """One message."""

    ns: int
    """Monotonic ns at which it was read."""
    topic: str
    fields: dict[str, Any]
    """Its map, stamp and all; version checked."""
    missed: int
    """Messages of this stage and topic that are missing just before it."""


class Listener:
    """Subscribes to every stage of the pipeline whose run directory `find` returns, as soon as there is one."""

    def __init__(self, find: Callable[[], Path | None], patterns: Sequence[str] = ()) -> None:
        self._find, self._patterns = find, Patterns(patterns)
        self._context: zmq.Context[Any] = zmq.Context()
        self._context.setsockopt(zmq.MAX_SOCKETS, 4096)
        self._poller = zmq.Poller()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._gaps = Gaps(time.monotonic_ns())
        self._looked = -LOOK_S
        self.found: Path | None = None
        """The run directory in use; None while there is none."""
        self.malformed = 0

    def close(self) -> None:
        """Leave everybody."""
        self._context.destroy(linger=0)

    def heard(self, for_s: float = math.inf) -> Iterator[Heard]:
        """Messages as they come, for so long."""
        until = time.monotonic() + for_s
        while (left_s := until - time.monotonic()) > 0:
            self._look()
            for socket, _ in self._poller.poll(int(1000 * min(left_s, LOOK_S))):
                for message in self._read(socket):
                    yield message
                    if time.monotonic() >= until:
                        return

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked, self.found = now, self._find()
        if self.found is None:
            return
        try:
            told = json.loads((self.found / "bus.json").read_text())
            endpoints, guard = told["endpoints"], told.get("curve")
        except (OSError, ValueError, KeyError):  # it is just being started or is gone: the next look
            return
        if guard is not None:
            curve.be(curve.Identity.from_wiring(guard))
        for endpoint in endpoints.values():
            if endpoint not in self._sockets:
                self._sockets[endpoint] = self._subscribe(endpoint)

    def _subscribe(self, endpoint: str) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._context.socket(zmq.SUB)
        socket.setsockopt(zmq.RCVHWM, HIGH_WATER)
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)  # a pipeline that is gone for a night must cost nothing
        for topic in self._patterns.topics:
            socket.subscribe(topic)
        libzmq.guard_client(socket, endpoint)
        socket.connect(endpoint)
        self._poller.register(socket, zmq.POLLIN)
        return socket

    def _read(self, socket: zmq.Socket[bytes]) -> Iterator[Heard]:
        for _ in range(AT_ONCE):
            try:
                parts = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                stamp, fields = codec.stamped(parts)
            except codec.Malformed:
                self.malformed += 1
                continue
            if not self._patterns.fit(stamp.src, stamp.topic):
                continue
            missed = self._gaps.missed(stamp, fields)
            if missed is not None:
                yield Heard(time.monotonic_ns(), stamp.topic, fields, missed)


class Gaps:
    """What is missing, and what came before: by the numbers that every writer gives its messages."""

    def __init__(self, since_ns: int) -> None:
        """`since_ns`: when listening began. What was sent earlier is sticky and says nothing of losses."""
        self._since_ns = since_ns
        self._newest: dict[tuple[str, str], tuple[int, int]] = {}
        self._seen = Seen()

    def missed(self, stamp: codec.Stamp, fields: dict[str, Any]) -> int | None:
        """How many are missing before this one; None if it is a sticky event that came before."""
        audio = not stamp.topic.startswith("event.")
        if not audio and not self._seen.first_time(stamp.src, stamp.inst, stamp.topic, stamp.seq):
            return None
        if fields.get("replay") is not None or stamp.sent < self._since_ns:
            return 0
        inst, newest = self._newest.get((stamp.src, stamp.topic), (stamp.inst, stamp.seq - 1))
        if stamp.inst > inst:  # a new process counts from 0: what it said before it was found again is missing
            newest = -1 if audio else stamp.seq - 1
        if stamp.inst < inst or stamp.seq <= newest:
            return 0
        self._newest[stamp.src, stamp.topic] = (stamp.inst, stamp.seq)
        return stamp.seq - newest - 1
