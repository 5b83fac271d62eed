"""The reader's half of one stream: in order, no gaps, no repeats, across losses and restarts of either side. No I/O.

A reader asks a writer for what it missed once it has heard that writer's `state`; until the writer says `replayed`
live blocks are dropped, for they lie in the replay. Restarts show as a new `inst`, losses as a jump of `seq`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.bus.codec import Stamp
from pipeline.bus.messages import REPLY_RATE, Audio
from pipeline.bus.ring import Place, end_of, place_of

ASK_AGAIN_NS = 1_000_000_000
"""A request without an answer is made again after this long."""
MAX_ASKS = 3
"""After so many unanswered requests the writer is read as one that keeps nothing: rather a hole than deafness."""
STATELESS_NS = 1_000_000_000
"""A writer that has not said its state this long after its first block is read as it comes."""
COUNTS_ANEW = 25
"""After so many live blocks in a row with a `seq` of the past the writer counts anew, though it must not: half a second
lost is better than to drop all that it will ever say."""
TOLERANCE_NS = 2_000_000
"""Blocks that overlap by less are neighbours: the times of a device's blocks are smoothed and move a little."""


@dataclass(frozen=True)
class Ask:
    """The body of a `listening` event."""

    id: str
    stream: str
    place: Place | None
    to: str

    def body(self) -> dict[str, Any]:
        """As it stands in the message."""
        place = list(self.place) if isinstance(self.place, tuple) else self.place
        return {"id": self.id, "stream": self.stream, "from": place, "to": self.to}


