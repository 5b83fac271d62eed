"""Voice as the service wants it that leaves it to us when somebody speaks: activities, and nothing between them. Pure.

Decided by places in the audio, never by a clock: voice that is given again to a new line is cut into the same
activities, in the same order, however fast it comes; but for utterances that all wait to be given, which are one
activity, for they are one turn. Each sample is given once.

An utterance that is cut ends in a defined way. Frontend or microphone gone: what was heard of it is given at once, and
its activity ends when no voice has come for a second; whoever speaks on then begins another one, which the service adds
to the turn while nothing of an answer was sent. Line gone: the whole of it is given to the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.config.options import Range
from pipeline.live.backlog import JITTER_NS, Backlog, Chunk
from pipeline.live.utterances import Utterances

HELD_NS = 3_000_000_000
"""Voice that waits for the word that it is speech: a detector whose machine is busy may say it seconds late."""


@dataclass(frozen=True)
class ClientVad:
    """What is sent around speech that the frontend hears."""

    preroll_ms: Annotated[int, Range(0, 2_000)] = 300
    """Sound before the beginning, sent first: the detection notices a beginning late."""
    silence_ms: Annotated[int, Range(0, 10_000)] = 500
    """Silence after the end that ends the turn; speech that begins within it goes on with it. Less than the frontend's
    `vad.hangover_ms` makes no difference."""


@dataclass(frozen=True, slots=True)
class ActivityStart:
    """Somebody begins to speak."""


@dataclass(frozen=True, slots=True)
class ActivityEnd:
    """They have ended: the service answers."""


class Activities:
    """Between its beginning and its end an activity is sent as it comes."""

    def __init__(self, options: ClientVad) -> None:
        self._preroll_ns = options.preroll_ms * 1_000_000
        self._silence_ns = options.silence_ms * 1_000_000
        self._from_t: int | None = None
        """Where the activity under way began; None between two."""
        self._done_t = 0
        """What ended by then was given."""
        self.held = False
        """None begins: whether somebody means to speak over the machine is being judged."""

    @property
    def open(self) -> bool:
        """An activity is under way."""
        return self._from_t is not None

    def line_up(self) -> None:
        """A service that was given nothing yet."""
        self._from_t, self._done_t, self.held = None, 0, False

    def take(
        self, backlog: Backlog, utterances: Utterances, *, over: bool
    ) -> Chunk | ActivityStart | ActivityEnd | None:
        """What to send next. `over`: behind what is here comes nothing, or nothing soon."""
        if self._from_t is None:
            return self._begin(backlog, utterances)
        speech_end_t = self._speech_end_t(utterances, backlog.end_t or 0)
        end_t = speech_end_t + self._silence_ns
        if backlog.passed_t is None or backlog.passed_t + JITTER_NS < end_t:
            chunk = backlog.take(end_t)
            if chunk is not None or not (over or backlog):
                return chunk
        self._from_t, self._done_t = None, speech_end_t
        return ActivityEnd()

    def pending(self, backlog: Backlog, utterances: Utterances) -> bool:
        """There is something to send, or soon will be."""
        return self.open or self._next(backlog, utterances) is not None

    def _begin(self, backlog: Backlog, utterances: Utterances) -> ActivityStart | None:
        newest_t = backlog.end_t
        if newest_t is None:
            return None
        start_t = None if self.held else self._next(backlog, utterances)
        begin_t = None if start_t is None else start_t - self._preroll_ns
        backlog.let_go(newest_t - HELD_NS if begin_t is None else begin_t)
        if begin_t is None or not backlog:
            return None
        self._from_t = begin_t if backlog.passed_t is None else max(begin_t, backlog.passed_t)
        return ActivityStart()

    def _next(self, backlog: Backlog, utterances: Utterances) -> int | None:
        """Where the earliest speech begins of which the service was not given everything."""
        given_t = max(self._done_t, 0 if backlog.passed_t is None else backlog.passed_t + JITTER_NS)
        return utterances.first_after(given_t)

    def _speech_end_t(self, utterances: Utterances, here_t: int) -> int:
        """Where the speech of the activity under way ends, as far as that is known. `here_t`: what began by then waits
        to be given."""
        assert self._from_t is not None
        end_t: int | None = None
        for utterance in sorted(utterances, key=lambda one: one.start_t):
            if utterance.latest_t <= self._from_t:
                continue
            if end_t is not None and utterance.start_t > max(end_t + self._silence_ns, here_t):
                break
            end_t = max(end_t or 0, utterance.latest_t)
        return self._from_t if end_t is None else end_t
