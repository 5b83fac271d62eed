"""One SUB per producer, so that order is the writer's order: two sockets let new speech overtake its flush."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Sequence

from pipeline.bus import codec, ends
from pipeline.bus.messages import Audio, Event
from pipeline.bus.producer import HIGH_WATER
from pipeline.bus.sticky import Seen

INBOX_BYTES = 32 * 2**20
INBOX_MESSAGES = 4 * HIGH_WATER
"""What one reader holds of one producer while it works. Over it the newest is dropped and counted; audio is asked
for again by the jump of `seq`."""
BAD_AT_ONCE = 500
"""Malformed messages read in one go, 10 ms of work: who babbles must not keep its reader from anything else."""
LATE_NS = 100_000_000
"""A message older than this when read is counted as late."""

AHEAD_NS = 3_600 * 1_000_000_000
"""A place in the audio so far in the future is none: whoever believed it would take all that comes until then for what
it has heard already. Not less, because a tape that is replayed faster than it was recorded runs ahead of the clock."""
PLACED = ("speech_started", "speech_ended", "answered", "barge_in", "audible")
"""Events whose `t` is a place in the audio."""

Message = tuple[codec.Stamp, Audio | Event]


class Consumer:
    """What one stage reads of one producer."""

    def __init__(self, context: ends.Context, endpoint: str, topics: Iterable[str]) -> None:
        """`context`: libzmq's, for an endpoint that needs it; None for the process's own."""
        self.topics = set(topics)
        ordered = sorted(self.topics, reverse=True)  # `event.state` before audio
        self._line = ends.subscriber(context, endpoint, ordered, HIGH_WATER)
        self.fileno = self._line.fileno
        self.holds_more = True
        """The socket was not emptied, or was never asked: its descriptor will not say so."""
        self._inbox: deque[Message] = deque()
        self._inbox_bytes = 0
        self._seen = Seen()
        self.malformed = 0
        self.last_malformed = ""
        self.complaint = ""
        """What was wrong with the latest malformed one, and of which topic."""
        self.unreadable: dict[str, int] = {}
        """Malformed blocks by topic of ours: they came, so whoever sent them is not to be taken for unheard."""
        self.overflowed = 0
        """Messages dropped because the inbox was full."""
        self.late = 0
        self.offset_ns = 0
        """To the supervisor's clock, from ours."""
        self.latest_ms = 0.0
        """Lateness of the latest live audio block, ms from being sent to being read."""

    def close(self) -> None:
        """Leave the producer."""
        self._line.close()

    @property
    def due_ns(self) -> int | None:
        """When `drain` is to be called although nothing has come: to look for the producer again. None: never."""
        return self._line.due_ns

    def drain(self, now_ns: int, ready: Container[int] | None = None) -> bool:
        """Empty the socket into the inbox, unless it is not among the `ready`. True if there is something to read, or
        to be said of what was malformed.

        At most HIGH_WATER messages a call: a producer that floods must not keep its reader from living. A socket that
        was not emptied is read again with the next call, for its descriptor speaks once only.
        """
        if ready is not None and self.fileno not in ready and not self.holds_more:
            due_ns = self._line.due_ns
            if due_ns is None or due_ns > now_ns:
                return bool(self._inbox)
        self.holds_more, bad = True, 0
        for _ in range(HIGH_WATER):
            parts = self._line.receive()
            if parts is None:
                self.holds_more = False
                break
            try:
                stamp, message = codec.unpack(parts)
                _check_place(message, now_ns + self.offset_ns)
            except codec.Malformed as error:
                self._refuse(parts, str(error))
                bad += 1
                if bad == BAD_AT_ONCE:
                    break
                continue
            if self._wanted(stamp.topic):
                self._accept(stamp, message, now_ns)
        return bool(self._inbox or self.last_malformed)

    def _refuse(self, parts: Sequence[bytes], error: str) -> None:
        self.malformed += 1
        topic = bytes(parts[0][:40]).decode("utf-8", "replace")
        if topic in self.topics:
            self.unreadable[topic] = self.unreadable.get(topic, 0) + 1
        self.last_malformed = self.complaint = f"{topic}: {error}"

    def next(self) -> Message | None:
        """The oldest message not yet read."""
        if not self._inbox:
            return None
        stamp, message = self._inbox.popleft()
        if isinstance(message, Audio):
            self._inbox_bytes -= len(message.pcm)
        return stamp, message

    def _wanted(self, topic: str) -> bool:
        """Subscriptions are prefixes: event.say also fetches event.say_more. `event.` itself means all events."""
        return topic in self.topics or f"{topic.partition('.')[0]}." in self.topics

    def _accept(self, stamp: codec.Stamp, message: Audio | Event, now_ns: int) -> None:
        if len(self._inbox) >= INBOX_MESSAGES:
            self.overflowed += 1
            return
        if isinstance(message, Event):
            if self._seen.first_time(stamp.src, stamp.inst, stamp.topic, stamp.seq):
                self._inbox.append((stamp, message))
            return
        if message.replay is None:
            late_ns = now_ns + self.offset_ns - stamp.sent
            self.latest_ms = late_ns / 1e6
            self.late += late_ns > LATE_NS
        if self._inbox_bytes + len(message.pcm) > INBOX_BYTES:
            self.overflowed += 1
            return
        self._inbox_bytes += len(message.pcm)
        self._inbox.append((stamp, message))


def _check_place(message: Audio | Event, now_ns: int) -> None:
    """Raises codec.Malformed for one that has not come yet."""
    t = message.t if isinstance(message, Audio) else message.number("t") if message.name in PLACED else None
    if t is not None and t > now_ns + AHEAD_NS:
        raise codec.Malformed(f"expected `t` to be over, got one {(t - now_ns) / 1e9:.0f} s ahead of the clock")
