"""The turns of a conversation: each opens with new input and ends once, whatever the service does in between.

The service says little about turns and not always in order: `interrupted` without an answer, `turnComplete` early,
empty, twice or never, output that nobody asked for. So a turn is opened by what the person did (the local voice
detection, a text, a greeting), or at the latest by the first output; transcripts open none, because they come late. And
it is ended by the service, by the loss of the line after a whole answer, or by the stall watchdog: an open turn would
hold the visit, and the machine would never be at rest.
"""

from __future__ import annotations

from collections import deque

from pipeline.live.memory import OpenTurn
from pipeline.live.turn import Began, Change, Ended, FirstAudio, Kind, Outcome, Spoke, Started, Turn

__all__ = ["Began", "Change", "Ended", "FirstAudio", "Kind", "Outcome", "Spoke", "Started", "Turn", "Turns"]

STALL_S = 10.0
"""Nothing from the service for so long, with everything sent and nothing playing: no answer comes any more."""
CALL_S = 180.0
"""A function that has not answered after this long never will: who runs it has deadlines of its own, far shorter."""
ENDLESS_S = 60.0
"""Speech that has not ended after this long has lost its end: the frontend that knew it is gone."""
WAITING_INPUTS = 8
"""Inputs that wait for an answer under way to end. Over it the oldest is dropped: its answer opens a turn anyway."""
_NS = 1_000_000_000


