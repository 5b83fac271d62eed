"""The course of the turns: what each change in them means for the voice, the answer, the transcript and the visit."""

from __future__ import annotations

from typing import Any

from pipeline.live import messages as m
from pipeline.live import turns as t
from pipeline.live.calls import Calls
from pipeline.live.effects import Effect, Note, Renew, Save, SendText, Tell
from pipeline.live.memory import OpenTurn, Said
from pipeline.live.parts import Parts

_NS = 1_000_000_000
GIVEN_UP = ("abandoned", "capped")
"""Why a turn ends that we end ourselves."""
WEDGED = 2
"""Turns in a row that the service has heard, as its transcript shows, and to which it said nothing: it never will."""
WORTH_SAMPLES = 24_000
"""An answer of which so much came (1 s) is gone on with where it stopped; a shorter one is asked for again."""


class Course:
    """Acts on what `parts.turns` says. Everything that changes a turn hands its changes to `changes`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._covered: dict[int, int | None] = {}
        self._first_place: dict[int, tuple[int, int]] = {}
        self._quiet_since_ns: int | None = None
        self._mute_turns = 0
        self._cut: int | None = None
        """The turn whose answer was cut by the loss of its line, and is to be gone on with."""
        self.left_playing: OpenTurn | None = None
        """A turn that was answered whole when the session before this one died, until playback shows that it lives."""

    # The service

    def speech(self, now_ns: int, speech: m.Speech) -> list[Effect]:
        """A piece of the answer came."""
        parts = self._parts
        pcm = parts.downlink.accept(now_ns, speech)
        if not pcm:
            return []
        effects = self.changes(parts.turns.output(now_ns, sound=True), now_ns)
        spoken = parts.downlink.place(now_ns, pcm, speech.rate)
        parts.budget.received(audio_s=len(pcm) / 2 / speech.rate)
        assert parts.turns.turn is not None
        parts.transcript.sound(parts.turns.turn, spoken.epoch, spoken.at, parts.downlink.epochs.at)
        return [*effects, spoken]

    def interrupted(self, now_ns: int) -> list[Effect]:
        """The service dropped its answer."""
        parts = self._parts
        epoch = parts.downlink.epochs.epoch
        effects = parts.downlink.interrupted(now_ns)
        raised = bool(effects)
        turn = parts.turns.turn
        victim = turn if turn is not None and turn.answering else parts.turns.last
        changes = parts.turns.interrupted(now_ns)
        if victim is not None and (raised or changes):
            effects += parts.interruption.begin(now_ns, victim, epoch, "server")
        effects += self.changes(changes, now_ns)
        if not raised or not parts.downlink.heard_once:
            effects += parts.interruption.settle()  # nobody will report where it was cut
        return effects

    def barge_in(self, now_ns: int) -> list[Effect]:
        """The person was heard here to speak over the answer, before the service has noticed, if it ever does."""
        parts = self._parts
        epoch = parts.downlink.epochs.epoch
        effects = parts.downlink.barge_in(now_ns)
        if not effects:
            return []  # nothing of it is to be heard: there is nothing to silence
        turn = parts.turns.turn
        victim = turn if turn is not None and turn.answering else parts.turns.last
        if victim is not None:
            effects += parts.interruption.begin(now_ns, victim, epoch, "local")
        if turn is None or not turn.answering:
            parts.downlink.cut_off()  # the service is done with it: what comes next is an answer to what they say now
        effects += self.changes(parts.turns.barge_in(now_ns), now_ns)
        return effects if parts.downlink.heard_once else effects + parts.interruption.settle()

    def counted(self, usage: m.Usage) -> list[Effect]:
        """The service has counted: mostly at the end of a turn, but it may be late."""
        self._parts.budget.reported(usage)
        turns = self._parts.turns
        if turns.turn is not None:
            return []
        return self._parts.budget.told(turns.last.id if turns.last is not None else None)

    def speech_ended(self, now_ns: int, at_t: int) -> list[Effect]:
        """The frontend heard speech end at `at_t` of the audio."""
        changes = self._parts.turns.speech_ended(now_ns, at_t, heard=self._parts.uplink.covers(at_t))
        effects = self.changes(changes, now_ns) if changes is not None else self.answered(at_t)
        self.keep_turn()
        return effects

    def turn_complete(self, now_ns: int, *, reason: str = "", goes_on: bool = False) -> list[Effect]:
        """The service says that its turn is over."""
        self._parts.budget.turn_complete()
        return self.changes(self._parts.turns.turn_complete(now_ns, goes_on=goes_on, reason=reason), now_ns)

    # Turns

    def changes(self, changes: list[t.Change], now_ns: int) -> list[Effect]:
        """What follows from these changes, in their order."""
        parts = self._parts
        effects: list[Effect] = []
        for change in changes:
            turn = change.turn
            match change:
                case t.Started():
                    effects += self.somebody(now_ns)
                    parts.memory.next_turn = parts.turns.next_turn
                    effects.append(Tell("turn_started", {"turn": turn.id, "kind": turn.kind}, log=True))
                    effects += parts.transcript.started(turn)
                    self.keep_turn()
                    effects.append(Save())
                case t.Began():
                    self._covered[turn.id] = sent_t = parts.uplink.answer_begins()
                    parts.turns.cover(sent_t)
                    parts.visit.answer_begins()
                    effects += parts.transcript.answered(turn)
                case t.Spoke(new_input=new_input):
                    effects += parts.downlink.answer_begins(now_ns, new_input)
                    place = self._first_place[turn.id] = (parts.downlink.epochs.epoch, parts.downlink.epochs.at)
                    parts.transcript.spoke(turn, *place)
                    over = any(each.speech_open for each in (turn, *parts.turns.waiting))
                    parts.talked_over.answer_begins(now_ns, turn.id, *place, hears_person=over)
                case t.FirstAudio(since_speech_end_ms=since_ms):
                    epoch, at = self._first_place.pop(turn.id)
                    body = {"turn": turn.id, "epoch": epoch, "at": at, "since_speech_end_ms": since_ms}
                    effects.append(Tell("first_audio", body, log=True))
                case t.Ended():
                    effects += self._ended(change, now_ns)
        return effects

    def keep_turn(self) -> None:
        """Have the memory know the turn under way, and what was typed behind it: answers are owed, whoever gives
        them."""
        turn = self._parts.turns.turn
        self._parts.memory.told = self._parts.uplink.told
        self._parts.memory.texts = [each.text for each in self._parts.turns.waiting if each.kind == "text"]
        if turn is None:
            self._parts.memory.open_turn = None
            return
        words = self._parts.transcript.whole(turn.id) if turn.generated else ("", "")
        covered = self._covered.get(turn.id) if turn.generated else None
        reported = turn.spoke_ns is not None and self._parts.downlink.heard_once
        self._parts.memory.open_turn = OpenTurn(
            turn.id, turn.kind, turn.text, turn.speech_ended_t, turn.generated, covered, *words, reported
        )

    def generated(self, now_ns: int) -> list[Effect]:
        """All of the answer is here. Whoever follows a kill must not have it given again while it still plays."""
        self._parts.turns.generation_complete(now_ns)
        self.keep_turn()
        return [Save()]

    def restored(self, now_ns: int, kept: OpenTurn) -> list[Effect]:
        """Take up the turn of a session that died: its answer is owed, or plays to its end by itself."""
        parts = self._parts
        if not kept.generated:
            parts.transcript.restored(parts.turns.restore(now_ns, kept))
            if kept.kind == "speech":
                parts.uplink.presume(kept.speech_ended_t)
            return []
        parts.memory.open_turn, parts.memory.answered_turn = None, kept.id
        self.left_playing = kept if kept.reported else None
        effects: list[Effect] = []
        said = (
            (Said(kept.id, "person", kept.person), kept.kind == "speech"),
            (Said(kept.id, "machine", kept.machine), True),
        )
        for words, told in said:
            parts.memory.remember(words)
            if told and words.text:
                body = {"who": words.who, "text": words.text, "final": True, "turn": kept.id}
                effects.append(Tell("caption", body))
        ended = {"turn": kept.id, "kind": kept.kind, "outcome": "answered", "reason": "taken over"}
        return [*effects, Tell("turn_ended", ended, log=True), *self.answered(kept.covered_t), Save()]

    def answered(self, until_t: int | None) -> list[Effect]:
        """What ended by `until_t` of the voice is answered."""
        if until_t is None or not self._parts.uplink.answered(until_t):
            return []
        self._parts.memory.answered_t = until_t
        return [Tell("answered", {"t": until_t})]

    def _ended(self, change: t.Ended, now_ns: int) -> list[Effect]:
        parts, turn = self._parts, change.turn
        body: dict[str, Any] = {"turn": turn.id, "kind": turn.kind, "outcome": change.outcome}
        if change.reason:
            body["reason"] = change.reason
        self._quiet_since_ns = now_ns
        covered = self._covered.pop(turn.id, None)
        self._first_place.pop(turn.id, None)
        effects = parts.transcript.ended(turn, change.outcome, now_ns)
        if change.reason in GIVEN_UP:
            effects += parts.transcript.final(turn.id)
        effects += [Tell("turn_ended", body, log=True), *parts.budget.told(turn.id)]
        self.keep_turn()
        if change.outcome != "empty":
            parts.memory.answered_turn = turn.id
        if self._wedged(change):
            # The question stays unanswered, so the fresh session is given it again.
            parts.memory.forget_handle()
            return [*effects, Renew("the service hears and says nothing"), Save()]
        if turn.kind == "speech":
            own = turn.speech_ended_t
            gives_up = change.reason == "stalled" and own is not None and (covered is None or covered < own)
            effects += self.answered(own if change.outcome == "empty" or gives_up or turn.covered else covered)
        return [*effects, Save()]

    def _wedged(self, change: t.Ended) -> bool:
        turn = change.turn
        if change.outcome != "empty":
            self._mute_turns = 0
        elif change.reason in GIVEN_UP or turn.kind != "speech":
            return False
        elif self._parts.transcript.words_of(turn.id)[0]:
            self._mute_turns = (self._mute_turns + 1) % WEDGED
            return self._mute_turns == 0
        return False

    # The line

    def line_down(self, now_ns: int, calls: Calls) -> list[Effect]:
        """The line is gone. An answer that waits for a function, or of which much was said, goes on on the next line;
        any other is asked for again, with the calls that belong to it."""
        parts, turn = self._parts, self._parts.turns.turn
        person, said = parts.transcript.words_of(turn.id) if turn is not None else ("", "")
        question = turn.text or person if turn is not None else ""
        waits = calls.lost(turn.id if turn is not None else None, question)
        if turn is not None and turn.answering and (waits or (question and self._much_said(turn, said))):
            self._cut = None if waits else turn.id
            parts.turns.held(now_ns)
            return self.answered(self._covered.get(turn.id)) if turn.kind == "speech" else []
        effects = calls.void(now_ns, turn.id) if turn is not None else []
        effects += self.changes(parts.turns.lost(now_ns), now_ns)
        if turn is not None and turn is parts.turns.turn:
            parts.transcript.again(turn)
        return effects

    def rest_of_answer(self) -> list[Effect]:
        """For a fresh line: have it go on with the answer that was cut."""
        turn = self._parts.turns.turn
        cut, self._cut = self._cut, None
        if turn is None or turn.id != cut:
            return []
        person, said = self._parts.transcript.words_of(turn.id)
        words = (
            f'(Your line was cut while you answered. You had been asked: "{turn.text or person}". You have said up to '
            f'here: "{said}". Say the rest, from where you stopped, and nothing about the cut.)'
        )
        return [SendText(words), Note("an answer goes on where it was cut", {"turn": turn.id})]

    def _much_said(self, turn: t.Turn, said: str) -> bool:
        """The part of an answer that came is worth going on with."""
        if turn.spoke_ns is None or turn.generated or not said:
            return False
        return self._parts.transcript.sound_of(turn.id) >= WORTH_SAMPLES

    # Quiet

    def line_up(self, now_ns: int, *, seeded: bool) -> list[Effect]:
        """A fresh line: what was sent to the one before says nothing about this one. `seeded`: it is told what was
        said, as much of it as there is room for."""
        self._quiet_since_ns = now_ns
        left_out = self._parts.memory.left_out
        return [Note("more was said than the session is told", {"left_out": left_out})] if seeded and left_out else []

    def quiet(self, now_ns: int, *, connected: bool) -> None:
        """What was sent in a long quiet needs no answer: a line that follows is not given it again."""
        parts = self._parts
        if parts.turns.open or not connected or not parts.uplink.quiet:
            self._quiet_since_ns = None
        elif self._quiet_since_ns is None:
            self._quiet_since_ns = now_ns
        elif parts.uplink.sent_t is not None and now_ns - self._quiet_since_ns > t.STALL_S * _NS:
            # Kept in mind only: a write a tick would wear out the disk.
            parts.uplink.answered(parts.uplink.sent_t - int(t.STALL_S * _NS))

    # Visits

    def somebody(self, now_ns: int) -> list[Effect]:
        """Somebody is here."""
        return [self.tell_visit(open_=True), Save()] if self._parts.visit.begin(now_ns) else []

    def leave(self, now_ns: int) -> list[Effect]:
        """The visit is over; nothing of it is kept."""
        parts = self._parts
        effects = parts.interruption.settle()  # what was heard is told while it is known
        effects += self.changes(parts.turns.abandon(now_ns), now_ns)
        effects += parts.downlink.silence(now_ns, "visit_over")
        effects.append(self.tell_visit(open_=False))
        parts.memory.forget_visit()
        parts.transcript.forget()
        return [*effects, *self.answered(parts.uplink.seen_t), Save()]

    def tell_visit(self, *, open_: bool) -> Tell:
        """Who is here, for everybody."""
        return Tell("visit", {"id": self._parts.visit.id, "open": open_}, sticky=True, log=True)
