"""Who has the floor: a turn is committed, thought about, answered, spoken over, completed.

Decides only. Time comes in as an argument (monotonic ns), what is to be done goes out through `emit`.

    IDLE -> THINKING -> SPEAKING -> PLAYING -> IDLE      generationComplete after SPEAKING, turnComplete after PLAYING
               ^            |
               |            v
               +-------- CALLING                         a function runs at the client

While nothing of an answer was sent, a person who goes on speaking simply continues the turn. Later it is an
interruption.
"""

import json
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pipeline.simulator.actions import Action, Line, Note, Render, Send
from pipeline.simulator.billing import Bill, compressed
from pipeline.simulator.calls import Calls
from pipeline.simulator.clips import RATE
from pipeline.simulator.delivery import Delivery, spoken, written
from pipeline.simulator.fault import Act, Answer, Handles, ToolOdd, Wedged
from pipeline.simulator.faults import MS, Faults
from pipeline.simulator.life import Life
from pipeline.simulator.memory import Memory, Session
from pipeline.simulator.models import ends_turn_at_call
from pipeline.simulator.replies import for_speech, for_text
from pipeline.simulator.script import fill, fill_all
from pipeline.simulator.session_setup import Setup
from pipeline.simulator.speech import Speech
from pipeline.simulator.turn import Phase, Turn
from pipeline.simulator.usage import audio_tokens, text_tokens
from pipeline.simulator.wire import Message

WAITING_TURNS = 8
"""Turns that wait for the floor (answers that must not be interrupted); the oldest is dropped and noted."""


