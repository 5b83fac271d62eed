"""The conversation: what happens on the bus and on the line goes in, what is to be done comes out. No I/O, no clock.

It puts the pure parts together (turns, epochs, uplink, transcript, visit) and holds the rules that need more than one
of them: what an interruption silences, which voice an answer covers, what a new line must be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.live import messages as m
from pipeline.live import turns as t
from pipeline.live.calls import Calls
from pipeline.live.downlink import Downlink
from pipeline.live.effects import Effect, Note, Renew, Save, SendContext, SendText, Tell, Trim
from pipeline.live.interruption import Interruption
from pipeline.live.memory import Memory, OpenTurn
from pipeline.live.resumption import Resumption
from pipeline.live.transcript import Transcript
from pipeline.live.turns import Turns
from pipeline.live.uplink import Uplink
from pipeline.live.visit import Visit

_NS = 1_000_000_000
REST_S = 1.5
"""Nothing from the service for so long after the last voice: no answer is on its way."""


class Conversation:
    """One machine's conversation, visit after visit. `has_tools`: a tools stage is wired and answers calls."""

    def __init__(
        self,
        memory: Memory,
        *,
        greeting: str = "",
        ends_after_s: float = 60.0,
        has_tools: bool = False,
        line_for: str = "",
    ) -> None:
        self.memory = memory
        self.turns = Turns(memory.next_turn)
        self.uplink = Uplink(memory.answered_t)
        self.downlink = Downlink(memory)
        self.transcript = Transcript(self.turns, memory)
        self.visit = Visit(memory, greeting, ends_after_s)
        self.connected = False
        self._calls = Calls(self.turns, has_tools)
        self.resumption = Resumption(memory, self.turns, line_for)
        self._greeting = greeting
        self._covered: dict[int, int | None] = {}
        self._first_place: dict[int, tuple[int, int]] = {}
        self._interruption = Interruption(self.transcript)
        self._last_ns = 0
        """When the service last said something, or was last given something."""
        self._quiet_since_ns: int | None = None
        self._said_end = False
        self._usage = m.Usage()

    def at_rest(self, now_ns: int) -> bool:
        """The source has ended, everything was sent, answered and heard."""
        return (
            self.uplink.source_ended
            and self.uplink.idle
            and not self.turns.open
            and not self._interruption.open
            and not self.downlink.playing(now_ns)
            and now_ns - self._last_ns > REST_S * _NS
        )

    # The person

    def start(self, now_ns: int) -> list[Effect]:
        """This stage is up. A visit that was open and whose visitor is still here goes on."""
        # The epoch in use is kept before it is used: whoever comes after a kill starts above it.
        self.memory.epoch = self.downlink.epochs.epoch
        effects: list[Effect] = [Save()]
        if self.visit.is_over(now_ns):
            effects = [self._tell_visit(open_=False), *effects]
            self.memory.forget_visit()
        if self.visit.id is not None:
            effects.append(self._tell_visit(open_=True))
            if self.memory.open_turn is not None:
                self.transcript.started(self.turns.restore(now_ns, self.memory.open_turn))
        return effects

    def speech_started(self, now_ns: int, at_t: int) -> list[Effect]:
        """The frontend heard speech begin at `at_t` of the audio."""
        news = self.uplink.speech_started(at_t)
        return self._somebody(now_ns) + self._changes(self.turns.speech_started(now_ns), now_ns) if news else []

    def speech_ended(self, now_ns: int, at_t: int, start_t: int | None) -> list[Effect]:
        """The frontend heard it end."""
        if not self.uplink.speech_ended(at_t, start_t):
            return []
        self.visit.active(now_ns)
        effects = self._changes(self.turns.speech_ended(now_ns, at_t), now_ns)
        self._keep_turn()
        return [*effects, Save()]

    def speech_lost(self, now_ns: int) -> None:
        """The frontend was replaced: it knows nothing of the speech that was under way."""
        self.uplink.speech_lost()
        self.turns.speech_lost(now_ns)

    def visitor_arrived(self, now_ns: int) -> list[Effect]:
        """A presence sensor saw somebody. Whoever begins a visit is greeted."""
        if self.visit.id is not None:
            self.visit.active(now_ns)
            return []
        effects = self._somebody(now_ns)
        if self.visit.want_greeting():
            effects += self._text(now_ns, self._greeting, "greeting")
        return effects

    def text_in(self, now_ns: int, text: str) -> list[Effect]:
        """Somebody typed `text`."""
        return self._somebody(now_ns) + self._text(now_ns, text, "text")

    def heard(self, now_ns: int, epoch: int, at: int) -> list[Effect]:
        """Playback has heard the speaker up to `at` of `epoch`."""
        used = self.memory.epoch
        if self.downlink.heard(now_ns, epoch, at):
            self.visit.active(now_ns)
        effects: list[Effect] = [] if self.memory.epoch == used else [Save()]
        self.transcript.heard(epoch, at)
        if epoch == self.downlink.epochs.epoch:
            effects.append(Trim(epoch, at))
        effects += self._interruption.heard(epoch)
        return effects

    # The line

    def context(self, handle: str | None) -> tuple[tuple[str, str], ...]:
        """What a line that resumes nothing must be told first: the transcript as heard, and how to greet."""
        if handle is not None:
            return ()
        greeting = self.visit.greeting_in_context
        return (*self.transcript.seed(), *((("user", greeting),) if greeting else ()))

    def line_up(self, now_ns: int, context: tuple[tuple[str, str], ...], *, resumed: bool) -> list[Effect]:
        """A line is set up. `context` comes before everything else, and any voice after all that this returns."""
        self.connected, self._last_ns, self._quiet_since_ns = True, now_ns, now_ns
        self.resumption.line_changed()
        if not resumed:
            self.memory.forget_handle()
        effects: list[Effect] = [SendContext(context)] if context else []
        asked = [self.turns.turn, *self.turns.waiting]
        effects += [SendText(turn.text) for turn in asked if turn is not None and turn.text and not turn.answering]
        return effects

    def line_down(self, now_ns: int) -> list[Effect]:
        """The line is gone. Calls under way are void: their question is asked again."""
        self.connected = False
        self.resumption.line_changed()
        self.uplink.line_down()
        self.transcript.cut_off()
        effects = self._calls.lost()
        turn = self.turns.turn
        effects += self._changes(self.turns.lost(now_ns), now_ns)
        if turn is not None and turn is self.turns.turn:
            self.transcript.again(turn)
        self.downlink.cut_off()
        return effects

    def received(self, now_ns: int, value: m.Incoming) -> list[Effect]:
        """One value of a message of the service."""
        self._last_ns = now_ns
        turns = self.turns
        match value:
            case m.Speech():
                return self._speech(now_ns, value)
            case m.Interrupted():
                return self._interrupted(now_ns)
            case m.Text(text, thought):
                if thought or not text:
                    return []
                effects = self._changes(turns.output(now_ns), now_ns)
                return effects + self.transcript.machine_said(now_ns, text, late=False)
            case m.PersonSaid(text, finished, interim):
                turns.touch(now_ns)
                return self.transcript.person_said(now_ns, text, interim=interim, finished=finished)
            case m.MachineSaid(text):
                turns.touch(now_ns)
                return self.transcript.machine_said(now_ns, text, late=turns.owed)
            case m.GenerationComplete():
                turns.generation_complete(now_ns)
            case m.TurnComplete(reason, goes_on):
                self.downlink.cut_off()
                return self._changes(turns.turn_complete(now_ns, goes_on=goes_on, reason=reason), now_ns)
            case m.Idle():
                return self._changes(turns.turn_complete(now_ns), now_ns)
            case m.ToolCall():
                changes, effects = self._calls.called(now_ns, value)
                return self._changes(changes, now_ns) + effects
            case m.ToolCallsCancelled(ids):
                return self._calls.cancelled(now_ns, ids)
            case m.Handle(handle, resumable):
                self.resumption.update(handle, resumable)
                return [Save()]
            case m.GoAway(left_s):
                self.resumption.go_away(now_ns, left_s)
                return [Note("the service will hang up", {"left_s": left_s})]
            case m.Usage():
                self._usage = value
            case m.Grounding(queries, sources):
                return [Note("the answer was looked up", {"queries": queries, "sources": sources})]
            case m.WaitingForInput() | m.OtherPart() | m.VoiceActivity():
                return [Note("the service says", {"what": repr(value)}, "debug")]
        return []

    def tool_result(self, now_ns: int, call_id: str, response: Mapping[str, Any]) -> list[Effect]:
        """A function has answered."""
        self._last_ns = now_ns
        return self._calls.result(now_ns, call_id, response)

    def tick(self, now_ns: int) -> list[Effect]:
        """Time passes; call it a few times a second."""
        effects = self._interruption.tick(now_ns)
        playing = self.downlink.playing(now_ns)
        effects += self._changes(self.turns.tick(now_ns, connected=self.connected, playing=playing), now_ns)
        if playing or not self.uplink.quiet:
            self.visit.active(now_ns)
        if self.visit.is_over(now_ns):
            effects += self.visitor_left(now_ns)
        self._quiet(now_ns)
        if self.uplink.ended_sent and not self._said_end:
            self._said_end, self._last_ns = True, now_ns
        at_rest = not self.turns.open and not playing and self.uplink.quiet
        if self.resumption.roll_due(now_ns, at_rest):
            effects.append(Renew("the service asked for it"))
        return effects

    # The answer

    def _speech(self, now_ns: int, speech: m.Speech) -> list[Effect]:
        pcm = self.downlink.accept(now_ns, speech)
        if not pcm:
            return []
        effects = self._changes(self.turns.output(now_ns, sound=True), now_ns)
        spoken = self.downlink.place(now_ns, pcm, speech.rate)
        assert self.turns.turn is not None
        self.transcript.sound(self.turns.turn, self.downlink.epochs.at)
        return [*effects, spoken]

    def _interrupted(self, now_ns: int) -> list[Effect]:
        epoch = self.downlink.epochs.epoch
        effects = self.downlink.interrupted(now_ns)
        raised = bool(effects)
        turn = self.turns.turn
        victim = turn if turn is not None and turn.answering else self.turns.last
        changes = self.turns.interrupted(now_ns)
        if victim is not None and (raised or changes):
            effects += self._interruption.begin(now_ns, victim, epoch)
        effects += self._changes(changes, now_ns)
        if not raised or not self.downlink.heard_once:
            effects += self._interruption.settle()  # nobody will report where it was cut
        return effects

    # Turns and visits

    def _somebody(self, now_ns: int) -> list[Effect]:
        return [self._tell_visit(open_=True), Save()] if self.visit.begin(now_ns) else []

    def _text(self, now_ns: int, text: str, kind: t.Kind) -> list[Effect]:
        effects = self._changes(self.turns.text_sent(now_ns, text, kind), now_ns)
        return [*effects, SendText(text)] if self.connected else effects

    def _changes(self, changes: list[t.Change], now_ns: int) -> list[Effect]:
        effects: list[Effect] = []
        for change in changes:
            turn = change.turn
            match change:
                case t.Started():
                    effects += self._somebody(now_ns)
                    self.memory.next_turn = self.turns.next_turn
                    effects.append(Tell("turn_started", {"turn": turn.id, "kind": turn.kind}, log=True))
                    effects += self.transcript.started(turn)
                    self._keep_turn()
                    effects.append(Save())
                case t.Began():
                    self._covered[turn.id] = self.uplink.answer_begins()
                    self.visit.answer_begins()
                    effects += self.transcript.answered(turn)
                case t.Spoke(new_input=new_input):
                    effects += self.downlink.answer_begins(now_ns, new_input)
                    place = self._first_place[turn.id] = (self.downlink.epochs.epoch, self.downlink.epochs.at)
                    self.transcript.spoke(turn, *place)
                case t.FirstAudio(since_speech_end_ms=since_ms):
                    epoch, at = self._first_place.pop(turn.id)
                    body = {"turn": turn.id, "epoch": epoch, "at": at, "since_speech_end_ms": since_ms}
                    effects.append(Tell("first_audio", body, log=True))
                case t.Ended():
                    effects += self._ended(change, now_ns)
        return effects

    def _ended(self, change: t.Ended, now_ns: int) -> list[Effect]:
        turn, usage = change.turn, self._usage
        body: dict[str, Any] = {"turn": turn.id, "kind": turn.kind, "outcome": change.outcome}
        if change.reason:
            body["reason"] = change.reason
        if usage.total:
            body |= {"prompt_tokens": usage.prompt, "response_tokens": usage.response}
        self._usage, self._quiet_since_ns = m.Usage(), now_ns
        covered = self._covered.pop(turn.id, None)
        self._first_place.pop(turn.id, None)
        effects = self.transcript.ended(turn, change.outcome, now_ns)
        effects.append(Tell("turn_ended", body, log=True))
        self._keep_turn()
        if change.outcome != "empty":
            self.memory.answered_turn = turn.id
        if turn.kind == "speech":
            effects += self._answered(turn.speech_ended_t if change.outcome == "empty" else covered)
        return [*effects, Save()]

    def _keep_turn(self) -> None:
        turn = self.turns.turn
        self.memory.open_turn = OpenTurn(turn.id, turn.kind, turn.text, turn.speech_ended_t) if turn else None

    def _answered(self, until_t: int | None) -> list[Effect]:
        if until_t is None or not self.uplink.answered(until_t):
            return []
        self.memory.answered_t = until_t
        return [Tell("answered", {"t": until_t})]

    def _quiet(self, now_ns: int) -> None:
        """What was sent in a long quiet needs no answer: a line that follows is not given it again."""
        if self.turns.open or not self.connected or not self.uplink.quiet:
            self._quiet_since_ns = None
        elif self._quiet_since_ns is None:
            self._quiet_since_ns = now_ns
        elif self.uplink.sent_t is not None and now_ns - self._quiet_since_ns > t.STALL_S * _NS:
            # Kept in mind only: a write a tick would wear out the disk.
            self.uplink.answered(self.uplink.sent_t - int(t.STALL_S * _NS))

    def visitor_left(self, now_ns: int) -> list[Effect]:
        """The visit is over; nothing of it is kept."""
        if self.visit.id is None:
            return []
        effects = self._changes(self.turns.abandon(now_ns), now_ns)
        effects.append(self._tell_visit(open_=False))
        self.memory.forget_visit()
        self.transcript.forget()
        effects += self._answered(self.uplink.seen_t)
        # Whoever comes next must not be answered out of this visitor's context.
        return [*effects, Save(), Renew("the visit is over")]

    def _tell_visit(self, *, open_: bool) -> Tell:
        return Tell("visit", {"id": self.visit.id, "open": open_}, sticky=True, log=True)
