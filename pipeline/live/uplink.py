"""What of the voice must be sent, and from where again after the line or this stage was away.

Voice is never dropped for its age: while no line is up the frontend's ring keeps it, and the line that comes is given
all that was not answered, faster than real time. What is made of it for the service (pauses.py, activities.py) depends
on who detects speech there.

Somebody who asks one thing, waits, and asks another while no line is there has asked both in one turn: they are given
without the pause between them, so that one answer says both. Given one after the other, the second would silence the
answer to the first; held back until that was heard, it would come late, and a question that was only repeated would be
answered twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.live.activities import Activities, ActivityEnd, ActivityStart, ClientVad
from pipeline.live.backlog import CHUNK_BYTES, JITTER_NS, QUEUE_BYTES, RATE, SAMPLE_NS, Backlog, Chunk
from pipeline.live.pauses import PAUSE_NS, Pauses, StreamEnd
from pipeline.live.utterances import Utterances

__all__ = [
    "CHUNK_BYTES",
    "QUEUE_BYTES",
    "RATE",
    "SAMPLE_NS",
    "ActivityEnd",
    "ActivityStart",
    "Chunk",
    "Piece",
    "StreamEnd",
    "Uplink",
]

PREROLL_NS = 300_000_000
"""Sent ahead of the speech that the local detection heard: it notices a beginning late."""
RECENT_NS = 500_000_000
"""Sent again to a new line although nobody was heard: speech may have begun that is not detected yet."""
RETOLD_NS = 1_000_000_000
"""Speech that began so long before the answer did is part of what is answered. A new frontend hears it a second time,
in what the microphone's ring still holds, and tells it again."""

Piece = Chunk | StreamEnd | ActivityStart | ActivityEnd


