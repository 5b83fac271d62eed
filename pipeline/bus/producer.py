"""A stage's own socket: one XPUB on which everything that it says goes out. Sending never blocks."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.bus import codec, ends
from pipeline.bus.messages import VERSION, Audio, topic_of
from pipeline.bus.outlet import Outlet
from pipeline.bus.ring import Place
from pipeline.bus.sticky import Sticky

LINGER_S = 0.2
"""At the end, for readers to fetch the rest."""
HIGH_WATER = 8_000
"""Messages held for one slow reader, 160 s of 20 ms blocks. Over it the newest are dropped for that reader alone,
which sees the jump of `seq` and asks for them again. The default of 1000 lost the newest 2,000 of a 3,000 burst."""


class NameTaken(RuntimeError):
    """Another process holds this stage's name on the bus."""


class Producer:
    """Everything one stage says: audio with its rings, events with their stickiness."""

    def __init__(
        self,
        context: ends.Context,
        endpoint: str,
        src: str,
        inst: int,
        now_ns: Callable[[], int],
        outside: str | None = None,
    ) -> None:
        """`context`: libzmq's, for an endpoint that needs it; None for the process's own. `outside`: a second endpoint,
        for readers on other machines."""
        self.endpoint, self.src, self.inst = endpoint, src, inst
        self._now_ns = now_ns
        self._sticky = Sticky()
        self._outlets: dict[str, Outlet] = {}
        self._event_seqs: dict[str, int] = {}
        self._lock: int | None = None
        self.sent: dict[str, int] = {}
        """Live blocks sent, by stream."""
        self.unfit_requests = 0
        """Replay requests that made no sense."""
        self.offset_ns = 0
        """To the supervisor's clock, from ours."""
        self._line: ends.Writes
        if outside is None:
            self._line = ends.publisher(context, endpoint, HIGH_WATER)
        else:
            from pipeline.bus.doors import Doors

            self._line = Doors(context, (endpoint, outside), HIGH_WATER)
        self.fileno = self._line.fileno

    def bind(self) -> None:
        """Take the stage's name. Raises NameTaken: a second bind of an ipc path would succeed silently otherwise."""
        if self.endpoint.startswith("ipc://"):
            path = Path(self.endpoint.removeprefix("ipc://")).with_suffix(".lock")
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(self._lock)
                self._lock = None
                raise NameTaken(f"{self.src} is already on the bus: another process holds {path}") from error
        self._line.bind(ends.path_of(self.endpoint) or self.endpoint)

    def close(self) -> None:
        """Give the name back. What readers have not fetched is kept for 200 ms."""
        self._line.close(LINGER_S)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def event(self, name: str, body: Mapping[str, Any], *, sticky: bool = False, key: str | None = None) -> None:
        """Say that something happened; a sticky one is said again to each new subscriber until released."""
        topic = topic_of(name)
        seq = self._event_seqs[topic] = self._event_seqs.get(topic, -1) + 1
        parts = codec.pack(topic, {**self._stamp(seq), "body": dict(body)})
        if sticky:
            self._sticky.hold(topic, key, parts)
        self._send(parts)

    def release(self, name: str, key: str | None = None) -> None:
        """A sticky event holds no more."""
        self._sticky.release(topic_of(name), key)

    def audio(self, audio: Audio) -> None:
        """Send a live block and keep it in its stream's ring."""
        seq = self._outlet(audio.stream).add(audio)
        self._send_audio(seq, audio)
        self.sent[audio.stream] = self.sent.get(audio.stream, 0) + 1

    def offer(self, stream: str) -> None:
        """Make the ring of a stream before its first block, so that a reader's request finds it."""
        self._outlet(stream)

    @property
    def streams(self) -> list[str]:
        """Streams that are kept and can be asked for."""
        return list(self._outlets)

    def trim(self, stream: str, place: Place) -> None:
        """Forget what ends at or before `place`."""
        self._outlet(stream).ring.trim(place)

    def answer(self, request: Mapping[str, Any]) -> None:
        """Answer a `listening` request: its blocks, then always `replayed`. One for another writer is ignored."""
        stream = request.get("stream")
        if not isinstance(stream, str) or stream not in self._outlets or request.get("to", self.src) != self.src:
            return
        try:
            blocks, replayed = self._outlets[stream].answer(request)
        except ValueError:
            self.unfit_requests += 1
            return
        for seq, audio in blocks:
            self._send_audio(seq, audio)
        self.event("replayed", replayed)

    @property
    def waits(self) -> bool:
        """A subscriber has sent something that the descriptor does not announce (any more)."""
        return self._line.waits

    def pump(self) -> int | None:
        """Read what subscribers sent and say sticky events to new ones. Returns the ns time of the next call due.

        Anything but a subscription is discarded: a tap cannot speak.
        """
        while (frame := self._line.take()) is not None:
            if frame[:1] == b"\x01":
                self._sticky.joined(frame[1:])
        return self.say_again()

    def say_again(self) -> int | None:
        """Say sticky events to new subscribers, if it is time. Returns the ns time of the next call due."""
        for parts in self._sticky.take(self._now_ns()):
            self._send(parts)
        due = (self._sticky.due_ns(), self._line.due_ns)
        return min((at for at in due if at is not None), default=None)

    def _outlet(self, stream: str) -> Outlet:
        if stream not in self._outlets:
            self._outlets[stream] = Outlet(stream)
        return self._outlets[stream]

    def _send_audio(self, seq: int, audio: Audio) -> None:
        self._send(codec.pack(f"audio.{audio.stream}", {**self._stamp(seq), **codec.audio_fields(audio)}))

    def _send(self, parts: list[bytes]) -> None:
        self._line.send(parts)

    def _stamp(self, seq: int) -> dict[str, Any]:
        return {"v": VERSION, "src": self.src, "inst": self.inst, "seq": seq, "sent": self._now_ns() + self.offset_ns}