class Turns:
    """The turn under way and what waits behind it. Every method takes monotonic ns and returns what changed."""

    def __init__(self, next_turn: int = 1) -> None:
        self.turn: Turn | None = None
        self.last: Turn | None = None
        """The turn that ended last."""
        self.waiting: deque[Turn] = deque()
        self.dropped = 0
        """Inputs that found no place among the waiting."""
        self.next_turn = next_turn
        self._owed = False
        """The service interrupted, so one turnComplete is still to come that ends nothing of ours."""
        self._late_tool = False
        """A result went out after its turn had ended: what the service says next is no answer to new input."""
        self._left_speaking = False
        """The visitor left in mid-speech: what still comes of it is nobody's."""

    @property
    def open(self) -> bool:
        """A turn is under way or waits."""
        return self.turn is not None or bool(self.waiting)

    @property
    def owed(self) -> bool:
        """The service has dropped an answer and not said yet that its turn is over: late words are of that one."""
        return self._owed

    def restore(self, now_ns: int, turn: OpenTurn) -> Turn:
        """Take up a turn that a session before this one opened and told; its answer is still to come."""
        self.turn = Turn(turn.id, turn.kind, now_ns, text=turn.text, speech_ended_t=turn.speech_ended_t)
        return self.turn

    # What the person does

    def speech_started(self, now_ns: int) -> list[Change]:
        """The local voice detection heard speech begin."""
        turn, self._left_speaking = self.turn, False
        if turn is not None and turn.kind == "speech" and not turn.answering:
            turn.speech_open, turn.speech_began_ns, turn.since_ns = True, now_ns, now_ns
            return []
        if turn is not None:
            turn.speech_open = False  # its end was lost, or this would not be a new beginning
        if self.waiting and self.waiting[-1].kind == "speech":
            waits = self.waiting[-1]
            waits.speech_open, waits.speech_began_ns, waits.speech_ended_t = True, now_ns, None
            return []
        return self._ask(Turn(0, "speech", now_ns, speech_open=True, speech_began_ns=now_ns), now_ns)

    def speech_ended(self, now_ns: int, t: int, *, heard: bool = False) -> list[Change] | None:
        """It ended, at `t` of the audio. None if it was what was left of a visitor who has left meanwhile. `heard`: an
        answer covers it, or did."""
        for turn in [*reversed(self.waiting), self.turn]:
            if turn is not None and turn.speech_open:
                turn.speech_open, turn.speech_ended_t, turn.since_ns = False, t, now_ns
                return self._first_audio(turn)
        if self._left_speaking:
            return None
        for turn in [*reversed(self.waiting), self.turn]:
            if turn is not None and turn.kind == "speech" and not turn.answering:
                turn.speech_ended_t, turn.since_ns = t, now_ns
                return self._first_audio(turn)
        if heard:  # its end was taken for lost, and comes after the answer has begun: it asks for nothing more
            return []
        return self._ask(Turn(0, "speech", now_ns, speech_ended_t=t), now_ns)  # its beginning was lost on the way

    def speech_lost(self, now_ns: int) -> None:
        """Whoever heard the speech is gone, and will never say that it ended."""
        for turn in (*self.waiting, self.turn):
            if turn is not None and turn.speech_open:
                turn.speech_open, turn.since_ns = False, now_ns

    def text_sent(self, now_ns: int, text: str, kind: Kind = "text") -> list[Change]:
        """A text that the service is to answer was given in."""
        return self._ask(Turn(0, kind, now_ns, text=text), now_ns)

    # The line

    def line_up(self) -> None:
        """A fresh line. It is given one text after the other: of several at once only the last would be answered."""
        for turn in (self.turn, *self.waiting):
            if turn is not None:
                turn.unsent, turn.covered = bool(turn.text) and not turn.answering, False

    def next_text(self) -> str:
        """The text whose turn it is and that the line must still be given; empty for none."""
        if self.turn is None or not self.turn.unsent:
            return ""
        self.turn.unsent = False
        return self.turn.text

    # What the service does

    def output(self, now_ns: int, *, sound: bool = False) -> list[Change]:
        """A part of an answer came: sound, or text, or a call."""
        changes: list[Change] = []
        self._owed = False
        if self.turn is None:
            asked = not self._late_tool
            changes += self._open(Turn(0, "speech", now_ns, asked=asked), now_ns)
        turn = self.turn
        assert turn is not None
        turn.since_ns = now_ns
        turn.goes_on = False
        if not turn.answering:
            turn.answering, turn.began_ns = True, now_ns
            changes.append(Began(turn))
        if not sound:
            turn.wrote = True
        elif turn.spoke_ns is None:
            turn.spoke_ns = now_ns
            changes.append(Spoke(turn, turn.asked))
            changes += self._first_audio(turn)
        return changes

    def cover(self, sent_t: int | None) -> None:
        """The answer that begins is to all that the service was given: texts, and speech that ended by `sent_t`."""
        for waits in self.waiting:
            if waits.kind != "speech":
                waits.covered = not waits.unsent
            elif not waits.speech_open and waits.speech_ended_t is not None:
                waits.covered = sent_t is not None and waits.speech_ended_t <= sent_t

    def tool_called(self, now_ns: int, call_id: str) -> list[Change]:
        """The answer waits for a function."""
        wrote = self.turn is not None and self.turn.wrote
        changes = self.output(now_ns)
        assert self.turn is not None
        self.turn.wrote = wrote  # a call alone is no answer
        self.turn.tools.add(call_id)
        self.turn.called_ns = now_ns
        return changes

    def tool_settled(self, now_ns: int, call_id: str, *, answered: bool) -> None:
        """Its result was sent, or nobody waits for it any more."""
        turn = self.turn
        if turn is not None and call_id in turn.tools:
            turn.tools.discard(call_id)
            turn.since_ns = now_ns
            turn.goes_on = answered
        elif answered:
            self._late_tool = True

    def touch(self, now_ns: int) -> None:
        """The service shows that it is at work on the turn."""
        if self.turn is not None:
            self.turn.since_ns = now_ns

    def interrupted(self, now_ns: int) -> list[Change]:
        """The service dropped its answer, or what it took for one."""
        self._owed = True
        if self.turn is None or not self.turn.answering:
            return []
        return self._end(now_ns, "interrupted", "")

    def barge_in(self, now_ns: int) -> list[Change]:
        """The answer was silenced here, before the service knows: what it still says of it ends nothing of ours."""
        if self.turn is None or not self.turn.answering:
            return []
        self._owed = True
        return self._end(now_ns, "interrupted", "")

    def generation_complete(self, now_ns: int) -> None:
        """All of the answer is here."""
        if self.turn is not None and self.turn.answering:
            self.turn.generated, self.turn.since_ns = True, now_ns

    def turn_complete(self, now_ns: int, *, goes_on: bool = False, reason: str = "") -> list[Change]:
        """The service says that the turn is over."""
        if self._owed:
            self._owed = False
            return []
        turn = self.turn
        if turn is None:
            return []
        turn.since_ns = now_ns
        if goes_on or turn.goes_on or turn.tools:
            return []
        if turn.answering:
            return self._end(now_ns, "answered", reason)
        if turn.speech_open:  # the service cannot have answered what is still being said
            return []
        return self._end(now_ns, "empty", reason)

    def lost(self, now_ns: int) -> list[Change]:
        """The line is gone. A whole answer counts; a part of one is asked for again, with the input."""
        self._owed = self._late_tool = False
        turn = self.turn
        if turn is None:
            return []
        turn.tools.clear()
        if turn.generated:
            return self._end(now_ns, "answered", "")
        turn.answering = turn.goes_on = turn.wrote = False
        turn.spoke_ns = None
        return []

    def held(self, now_ns: int) -> None:
        """The line is gone, and the turn goes on on the next one where it stands."""
        self._owed = self._late_tool = False
        self.touch(now_ns)

    def tick(self, now_ns: int, *, connected: bool, playing: bool) -> list[Change]:
        """End what has stalled. `playing`: something of the answer is still to be heard."""
        turn = self.turn
        if turn is None:
            return []
        if turn.speech_open and now_ns - turn.speech_began_ns > ENDLESS_S * _NS:
            turn.speech_open, turn.since_ns = False, now_ns
        calls = turn.tools and now_ns - turn.called_ns <= CALL_S * _NS
        if not connected or calls or turn.speech_open or (playing and turn.answering):
            turn.since_ns = now_ns
            return []
        if now_ns - turn.since_ns <= STALL_S * _NS:
            return []
        outcome: Outcome = "answered" if turn.spoke_ns is not None or turn.wrote else "empty"
        return self._end(now_ns, outcome, "stalled")

    def abandon(self, now_ns: int, reason: str = "abandoned") -> list[Change]:
        """Nobody is here for the answer any more."""
        self._left_speaking = any(turn.speech_open for turn in (*self.waiting, self.turn) if turn is not None)
        self.waiting.clear()
        if self.turn is None:
            return []
        self.turn.speech_open = False
        return self._end(now_ns, "empty" if self.turn.spoke_ns is None else "interrupted", reason)

    # Inside

    def _ask(self, turn: Turn, now_ns: int) -> list[Change]:
        if self.turn is None:
            return self._open(turn, now_ns)
        self._wait(turn)
        return []

    def _wait(self, turn: Turn, *, first: bool = False) -> None:
        if len(self.waiting) == WAITING_INPUTS:
            self.waiting.popleft()
            self.dropped += 1
        if first:
            self.waiting.appendleft(turn)
        else:
            self.waiting.append(turn)

    def _open(self, turn: Turn, now_ns: int) -> list[Change]:
        turn.id, turn.since_ns = self.next_turn, now_ns
        self.next_turn += 1
        self.turn = turn
        self._late_tool = False
        return [Started(turn)]

    def _end(self, now_ns: int, outcome: Outcome, reason: str) -> list[Change]:
        turn = self.turn
        assert turn is not None
        changes: list[Change] = self._first_audio(turn, give_up=True)
        after_ms = (now_ns - turn.began_ns) // 1_000_000 if turn.answering else 0
        changes.append(Ended(turn, outcome, reason, after_ms))
        self.last, self.turn = turn, None
        if turn.speech_open:  # the person went on speaking all the while: that is the next input
            self._wait(Turn(0, "speech", now_ns, speech_open=True, speech_began_ns=turn.speech_began_ns), first=True)
        if self.waiting:
            changes += self._open(following := self.waiting.popleft(), now_ns)
            if following.covered and outcome == "answered":
                changes += self._end(now_ns, "answered", "")
        return changes

    def _first_audio(self, turn: Turn, *, give_up: bool = False) -> list[Change]:
        """Told once, when both ends of the interval are known: the service may be faster than the local detection."""
        if turn.spoke_ns is None or turn.told_first_audio or (turn.speech_open and not give_up):
            return []
        turn.told_first_audio = True
        since_ms = None if turn.speech_ended_t is None else (turn.spoke_ns - turn.speech_ended_t) // 1_000_000
        return [FirstAudio(turn, since_ms)]