class Uplink:
    """The voice on its way to the service. `answered_t`: what ended by then was answered; None if that is not known.

    `client_vad`: the frontend's word says when somebody speaks; None: the service finds out by itself. `pause_ns`:
    without voice for so long the service is told. `told`: utterances that the session before this one was told of, none
    left out between them.
    """

    def __init__(
        self,
        answered_t: int | None = None,
        *,
        client_vad: ClientVad | None = None,
        pause_ns: int = PAUSE_NS,
        told: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.answered_t = answered_t
        self.seen_t: int | None = None
        """End of what has come in, sent or not."""
        self.came_ns: int | None = None
        """When voice came last."""
        self.overfull = False
        """The line takes less than it is given."""
        self.source_ended = False
        self.ended_sent = False
        self.stalled = False
        """No voice has come for a second: microphone or frontend are gone."""
        self._pauses = Pauses(pause_ns)
        self._activities = Activities(client_vad) if client_vad is not None else None
        self._preroll_ns = max(PREROLL_NS, client_vad.preroll_ms * 1_000_000 if client_vad is not None else 0)
        self._covered_t: int | None = None
        """End of what the answer under way has heard."""
        self._retold: int | None = None
        """Beginning of speech that is being told again."""
        self._up = False
        self._again = self._caught_up = False
        self._next_t: int | None = None
        self._backlog = Backlog()
        self._utterances = Utterances()
        self._inherited_t = 0
        """Of what began before, the session before this one was told."""
        for start_t, end_t in told:
            if end_t > (answered_t or 0):
                self._utterances.ended(end_t, start_t)
                self._inherited_t = start_t
        self._known_from_t: int | None = None
        self._hears_speech = False

    # What the frontend says

    def speech_started(self, t: int) -> bool:
        """Speech began at `t`; said again for the utterance under way when this stage comes back. False if it is an old
        one that is answered, or being answered."""
        self._hears_speech = True
        if self.covers(t + RETOLD_NS):
            self._retold = t
            return False
        self._utterances.started(t, self.seen_t)
        return True

    def speech_ended(self, t: int, start_t: int | None) -> bool:
        """The speech that began at `start_t` ended at `t`. False if it is an old one, as above."""
        self._hears_speech = True
        if start_t is not None and start_t == self._retold:
            self._retold = None
            return False
        self._utterances.ended(t, start_t)
        if self._activities is not None and self._activities.held:
            self._utterances.withdraw(start_t)
        return True

    def speech_lost(self) -> None:
        """Whoever heard the speech under way is gone: what was heard of it is an utterance."""
        self._utterances.lost(self.seen_t)

    def hold(self) -> None:
        """Somebody speaks over the machine, or coughs: no activity begins, which would silence it, until `release`.
        What ends before that was no speech to the service."""
        if self._activities is not None:
            self._activities.held = True

    def release(self) -> None:
        """They do speak, or the machine has ended."""
        if self._activities is not None:
            self._activities.held = False

    def presume(self, end_t: int | None) -> None:
        """Somebody spoke whom a session before this one heard, until `end_t` if it heard that too. A service that
        detects speech by itself needs no telling."""
        if self._activities is not None:
            self._utterances.presume(self.answered_t or 0, end_t)

    def audio(self, t: int, pcm: bytes, *, gated: bool = False, again: bool = False, now_ns: int | None = None) -> None:
        """A block of voice. Kept only while a line is up; what came before is trimmed or left out. `again`: it was
        asked for, and is not live. `now_ns`: when it came; None: as it was spoken."""
        end_t = t + len(pcm) // 2 * SAMPLE_NS
        if self._known_from_t is None and not again:
            self._known_from_t = t  # what was said before, nobody will tell
        self.seen_t = end_t if self.seen_t is None else max(self.seen_t, end_t)
        self.came_ns = end_t if now_ns is None else now_ns
        self.stalled = False
        if not self._up:
            return
        if again or self._again:
            self._watch(again, t)
        if self._next_t is not None and self._next_t - t > JITTER_NS:
            skip = min((self._next_t - t) // SAMPLE_NS, len(pcm) // 2)
            t, pcm = t + skip * SAMPLE_NS, pcm[2 * skip :]
        if not pcm:
            return
        if again and self._known(t, end_t) and self._utterances.pause(t, end_t):
            self._next_t = end_t
            return
        if not self._backlog.add(Chunk(t, pcm, gated)):
            self.overfull = True
            return
        self._next_t = end_t

    def source_over(self) -> None:
        """No more voice comes, ever: when all is sent, say so."""
        self.source_ended = True

    def tick(self, now_ns: int) -> bool:
        """Time passes. True once when no voice has come for a second: whoever spoke is heard no more, and the service
        must be told of it."""
        if self.stalled or self.came_ns is None or now_ns - self.came_ns < PAUSE_NS:
            return False
        self.stalled = True
        self.speech_lost()
        return True

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
        if not self._up:
            return None
        if self._activities is not None:
            piece: Piece | None = self._activities.take(self._backlog, self._utterances, over=self.stalled)
        else:
            piece = self._pauses.take(self._backlog, self._over)
        if piece is None or isinstance(piece, StreamEnd):
            self.ended_sent = self.ended_sent or (self.source_ended and not self._pending())
        return piece

    @property
    def sent_t(self) -> int | None:
        """End of what this line was given, or need not be given."""
        return self._backlog.passed_t

    @property
    def idle(self) -> bool:
        """All that came in was sent."""
        return self._up and not self._pending() and (self.ended_sent or not self.source_ended)

    @property
    def abreast(self) -> bool:
        """All that came in was sent but for what came just now: where voice flows, a block is nearly always on its
        way."""
        if self.sent_t is None or self.seen_t is None or self.speaking:
            return self.idle
        return self.idle or (self._up and self.seen_t - self.sent_t <= RECENT_NS)

    @property
    def hears_speech(self) -> bool:
        """The frontend says when somebody speaks."""
        return self._hears_speech

    @property
    def speaking(self) -> bool:
        """An activity is under way: what else is given to the service now belongs to it."""
        return self._activities is not None and self._activities.open

    # What was answered

    def answer_begins(self) -> int | None:
        """An answer begins to come: it is to all that was sent, whose end is returned."""
        self._covered_t = self.sent_t
        return self.sent_t

    def covers(self, t: int) -> bool:
        """What ended at `t` is answered, or being answered."""
        return t <= max(self.answered_t or 0, self._covered_t or 0)

    def place(self) -> int | None:
        """From where a line must be given voice: before the earliest utterance that is not answered yet."""
        if self.answered_t is None:
            return None
        first_t = self._utterances.first_after(self.answered_t)
        earliest = None if first_t is None else first_t - self._preroll_ns
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
        self._utterances.forget(t)
        return True

    @property
    def told(self) -> list[tuple[int, int]]:
        """Utterances not answered yet, start and end, that this session was told of, none left out between them."""
        ended = [(each.start_t, each.end_t) for each in self._utterances if each.end_t is not None]
        if self._known_from_t is None:  # it has heard nothing yet: what it was left is all there is
            return [each for each in ended if each[0] <= self._inherited_t]
        return [each for each in ended if each[0] >= self._known_from_t]

    @property
    def quiet(self) -> bool:
        """No utterance is under way."""
        return self._utterances.quiet(self.seen_t or 0)

    # Inside

    def _pending(self) -> bool:
        if self._activities is not None:
            return self._activities.pending(self._backlog, self._utterances)
        return bool(self._backlog)

    def _known(self, t: int, end_t: int) -> bool:
        """Whoever spoke there, this session was told of it, or the one before."""
        return end_t <= self._inherited_t or (self._known_from_t is not None and t >= self._known_from_t)

    def _watch(self, again: bool, t: int) -> None:
        """Whether voice is given again, and when that is over."""
        if not again:
            self._caught_up = True
            self._utterances.live_again(t)
        self._again = again

    def _over(self) -> bool:
        """Behind what was sent comes nothing, for now or for good; asked when all is sent.

        A service may take speech that came faster than it was spoken for begun and wait for its end by the clock: so
        after an utterance that was given again, and behind which nobody speaks, it is told that this was all.
        """
        caught_up, self._caught_up = self._caught_up, False
        again = caught_up and self.quiet and (bool(self._utterances) or not self._hears_speech)
        return self.stalled or again or (self.source_ended and not self.ended_sent)

    def _clear(self) -> None:
        self._backlog.clear()
        self._pauses.line_up()
        if self._activities is not None:
            self._activities.line_up()
        self.overfull = self.ended_sent = self._again = self._caught_up = False
