"""The conversation: what happens on the bus and on the line goes in, what is to be done comes out. No I/O, no clock.

It brings everything to the part that it concerns, which decides; what needs several of them is in course.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.live import messages as m
from pipeline.live.activities import ClientVad
from pipeline.live.budget import Budget, BudgetOptions, local_day
from pipeline.live.calls import Calls, Result
from pipeline.live.capping import Capping
from pipeline.live.course import Course
from pipeline.live.effects import Dial, Effect, HangUp, Note, Save, SendContext, Trim
from pipeline.live.functions import Functions
from pipeline.live.kept import Block, KeptVoice
from pipeline.live.memory import Memory
from pipeline.live.opening import Opening, Opens
from pipeline.live.parts import Parts
from pipeline.live.pauses import PAUSE_NS
from pipeline.live.stay import Stay
from pipeline.live.tending import Tending
from pipeline.live.texts import Texts
from pipeline.live.uplink import RECENT_NS, Uplink

_NS = 1_000_000_000
REST_S = 1.5
"""Nothing from the service for so long after the last voice: no answer is on its way."""


class Conversation:
    """One machine's conversation, visit after visit. `has_tools`: a tools stage is wired and answers calls.

    `client_vad`: the frontend's word ends a turn; None: the service's. `pause_ns`: without voice for so long it is
    told that none comes.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        greeting: str = "",
        ends_after_s: float = 60.0,
        has_tools: bool = False,
        line_for: str = "",
        idle_s: float = 0.0,
        lifetime_s: float = 0.0,
        resumes: bool = True,
        client_vad: ClientVad | None = None,
        pause_ns: int = PAUSE_NS,
        budget: Budget | None = None,
        opens: Opens = "speech",
    ) -> None:
        uplink = Uplink(memory.answered_t, client_vad=client_vad, pause_ns=pause_ns, told=memory.told)
        self.budget = budget or Budget(memory, BudgetOptions(), "", local_day)
        parts = Parts(memory, uplink, self.budget, greeting, ends_after_s, line_for)
        self.memory, self.turns, self.visit = memory, parts.turns, parts.visit
        self.uplink, self.downlink = parts.uplink, parts.downlink
        self.transcript, self.resumption = parts.transcript, parts.resumption
        self.connected = False
        self._interruption, self.talked_over = parts.interruption, parts.talked_over
        self._course = Course(parts)
        self._calls = Calls(parts.turns, memory, has_tools)
        self.functions = Functions(wired=has_tools)
        self.kept = KeptVoice()
        self._tending = Tending(
            parts, self._calls, self.functions, idle_s=idle_s, lifetime_s=lifetime_s, resumes=resumes
        )
        self.want = self._tending.want
        self._stay = Stay(parts, self._course, self._calls, self._tending, self.kept)
        self._texts = Texts(parts, self._course)
        self._capping = Capping(parts, self._course, self.want)
        self._opening = Opening(parts, self._course, self.want, opens)
        self.told = False
        """The service has said something about the conversation on the line that is up."""
        self._greeting = greeting
        self._last_ns = 0
        """When the service last said something, or was last given something."""
        self._said_end = False

    def at_rest(self, now_ns: int) -> bool:
        """The source has ended, everything was sent, answered and heard."""
        return (
            self.uplink.source_ended
            and (self.uplink.idle or (not self.connected and self.want.reason is not None))
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
        effects: list[Effect] = [*self._calls.start(), *self.budget.started(), Save()]
        self._opening.start()
        self._tending.needed(now_ns)
        self.functions.start(now_ns)
        if self.visit.is_over(now_ns):
            effects = [self._course.tell_visit(open_=False), *effects]
            self.memory.forget_visit()
        if self.visit.id is not None:
            effects.append(self._course.tell_visit(open_=True))
            if (turn := self.memory.open_turn) is not None:
                effects += self._course.restored(now_ns, turn)
            effects += self._texts.restored(now_ns)
        return effects

    def voice(self, now_ns: int, block: Block, *, again: bool = False) -> list[Effect]:
        """A block of voice; `again`: it was asked for, and is not live."""
        self.kept.add(block)
        self.uplink.audio(block.t, block.pcm, gated=block.gated, again=again, now_ns=now_ns)
        return self._tending.sound(now_ns, block.pcm) if self.want.reason is not None else []

    def voice_place(self) -> int | None:
        """From where voice is wanted of a frontend that has just come; None for all that it has."""
        return self.kept.end_t or self.uplink.seen_t or self.uplink.place()

    def speech_started(self, now_ns: int, at_t: int) -> list[Effect]:
        """The frontend heard speech begin at `at_t` of the audio."""
        if not self.uplink.speech_started(at_t):
            return []
        if self._capping.closed:
            return self._capping.speech_started(now_ns)
        if self._opening.shut:
            return []
        return self._stay.speaks(now_ns) + self._course.changes(self.turns.speech_started(now_ns), now_ns)

    def speech_ended(self, now_ns: int, at_t: int, start_t: int | None) -> list[Effect]:
        """The frontend heard it end."""
        if not self.uplink.speech_ended(at_t, start_t):
            return []
        if self._capping.closed:
            return self._capping.speech_ended(now_ns, at_t)
        if self._opening.shut:
            return self._opening.speech_ended(at_t)
        self.visit.active(now_ns)
        return [*self.talked_over.speech_ended(at_t), *self._course.speech_ended(now_ns, at_t), Save()]

    def speech_lost(self, now_ns: int) -> None:
        """The frontend was replaced: it knows nothing of the speech that was under way."""
        self.uplink.speech_lost()
        self.turns.speech_lost(now_ns)
        self.talked_over.speech_lost()

    def visitor_arrived(self, now_ns: int) -> list[Effect]:
        """A presence sensor saw somebody. Whoever begins a visit is greeted."""
        if self._capping.closed:
            return self._capping.refuse(now_ns)
        shut = self._opening.shut
        if not self._opening.by_presence():
            return []
        before = self._opening.opened() if shut else []
        effects, greeted = self._stay.arrives(now_ns)
        if not greeted:
            return effects
        return [*before, *effects, *self._texts.given(now_ns, self._greeting, "greeting", connected=self.connected)]

    def visitor_left(self, now_ns: int) -> list[Effect]:
        """The visitor has left."""
        return self._stay.goes(now_ns)

    def end_visit(self, now_ns: int) -> list[Effect]:
        """The visit is to end when the goodbye was heard."""
        return self._stay.goes_after_goodbye(now_ns)

    def triggered(self, now_ns: int, by: str = "") -> list[Effect]:
        """Somebody wants to be listened to; `by` says who or what."""
        if self._capping.closed:
            return self._capping.refuse(now_ns)
        shut = self._opening.shut
        if not self._opening.by_trigger(by):
            return []
        effects = self._opening.opened() if shut else []
        if shut and not self.uplink.quiet:  # in the middle of what they say, as after a wake word
            effects += self._stay.speaks(now_ns) + self._course.changes(self.turns.speech_started(now_ns), now_ns)
        return effects + self._tending.needed(now_ns)

    def barge_in(self, now_ns: int) -> list[Effect]:
        """The frontend is sure that the person speaks over the answer."""
        return self._course.barge_in(now_ns)

    def text_in(self, now_ns: int, text: str, name: str = "") -> list[Effect]:
        """Somebody typed `text`. `name`: by which it is known when it is told again."""
        if self._texts.known(name):
            return []
        if self._capping.closed:
            return self._capping.refuse(now_ns)
        self._opening.by_person()
        return [*self._stay.somebody(now_ns), *self._texts.given(now_ns, text, "text", connected=self.connected)]

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

    def tools(self, declarations: Sequence[Any]) -> list[Effect]:
        """The tools stage says what the model may call. A line that knows other functions is changed in a gap."""
        return [Dial()] if self.functions.declare(declarations) else []

    def tools_stage(self, now_ns: int, state: str) -> list[Effect]:
        """How the tools stage is, in the supervisor's words."""
        return [Dial()] if self._calls.stage(now_ns, state) and self.functions.nobody_declares() else []

    def tool_result(self, now_ns: int, call_id: str, response: Mapping[str, Any], scheduling: str = "") -> list[Effect]:
        """A function has answered. `scheduling`: when the model may speak of it, in capitals."""
        self._last_ns = now_ns
        return [*self._calls.result(now_ns, call_id, Result(response, scheduling)), Save()]

    # The line

    def context(self, handle: str | None) -> tuple[tuple[str, str], ...]:
        """What a line that resumes nothing must be told first: the transcript as heard, and how to greet."""
        if handle is not None:
            return ()
        greeting = self.visit.greeting_in_context
        return (*self.transcript.seed(), *((("user", greeting),) if greeting else ()))

    def line_up(self, now_ns: int, context: tuple[tuple[str, str], ...], *, resumed: bool) -> list[Effect]:
        """A line is set up. `context` comes before everything else, and any voice after all that this returns."""
        self.connected, self._last_ns = True, now_ns
        self.told = False
        self._stay.line_up()
        self._tending.line_up(now_ns)
        self.budget.line_up(resumed=resumed)
        if not resumed:
            self.memory.forget_handle()
        effects = self._course.line_up(now_ns, seeded=bool(context))
        effects += [SendContext(context)] if context else []
        effects += self._texts.line_up()
        return effects + self._calls.line_up(now_ns, resumed=resumed) + self._course.rest_of_answer()

    def cap_line(self, now_ns: int, capped_s: float) -> None:
        """The line that is up now carries what lets it live for `capped_s` only."""
        self._tending.cap(now_ns, capped_s)

    def give_voice(self, now_ns: int) -> None:
        """Have the line that is up be given all voice that is not answered."""
        place = self.uplink.line_up()
        for block in self.kept.since(place):
            self.uplink.audio(block.t, block.pcm, gated=block.gated, again=True, now_ns=now_ns)

    def line_down(self, now_ns: int, *, by_service: bool = False) -> list[Effect]:
        """The line is gone; `by_service`: it was closed there."""
        self.connected = False
        effects = self._tending.line_down(now_ns, by_service=by_service)
        self.uplink.line_down()
        self.transcript.cut_off()
        effects += self._course.line_down(now_ns, self._calls)
        self.downlink.cut_off()
        return effects

    def received(self, now_ns: int, value: m.Incoming) -> list[Effect]:
        """One value of a message of the service."""
        if isinstance(value, m.Usage):
            return self._course.counted(value)
        if isinstance(value, m.Garbled):
            return [Note("a message without sense", {"fault": value.fault, "so_far": value.so_far}, "warning")]
        if self._stay.left:
            return []
        self._last_ns = now_ns
        self._tending.sign(now_ns)
        self.told = self.told or not isinstance(value, m.Handle | m.GoAway)
        turns, course = self.turns, self._course
        match value:
            case m.Speech():
                return course.speech(now_ns, value)
            case m.Interrupted():
                return course.interrupted(now_ns)
            case m.Text(text, thought):
                if thought or not text:
                    return []
                effects = course.changes(turns.output(now_ns), now_ns)
                self.budget.received(letters=len(text))
                return effects + self.transcript.machine_said(now_ns, text, late=False)
            case m.PersonSaid(text, finished, interim):
                turns.touch(now_ns)
                return self.transcript.person_said(now_ns, text, interim=interim, finished=finished)
            case m.MachineSaid(text):
                turns.touch(now_ns)
                return self.transcript.machine_said(now_ns, text, late=turns.owed)
            case m.GenerationComplete():
                return course.generated(now_ns)
            case m.TurnComplete(reason, goes_on):
                self.downlink.cut_off()
                return course.turn_complete(now_ns, reason=reason, goes_on=goes_on)
            case m.Idle():
                return course.turn_complete(now_ns)
            case m.ToolCall():
                changes, effects = self._calls.called(now_ns, value)
                return course.changes(changes, now_ns) + self.transcript.called() + effects
            case m.ToolCallsCancelled(ids):
                return self._calls.cancelled(now_ns, ids)
            case m.Handle(handle, resumable):
                self.resumption.update(handle, resumable)
                if resumable:
                    self._calls.handle_came()
                return [Save()]
            case m.GoAway(left_s):
                self._tending.go_away(now_ns, left_s)
                return [Note("the service will hang up", {"left_s": left_s})]
            case m.Grounding(queries, sources):
                return [Note("the answer was looked up", {"queries": queries, "sources": sources})]
            case m.WaitingForInput() | m.OtherPart() | m.VoiceActivity():
                return [Note("the service says", {"what": repr(value)}, "debug")]

    # Time

    def tick(self, now_ns: int) -> list[Effect]:
        """Time passes; call it a few times a second."""
        if self.uplink.tick(now_ns):
            self.turns.speech_lost(now_ns)
        if not self.downlink.playing(now_ns):
            self.uplink.release()
        effects = self._interruption.tick(now_ns) + self._capping.tick(now_ns)
        playing = self.downlink.playing(now_ns)
        # A question that is still on its way up has not been asked yet.
        stalled = self.turns.tick(now_ns, connected=self.connected and self.uplink.abreast, playing=playing)
        effects += self._course.changes(stalled, now_ns)
        effects += self._stay.tick(now_ns, playing=playing)
        if self.connected and not playing:
            effects += self._texts.tick(now_ns)
        self._course.quiet(now_ns, connected=self.connected)
        if self.uplink.ended_sent and not self._said_end:
            self._said_end, self._last_ns = True, now_ns
        effects += self._calls.tick(now_ns)
        care = self._tending.tick(now_ns)
        if HangUp() in care and self.uplink.seen_t is not None:
            # Nobody spoke for so long: what was said before needs no answer, and the next line need not hear it.
            effects += [*self._course.answered(self.uplink.seen_t - RECENT_NS), Save()]
        self._opening.tick(idle=HangUp() in care)
        return effects + care

    @property
    def owed(self) -> bool:
        """Somebody speaks, or waits for an answer."""
        return self._tending.owed