class Inlet:
    """One stream as one reader hears it from one producer."""

    def __init__(
        self, stream: str, producer: str, reader: str, first_place: Callable[[], Place | None] = lambda: None
    ) -> None:
        """`reader` makes request ids unique: name and inst of the stage. `first_place` says where to begin."""
        self.stream, self.producer = stream, producer
        self._reader, self._first_place = reader, first_place
        self._mode: Literal["unknown", "awaiting", "live"] = "unknown"
        self._inst = -1
        self._seq: int | None = None
        self._place: Place | None = None
        self._replays = False
        self._joined = False
        """A block of this writer was taken: its next one follows it, however its times may move."""
        self._ask: Ask | None = None
        self._asks = 0
        self._asked_in_all = 0
        self._since_ns = 0
        self.received = 0
        """Blocks handed on."""
        self._lower = 0
        """Live blocks in a row whose `seq` was not above the last one's."""
        self.arrived = 0
        """Blocks that came from the producer, wanted or not: who waits for a replay is not deaf."""
        self.gaps = 0
        """Times that something was missing and asked for again."""
        self.lost_ms = 0.0
        """What no writer held any more."""
        self.unanswered = 0
        """Requests given up after MAX_ASKS."""

    @property
    def pending(self) -> Ask | None:
        """The request that is not answered yet."""
        return self._ask

    def on_state(self, inst: int, replays: bool, now_ns: int, *, ask: bool = True) -> Ask | None:
        """The writer said its state: of a new `inst` the stream is asked for from where this reader stands.

        `ask=False`: what was missed until now is not wanted, what is missed later is.
        """
        if inst < self._inst:
            return None
        if inst == self._inst and self._mode != "unknown":
            self._replays = self._replays or replays  # said so late that the stream is read as it comes already
            return None
        self._begin(inst, now_ns)
        self._replays = replays
        if not replays or not ask:
            self._mode = "live"
            return None
        return self._request(now_ns)

    def ask_from(self, place: Place | None, now_ns: int) -> Ask | None:
        """Go back to `place` (everything held for None), whatever was heard since. None if nobody is there to ask."""
        self._place = place
        if self._mode == "unknown" or not self._replays:
            return None
        self._asks = 0
        return self._request(now_ns)

    def on_audio(self, stamp: Stamp, audio: Audio, now_ns: int) -> tuple[Audio | None, Ask | None]:
        """The block, or what is new of it, or None; and a request if this one showed that something is missing."""
        self.arrived += 1  # whatever becomes of it: who reads it is not deaf
        if stamp.inst < self._inst:
            return None, None
        if stamp.inst > self._inst:
            self._begin(stamp.inst, now_ns)
        if audio.replay is not None and (self._ask is None or audio.replay != self._ask.id):
            return None, None
        if self._mode == "unknown":
            if now_ns - self._since_ns < STATELESS_NS:
                return None, None
            self._mode = "live"
        if self._mode == "awaiting":
            if audio.replay is None:
                return None, None
            self._seq = stamp.seq
            return self._splice(audio), None
        return self._live(stamp, audio, now_ns)

    def on_replayed(self, inst: int, body: Mapping[str, Any]) -> bool:
        """The writer has sent all it held. True if the request was this reader's and is now closed."""
        if self._ask is None or inst != self._inst or body.get("id") != self._ask.id:
            return False
        last, lost_ms = body.get("last"), body.get("lost_ms", 0)
        self._seq = last if isinstance(last, int) else None
        if isinstance(lost_ms, int | float) and lost_ms > 0:
            self.lost_ms += lost_ms
        self._ask, self._asks, self._mode = None, 0, "live"
        return True

    def tick(self, now_ns: int) -> Ask | None:
        """Ask again where an answer is overdue; give up after MAX_ASKS."""
        if self._mode != "awaiting" or now_ns - self._since_ns < ASK_AGAIN_NS:
            return None
        if self._asks < MAX_ASKS:
            return self._request(now_ns)
        self.unanswered += 1
        self._ask, self._mode, self._seq, self._replays = None, "live", None, False
        return None

    def _begin(self, inst: int, now_ns: int) -> None:
        self._inst, self._seq, self._mode, self._joined = inst, None, "unknown", False
        self._ask, self._asks, self._replays, self._since_ns = None, 0, False, now_ns

    def _request(self, now_ns: int) -> Ask:
        place = self._place if self._place is not None else self._first_place()
        self._asks += 1
        self._asked_in_all += 1
        ident = f"{self._reader}/{self.stream}/{self._asked_in_all}"
        self._mode, self._since_ns = "awaiting", now_ns
        self._ask = Ask(ident, self.stream, place, self.producer)
        return self._ask

    def _live(self, stamp: Stamp, audio: Audio, now_ns: int) -> tuple[Audio | None, Ask | None]:
        if self._seq is not None and stamp.seq <= self._seq:
            self._lower += 1
            if self._lower < COUNTS_ANEW:
                return None, None
            self._seq = stamp.seq
            return self._splice(audio), None
        self._lower = 0
        if self._seq is not None and stamp.seq > self._seq + 1:
            self.gaps += 1
            if self._replays:
                return None, self._request(now_ns)
        self._seq = stamp.seq
        return (self._take(audio) if self._joined else self._splice(audio)), None

    def _take(self, audio: Audio) -> Audio:
        self._place = end_of(audio)
        self._joined = True
        self.received += 1
        return audio

    def _splice(self, audio: Audio) -> Audio | None:
        """Of a block that may repeat what was heard before, the part that is new."""
        if self._place is None:
            return self._take(audio)
        start, end = place_of(audio), end_of(audio)
        if isinstance(start, tuple) and isinstance(end, tuple) and isinstance(self._place, tuple):
            if end <= self._place:
                return None
            known = self._place[1] - start[1] if self._place[0] == start[0] else 0
            return self._take(audio.from_place(max(0, known) * audio.rate // REPLY_RATE))
        if isinstance(start, int) and isinstance(end, int) and isinstance(self._place, int):
            if end <= self._place + TOLERANCE_NS:
                return None
            known = self._place - start
            skip = known * audio.rate // 1_000_000_000 if known > TOLERANCE_NS else 0
            return self._take(audio.from_place(skip))
        return self._take(audio)
