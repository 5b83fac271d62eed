"""Does the machine hear at all, and anybody but itself? A switched-off microphone delivers blocks for months, and
nobody else notices. Pure.

A real microphone never gives exact zeros for long. And each reply is a test signal: what left the speaker must be
found in the microphone, and must not be taken for a visitor.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.audio import pcm
from pipeline.audio.reference import Line, Reference, position
from pipeline.audio.resample import Timed
from pipeline.audio.trace import AFTER, BEFORE, FOUND, LATE, SAID, WINDOW, explained, trace

RATE = 16_000
ZEROS_NS = 3_000_000_000
REPLIES = 3
"""Replies in a row without a trace."""
PAUSE_NS = 700_000_000
"""Silence of the speaker that ends a reply."""
LOUD_DBFS = -50.0
"""A reply quieter than that as it left for the speaker proves nothing: volume 0, or a whisper."""
SHORTEST = RATE // 2
"""Samples of a reply that can be looked for."""
MASKED_DB = 15.0
"""The microphone is so much louder than the echo that is known from before: the echo may be there all the same."""
OWN, OWN_IN_A_ROW = 0.6, 3
"""Share of an utterance that is explained by what the speaker said, from which it is the machine's own; so many of them
in a row are a machine that talks with itself. Those that are cut off while it talks are counted elsewhere: these come
when it has finished, from a speaker that is late by more than the gate stays closed."""
SHORTEST_OWN = RATE * 3 // 10
REMEMBERED = 10
"""Traces whose strength is remembered."""

Says = Literal["ok", "silent", "deaf", "itself"]
CABLE = "look at its cable, its switch and its volume, and at the speaker's"
REMEDIES: dict[Says, str] = {
    "ok": "",
    "silent": CABLE,
    "deaf": CABLE,
    "itself": "turn the volume down, or frontend.aec: half_duplex with a longer tail_ms",
}

_NS = 1_000_000_000


@dataclass(frozen=True)
class Hearing:
    """`since`: ns, when what led to the verdict began."""

    verdict: Says
    reason: str
    since: int


class HearingTest:
    """Microphone and speaker in, a verdict out whenever it changes."""

    def __init__(self, reference: Reference) -> None:
        """`reference` is told what the speaker says by who owns it."""
        self._reference, self._heard = reference, Line()
        self._zeros_from: int | None = None
        self._begin: int | None = None  # of the reply that is to be looked for, ns
        self._end = -(1 << 62)  # of the newest sound of the speaker
        self._missed: list[int] = []  # when the replies without a trace began
        self._loss_db: deque[float] = deque(maxlen=REMEMBERED)  # speaker over microphone, of replies that were heard
        self._sent = Line()
        self._own: list[int] = []  # when the machine's own utterances began, those in a row
        self._replies = 0  # since the newest of them
        self._verdict: Says = "ok"
        self._expecting = False
        self.delay_ms: int | None = None
        """How long after its time at the speaker the newest reply was heard."""

    def played(self, t: int, duration_ns: int) -> None:
        """The speaker sounded from `t` on."""
        if t > self._end + PAUSE_NS:
            self._begin = t
            self._replies += 1
        self._end = max(self._end, t + duration_ns)

    def expect(self) -> None:
        """A test sound is about to be played: not to hear it is enough."""
        self._expecting = True

    def forget(self) -> None:
        """Muted, or the microphone was changed: what was heard until now says nothing."""
        self._zeros_from = self._begin = None
        self._expecting = False
        self._missed.clear()
        self._own.clear()

    def sent(self, block: Timed) -> None:
        """A block of the voice as it goes out."""
        self._sent.lay(block.t, block.samples)

    def uttered(self, start_t: int, t: int) -> Hearing | None:
        """Somebody spoke from `start_t` to `t` ns, as the voice that goes out says. The verdict if it changed."""
        end = position(t)
        count = min(SAID, end - position(start_t))
        if count < SHORTEST_OWN:
            return None
        played = self._reference.read(end - count - LATE, LATE + count + BEFORE)
        share, delay = explained(played, self._sent.read(end - count, count)) if played.any() else (0.0, 0)
        if share < OWN:
            return self._others("somebody else was heard", start_t)
        self._own.append(start_t)
        self._missed.clear()  # late, but heard
        self._replies = 0
        if len(self._own) < OWN_IN_A_ROW or self._verdict == "itself":
            return None
        what = f"{OWN_IN_A_ROW} utterances in a row were its own voice, {delay * 1000 // RATE} ms after it was played"
        return self._say("itself", what, self._own[0])

    def _others(self, why: str, t: int) -> Hearing | None:
        self._own.clear()
        return self._say("ok", why, t) if self._verdict == "itself" else None

    def heard(self, block: Timed) -> Hearing | None:
        """A block of the microphone, untouched. The verdict if it changed."""
        self._heard.lay(block.t, block.samples)
        end = block.t + block.samples.size * _NS // RATE
        if block.samples.any():
            self._zeros_from = None
            if self._verdict == "silent":
                return self._say("ok", "the microphone gives sound again", block.t)
        elif self._zeros_from is None:
            self._zeros_from = block.t
        elif end - self._zeros_from >= ZEROS_NS and self._verdict != "silent":
            return self._say("silent", "the microphone gives digital silence: switched off or unplugged", block.t)
        if self._own and self._replies > 1 and (found := self._others("a reply was taken for no visitor", block.t)):
            return found
        if self._begin is not None and end >= self._complete_ns(self._begin):
            begin, self._begin = self._begin, None
            return self._look(begin)
        return None

    def _complete_ns(self, begin: int) -> int:
        """When all that is needed to look for this reply is here."""
        window_ns, after_ns = WINDOW * _NS // RATE, AFTER * _NS // RATE
        whole = begin + window_ns
        return (whole if self._end >= whole else self._end + PAUSE_NS) + after_ns

    def _look(self, begin: int) -> Hearing | None:
        expected, self._expecting = self._expecting, False
        at, count = position(begin), min(WINDOW, position(self._end) - position(begin))
        played = self._reference.read(at, max(0, count))
        played_dbfs = pcm.level(played).rms_dbfs
        if count < SHORTEST or played_dbfs < LOUD_DBFS or self._verdict == "silent":
            return None
        heard = self._heard.read(at - BEFORE, BEFORE + count + AFTER)
        heard_dbfs = pcm.level(heard).rms_dbfs
        height, delay = trace(played, heard)
        if height >= FOUND:
            self._missed.clear()
            self._loss_db.append(played_dbfs - heard_dbfs)
            self.delay_ms = delay * 1000 // RATE
            return self._say("ok", "the reply was heard", begin) if self._verdict == "deaf" else None
        if not expected and self._loss_db and heard_dbfs > played_dbfs - float(np.median(self._loss_db)) + MASKED_DB:
            return None
        self._missed.append(begin)
        if (len(self._missed) < REPLIES and not expected) or self._verdict == "deaf":
            return None
        what = "the test sound" if expected else f"{REPLIES} replies"
        return self._say("deaf", self._why(what, played_dbfs, heard_dbfs), self._missed[0])

    def _why(self, what: str, played_dbfs: float, heard_dbfs: float) -> str:
        lost = f"no trace of {what} in the microphone"
        usual = played_dbfs - float(np.median(self._loss_db)) if self._loss_db else played_dbfs
        if heard_dbfs > usual + 10:
            return f"{lost}, which hears {heard_dbfs:.0f} dBFS that what was played does not explain"
        return f"{lost} ({played_dbfs:.0f} dBFS played, {heard_dbfs:.0f} dBFS heard)"

    def _say(self, verdict: Says, reason: str, since: int) -> Hearing:
        self._verdict = verdict
        self._missed.clear()
        return Hearing(verdict, reason, since)