class TurnTaking:
    """The floor of one connection."""

    def __init__(
        self,
        life: Life,
        setup: Setup,
        session: Session,
        memory: Memory,
        faults: Faults,
        emit: Callable[[Action], None],
        *,
        vertex: bool = False,
    ) -> None:
        self.memory = memory
        self._session = session
        self._withholds = False
        self._bill = Bill(life.script.usage, vertex=vertex)
        self.setup = setup
        self.phase = Phase.IDLE
        self._life = life
        self._faults = faults
        self._emit = emit
        self._turn = Turn("text")
        self._carried: Turn | None = None
        self._waiting: deque[Turn] = deque()
        self._calls = Calls(life.calls)
        self._ticket = 0
        self._think_until_ns = 0
        self._speech: Speech | None = None
        self._ready = False
        self._with_notice = False
        self._delivery = Delivery([], 0)

    # What happens to it -----------------------------------------------------------------------------------------------

    def commit(self, turn: Turn, now_ns: int) -> None:
        """A turn of the person is complete: answer it, now or when the floor is free."""
        if self.phase is not Phase.IDLE:
            self._waiting.append(turn)
            if len(self._waiting) > WAITING_TURNS:
                self._waiting.popleft()
                self._note("turn_dropped", why=f"{WAITING_TURNS} turns wait already")
            return
        if self._carried is not None:
            turn.seconds += self._carried.seconds
            turn.tokens += self._carried.tokens
            self._carried = None
        script, functions = self._life.script, self.setup.functions
        if turn.kind == "speech":
            turn.choice = for_speech(script, self.memory, functions)
        elif turn.kind == "text":
            turn.choice = for_text(script, self.memory, turn.typed, functions)
        self._note("turn", kind=turn.kind, text=turn.words, seconds=round(turn.seconds, 3))
        self._turn = turn
        self._faults.moment("turn", now_ns)
        if self._session.wedged or turn.answer.kind == "none":
            self._transcribe()
            return
        self._think(now_ns)

    def speech_started(self, now_ns: int) -> None:
        """A person began to speak."""
        if self.phase is Phase.IDLE or not self.setup.interruptible:
            return
        if self.phase is Phase.THINKING and not self._turn.begun:
            self._withdraw()
        else:
            self.interrupt(now_ns)

    def interrupt(self, now_ns: int) -> None:
        """The floor is taken from the model. What it has not sent is discarded, calls that block it are cancelled."""
        if self.phase is Phase.IDLE:
            return
        if self.phase is Phase.THINKING and not self._turn.begun:
            self._withdraw()
            return
        if self.phase is Phase.CALLING:
            if self.setup.functions.get(self._turn.choice.function or ""):
                self._rest()  # it runs on; its result will be spoken of when it comes
                return
            self._emit(self._calls.cancel(self._turn))
        self._settle()
        self._note("interrupted", sent_samples=self._turn.sent_samples, sent_text=self._turn.sent_words)
        if self._turn.answer.bundled:
            self._complete(now_ns, interrupted=True)
            return
        self._content(interrupted=True)
        self._complete(now_ns)

    def offer_handle(self, now_ns: int) -> None:
        """A handle to what was said until now, if the client asked for handles."""
        if self.setup.handle is None or self._withholds:
            return
        handle = self._life.handles.issue(self._session, self.memory, now_ns)
        self._emit(Send({"sessionResumptionUpdate": {"newHandle": handle, "resumable": True}}))
        self._note("handle", handle=handle, turns=self.memory.turns)

    def strike(self, act: Act) -> None:
        """A fault that changes how turns are taken from now on."""
        match act:
            case Wedged():
                self._session.wedged = True
            case Handles(how="withheld"):
                self._withholds = True
            case Answer():
                self._turn.answer = act
            case ToolOdd(how="repeated"):
                self._emit(self._calls.last)
            case ToolOdd(how="cancelled"):
                self._cancel_calls()

    def result(self, name: str, response: Any, scheduling: str, now_ns: int) -> None:
        """The client answered call `name`. An unknown one is noted and ignored."""
        turn = self._calls.answered(name)
        if turn is None:
            self._note("note", text=f"no call {name} is open; its result is ignored")
            return
        said = json.dumps(response)
        self.memory = self.memory.with_said("tool", said).with_tokens(TEXT=text_tokens(said))
        turn.choice.values["result"] = response
        turn.called = True
        self._faults.moment("result", now_ns)
        if turn is self._turn and self.phase is Phase.CALLING:
            self._think(now_ns)
        elif scheduling != "SILENT":
            if scheduling == "INTERRUPT":
                self.interrupt(now_ns)
            self.commit(replace(turn, kind="tool", typed="", seconds=0.0, tokens=Counter(), begun=False), now_ns)

    def rendered(self, ticket: int, speech: Speech, now_ns: int) -> None:
        """The speech asked for under `ticket` is there."""
        if ticket == self._ticket and self.phase is Phase.THINKING:
            self._speech, self._ready = speech, True
            self.advance(now_ns)

    @property
    def due_ns(self) -> int | None:
        """When `advance` has something to do; None while it waits for others."""
        if self.phase is Phase.THINKING:
            return self._think_until_ns if self._ready else None
        if self.phase is Phase.SPEAKING:
            return self._delivery.due_ns
        return self._delivery.played_ns if self.phase is Phase.PLAYING else None

    def advance(self, now_ns: int) -> None:
        """Do what is due."""
        while (due_ns := self.due_ns) is not None and due_ns <= now_ns:
            if self.phase is Phase.THINKING:
                self._begin(now_ns)
            elif self.phase is Phase.SPEAKING:
                self._speak(now_ns)
            else:
                self._complete(now_ns)

    # What it does -----------------------------------------------------------------------------------------------------

    def _think(self, now_ns: int) -> None:
        reply, call = self._turn.choice.reply, self._turn.choice.reply.call
        think_ms = self._life.script.think_ms if reply.think_ms is None else reply.think_ms
        self.phase = Phase.THINKING
        self._think_until_ns = now_ns + think_ms * MS
        self._ticket += 1
        announces = call is not None and not self._turn.called
        text = fill(call.say if call and announces else reply.say, self._turn.choice.values)
        if self._turn.answer.kind == "empty":
            text = ""
        lines = [Line(text, None if announces else reply.wav)] if text else []
        self._with_notice = bool(lines) and self.setup.speaks and self._life.notice_due
        if self._with_notice:
            lines.insert(0, Line(self._life.script.notice, None))
        self._text = " ".join(line.text for line in lines)
        self._speech = None
        self._ready = not lines or not self.setup.speaks
        if not self._ready:
            self._emit(Render(self._ticket, tuple(lines)))

    def _withdraw(self) -> None:
        """Nothing was said yet: the person goes on, and what was said so far belongs to the turn to come."""
        self._note("turn_continued")
        if self._turn.kind == "speech":
            self._carried = self._turn
        elif self._turn.kind == "text":
            self.memory = self.memory.with_said("user", self._turn.typed).with_tokens(**self._turn.tokens)
        self.phase = Phase.IDLE

    def _begin(self, now_ns: int) -> None:
        """The first of an answer leaves, or of its next part after a function."""
        if not self._turn.begun:
            self._take_the_floor()
        script, answer = self._life.script, self._turn.answer
        if self._speech is not None:
            self._delivery = spoken(
                self._speech,
                now_ns,
                speed=answer.speed or script.speed,
                chunk_bytes=answer.chunk_bytes or script.chunk_bytes,
                transcribe=self.setup.transcribe_output,
                stall_ns=answer.stall_ms * MS,
                bundled=answer.bundled,
            )
        else:
            self._delivery = written("" if self.setup.speaks else self._text, now_ns)
        if self._with_notice:
            self._life.notice_due = False
        self.phase = Phase.SPEAKING
        if self._delivery.due_ns is None:
            self._said_all(now_ns)
            return
        self._note("answer", text=self._text, samples=self._speech.samples.size if self._speech else 0)
        self._faults.moment("answer", now_ns)

    def _take_the_floor(self) -> None:
        """From here on the turn has been answered: what the person said is remembered, handles are withheld."""
        turn = self._turn
        turn.begun = True
        if turn.kind != "tool":
            self.memory = replace(self.memory, turns=self.memory.turns + 1, spoken_at=turn.choice.spoken_at)
            self.memory = self.memory.with_said("user", turn.words).with_tokens(**turn.tokens)
        if self.setup.handle is not None and not self._withholds:
            self._emit(Send({"sessionResumptionUpdate": {}}))
        if not turn.answer.bundled:
            self._transcribe()
        if turn.answer.kind == "early":
            self._content(turnComplete=True)

    def _transcribe(self) -> None:
        """What the person said, as text."""
        if self._turn.kind == "speech" and self.setup.transcribe_input:
            self._content(inputTranscription={"text": self._turn.words, "finished": True})

    def _speak(self, now_ns: int) -> None:
        for send in self._delivery.take(now_ns):
            if self._turn.answer.bundled and send.first == 0 and self.setup.transcribe_input:
                heard = {"inputTranscription": {"text": self._turn.words, "finished": True}}
                send = replace(send, message={"serverContent": send.message["serverContent"] | heard})
            self._emit(send)
        if self._delivery.due_ns is None:
            self._said_all(now_ns)

    def _settle(self) -> None:
        """Book what was sent of the delivery to its turn; what was not is discarded."""
        self._turn.sent_words += self._delivery.sent_words
        self._turn.sent_samples += self._delivery.sent_samples
        self._delivery = Delivery([], self._delivery.played_ns)

    def _said_all(self, now_ns: int) -> None:
        self._settle()
        if self._turn.choice.function and not self._turn.called:
            self._call(now_ns)
            return
        if self._turn.answer.bundled:
            self._complete(now_ns, generationComplete=True)
            return
        self._content(generationComplete=True)
        self._faults.moment("generated", now_ns)
        self.phase = Phase.PLAYING
        self.advance(now_ns)

    def _call(self, now_ns: int) -> None:
        call, function = self._turn.choice.reply.call, self._turn.choice.function
        assert call is not None
        assert function is not None
        self.phase = Phase.CALLING
        self._emit(self._calls.make(self._turn, function, fill_all(call.args, self._turn.choice.values)))
        if ends_turn_at_call(self.setup.model):
            self._turn_complete({})
        self._faults.moment("tool", now_ns)

    def _cancel_calls(self) -> None:
        """The service thinks better of the functions it asked for last, and of its turn."""
        self._emit(self._calls.cancel(self._turn))
        if self.phase is Phase.CALLING:
            self._content(interrupted=True)
            self._delivery, self.phase = Delivery([], 0), Phase.PLAYING  # and all is played: complete at once

    def _complete(self, now_ns: int, **together: bool) -> None:
        """The turn is over: for the client (said `together` with more), for the memory, and for whoever waits."""
        self._turn_complete(together)
        self._rest()
        self.offer_handle(now_ns)
        self._faults.moment("complete", now_ns)
        if self._waiting:
            self.commit(self._waiting.popleft(), now_ns)

    def _turn_complete(self, together: Mapping[str, bool]) -> None:
        self._settle()
        words, samples = self._turn.sent_words, self._turn.sent_samples
        self._turn.sent_words, self._turn.sent_samples = "", 0
        response = Counter({"AUDIO": audio_tokens(samples / RATE)} if samples else {"TEXT": text_tokens(words)})
        prompt = self.memory.tokens + Counter({"TEXT": text_tokens(self.setup.instruction)})
        done = {} if self._turn.answer.kind == "early" else {"turnComplete": True}
        message: Message = {"serverContent": {**together, **done}} if together or done else {}
        self._emit(Send(message | self._bill.message(self._session, prompt, response)))
        self._note("turn_complete", turns=self.memory.turns, sent_samples=samples)
        if words:
            self.memory = self.memory.with_said("model", words)
        self.memory = compressed(self.memory.with_tokens(**response), self.setup.compression)

    def _rest(self) -> None:
        self.phase = Phase.IDLE
        self._speech = None

    def _content(self, **content: Any) -> None:
        self._emit(Send({"serverContent": content}))

    def _note(self, event: str, **fields: Any) -> None:
        self._emit(Note(event, fields))
