"""What of the voice must be sent, and from where again after the line or this stage was away.

Voice is never dropped for its age: while no line is up the frontend's ring keeps it, and the line that comes is given
all that was not answered, faster than real time. Places are ns of the audio's own clock (`t`): a sample of 16 kHz is
exactly 62,500 ns.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

RATE = 16_000
SAMPLE_NS = 62_500
PREROLL_NS = 300_000_000
"""Sent ahead of the speech that the local detection heard: it notices a beginning late."""
RECENT_NS = 500_000_000
"""Sent again to a new line although nobody was heard: speech may have begun that is not detected yet."""
JITTER_NS = 10_000_000
"""Timestamps are no better than that: a smaller overlap is no overlap."""
CHUNK_BYTES = 40 * RATE // 1000 * 2
"""A backlog goes out in pieces of 40 ms; live frames one by one as they come (20 ms)."""
QUEUE_BYTES = 60 * RATE * 2
"""One minute, twice what the frontend keeps: a line that takes less than it is given has to be replaced."""
RETOLD_NS = 1_000_000_000
"""Speech that began so long before the answer did is part of what is answered. A new frontend hears it a second time,
in what the microphone's ring still holds, and tells it again."""
UTTERANCES = 64
ENDLESS_NS = 60_000_000_000
"""Speech that has not ended after this long has lost its end: the frontend that knew it is gone."""


@dataclass(slots=True)
class Utterance:
    """One piece of speech as the local voice detection heard it."""

    start_t: int
    end_t: int | None = None
    """None while it goes on."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Voice to send: s16le mono, 16 kHz."""

    t: int
    pcm: bytes

    @property
    def end_t(self) -> int:
        """Where the next sample is."""
        return self.t + len(self.pcm) // 2 * SAMPLE_NS


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """No more voice comes: the service is told, so that it does not wait for silence that nobody sends."""


Piece = Chunk | StreamEnd


class Uplink:
    """The voice on its way to the service. `answered_t`: what ended by then was answered; None if that is not known."""

    def __init__(self, answered_t: int | None = None) -> None:
        self.answered_t = answered_t
        self.sent_t: int | None = None
        """End of what was sent to this line."""
        self.seen_t: int | None = None
        """End of what has come in, sent or not."""
        self.duplicate_ms = 0
        """Audio that came again and was not sent again."""
        self.overfull = False
        """The line takes less than it is given."""
        self.source_ended = False
        self.ended_sent = False
        self._covered_t: int | None = None
        """End of what the answer under way has heard."""
        self._retold: int | None = None
        """Beginning of speech that is being told again."""
        self._up = False
        self._next_t: int | None = None
        self._queue: deque[Chunk] = deque()
        self._queued = 0
        self._utterances: deque[Utterance] = deque(maxlen=UTTERANCES)
        self._known_from_t: int | None = None
        self._hears_speech = False

    # What the frontend says

    def speech_started(self, t: int) -> bool:
        """Speech began at `t`; said again for the utterance under way when this stage comes back. False if it is an old
        one that is answered, or being answered."""
        self._hears_speech = True
        covered_t = max(self.answered_t or 0, self._covered_t or 0)
        if t + RETOLD_NS < covered_t:
            self._retold = t
            return False
        if any(utterance.start_t == t for utterance in self._utterances):
            return True
        self.speech_lost()  # its end was lost, or this would not be a new beginning
        self._utterances.append(Utterance(t))
        return True

    def speech_ended(self, t: int, start_t: int | None) -> bool:
        """The speech that began at `start_t` ended at `t`. False if it is an old one, as above."""
        self._hears_speech = True
        if start_t is not None and start_t == self._retold:
            self._retold = None
            return False
        for utterance in reversed(self._utterances):
            if utterance.start_t == start_t or (start_t is None and utterance.end_t is None):
                utterance.end_t = t
                return True
        self._utterances.append(Utterance(t if start_t is None else start_t, t))
        return True

    def speech_lost(self) -> None:
        """Whoever heard the speech under way is gone: what was heard of it is an utterance."""
        for utterance in self._utterances:
            if utterance.end_t is None:
                utterance.end_t = max(utterance.start_t, self.seen_t or 0)

    def audio(self, t: int, pcm: bytes) -> None:
        """A block of voice. Kept only while a line is up; what came before is trimmed or left out."""
        end_t = t + len(pcm) // 2 * SAMPLE_NS
        if self._known_from_t is None:
            self._known_from_t = t
        self.seen_t = end_t if self.seen_t is None else max(self.seen_t, end_t)
        if not self._up:
            return
        if self._next_t is not None and self._next_t - t > JITTER_NS:
            skip = min((self._next_t - t) // SAMPLE_NS, len(pcm) // 2)
            self.duplicate_ms += skip * SAMPLE_NS // 1_000_000
            t, pcm = t + skip * SAMPLE_NS, pcm[2 * skip :]
        if not pcm:
            return
        if self._queued + len(pcm) > QUEUE_BYTES:
            self.overfull = True
            return
        self._next_t = end_t
        self._queue.append(Chunk(t, pcm))
        self._queued += len(pcm)

    def source_over(self) -> None:
        """No more voice comes, ever: when all is sent, say so."""
        self.source_ended = True

    # The line

    def line_up(self) -> int | None:
        """A fresh line: the place from which it must be given voice; None for everything that is held."""
        place = self.place()
        self._up, self._next_t = True, place
        self._clear()
        return place

    def line_down(self) -> None:
        """The line is gone, and with it what it was given."""
        self._up = False
        self._covered_t = None
        self._clear()

    def take(self) -> Piece | None:
        """What to send next, up to 40 ms at once of a backlog; None when all is sent."""
        if not self._queue:
            if self.source_ended and self._up and not self.ended_sent:
                self.ended_sent = True
                return StreamEnd()
            return None
        first = self._queue.popleft()
        parts, size, end_t = [first.pcm], len(first.pcm), first.end_t
        while self._queue and size + len(self._queue[0].pcm) <= CHUNK_BYTES:
            if abs(self._queue[0].t - end_t) > JITTER_NS:
                break  # a hole: two chunks, so that each has its true place
            part = self._queue.popleft()
            parts.append(part.pcm)
            size, end_t = size + len(part.pcm), part.end_t
        self._queued -= size
        self.sent_t = end_t
        return Chunk(first.t, b"".join(parts))

    @property
    def idle(self) -> bool:
        """All that came in was sent."""
        return self._up and not self._queue and (self.ended_sent or not self.source_ended)

    # What was answered

    def answer_begins(self) -> int | None:
        """An answer begins to come: it is to all that was sent, whose end is returned."""
        self._covered_t = self.sent_t
        return self.sent_t

    def place(self) -> int | None:
        """From where a line must be given voice: before the earliest utterance that is not answered yet."""
        if self.answered_t is None:
            return None
        starts = [u.start_t for u in self._utterances if u.end_t is None or u.end_t > self.answered_t]
        earliest = min(starts) - PREROLL_NS if starts else None
        if self._known_from_t is None or self.answered_t < self._known_from_t or not self._hears_speech:
            # What was said before this stage could hear of it is not known: give all since the last answer.
            return self.answered_t if earliest is None else min(earliest, self.answered_t)
        if earliest is not None:
            return earliest
        return max(self.answered_t, (self.seen_t or self.answered_t) - RECENT_NS)

    def answered(self, t: int) -> bool:
        """What ended by `t` is answered. True if that is news."""
        if self.answered_t is not None and t <= self.answered_t:
            return False
        self.answered_t = t
        while self._utterances and self._is_over(self._utterances[0], t):
            self._utterances.popleft()
        return True

    @property
    def quiet(self) -> bool:
        """No utterance is under way."""
        seen_t = self.seen_t or 0
        return all(u.end_t is not None or seen_t - u.start_t > ENDLESS_NS for u in self._utterances)

    @staticmethod
    def _is_over(utterance: Utterance, t: int) -> bool:
        return utterance.end_t is not None and utterance.end_t <= t

    def _clear(self) -> None:
        self._queue.clear()
        self._queued = 0
        self.sent_t = None
        self.overfull = self.ended_sent = False
