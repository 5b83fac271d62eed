"""One connection's conversation, without I/O: messages and time in, actions out."""

from dataclasses import replace
from typing import Any

from pipeline.simulator.actions import Action, Note, Raw, Send
from pipeline.simulator.fault import Act, Close, Freeze, GoAway, Handles, Outage, Pongs, Say, Silent, Unknown
from pipeline.simulator.faults import MS, Faults
from pipeline.simulator.fields import flag, items, table, text, words
from pipeline.simulator.interaction import with_status
from pipeline.simulator.life import Life
from pipeline.simulator.memory import Memory, Session
from pipeline.simulator.refusal import Refused, cut, invalid_argument, unknown_name
from pipeline.simulator.session_setup import Setup, read_setup
from pipeline.simulator.speech import Speech
from pipeline.simulator.turn_taking import TurnTaking
from pipeline.simulator.unknown import with_unknown
from pipeline.simulator.uplink import Uplink
from pipeline.simulator.usage import text_tokens
from pipeline.simulator.wire import Message

SETUP_DEADLINE_NS = 30 * 10**9
MESSAGES = ("setup", "clientContent", "realtimeInput", "toolResponse", "contextUpdate")


class Conversation:
    """Feed it messages, time and rendered speech; carry out the actions it returns, in order.

    A client that may not come in (`turned_away`) is told so when its first message arrives, so that it reads the reason
    instead of failing to send. Say `end` when its socket is gone: until then nobody can resume its session.
    """

    def __init__(
        self, life: Life, version: str, now_ns: int, turned_away: Refused | None = None, *, vertex: bool = False
    ) -> None:
        self._life = life
        self._turned_away = turned_away
        self._version = version
        self._vertex = vertex
        self._opened_ns = now_ns
        self._actions: list[Action] = []
        self._faults = Faults(life.plan, self._strike)
        self._setup: Setup | None = None
        self._session: Session | None = None
        self._turns: TurnTaking | None = None
        self._uplink: Uplink | None = None
        self._closed = False
        self._silent = False
        self._unknown = False
        self._history = False
        self._typed: list[str] = []
        self._plan_end(now_ns)
        self._faults.moment("connect", now_ns)

    def receive(self, message: Message, now_ns: int) -> list[Action]:
        """One message of the client, keys in camelCase."""
        if not self._closed:
            try:
                self._take(message, now_ns)
            except Refused as refused:
                self._refuse(refused)
        return self.advance(now_ns)

    def refuse(self, refused: Refused) -> list[Action]:
        """A frame that is no message at all."""
        if not self._closed:
            self._refuse(self._turned_away or refused)
        return self._taken()

    def rendered(self, ticket: int, speech: Speech, now_ns: int) -> list[Action]:
        """The speech asked for by `Render(ticket, …)`."""
        if self._turns is not None and not self._closed:
            self._turns.rendered(ticket, speech, now_ns)
        return self.advance(now_ns)

    def advance(self, now_ns: int) -> list[Action]:
        """Everything that is due by now."""
        if self._turns is not None and not self._closed:
            self._turns.advance(now_ns)
        for act in [] if self._closed else self._faults.take(now_ns):
            self._strike(act)
        if not self._closed:
            self._hold_limits(now_ns)
        if self._setup is None and not self._closed and now_ns - self._opened_ns >= SETUP_DEADLINE_NS:
            words = "Deadline expired before operation could complete."
            self._refuse(Refused(1011, words, "no setup came for 30 s"))
        return self._taken()

    def strike(self, act: Act, now_ns: int) -> list[Action]:
        """A fault from outside strikes now."""
        self._faults.add(act, now_ns)
        return self.advance(now_ns)

    def end(self, now_ns: int) -> None:
        """The socket is gone."""
        self._closed = True
        if self._session is not None and self._session.open:
            self._session.open = False
            self._session.lived_ns += now_ns - self._opened_ns
            self._life.handles.on_change(None)

    @property
    def next_due_ns(self) -> int | None:
        """When to call `advance` next; None when only the client can change anything."""
        if self._closed:
            return None
        due = [self._faults.due_ns, self._turns.due_ns if self._turns else self._opened_ns + SETUP_DEADLINE_NS]
        due.append(self._session_ends_ns)
        return min((when for when in due if when is not None), default=None)

    # Messages ---------------------------------------------------------------------------------------------------------

    def _take(self, message: Message, now_ns: int) -> None:
        if self._turned_away is not None:
            raise self._turned_away
        kinds = [name for name, body in message.items() if name in MESSAGES and body is not None]
        for name in message:
            if name not in MESSAGES:
                raise unknown_name(name, "")
        if not kinds:
            self._note("note", text="an empty message is ignored")
            return
        if len(kinds) > 1:
            raise invalid_argument(f"one message holds one of {', '.join(MESSAGES)}, not {' and '.join(kinds)}")
        if (kinds == ["setup"]) != (self._setup is None):
            raise invalid_argument("the first message must be a setup" if self._setup is None else "setup came twice")
        if kinds == ["setup"]:
            self._begin(message, now_ns)
            return
        body = table(message[kinds[0]], kinds[0])
        {
            "clientContent": self._client_content,
            "realtimeInput": self._listening.take,
            "toolResponse": self._tool_response,
            "contextUpdate": self._context_update,
        }[kinds[0]](body, now_ns)

    def _begin(self, message: Message, now_ns: int) -> None:
        self._note("in", message=message)
        setup = read_setup(message, self._life.script, self._version)
        if setup.handle:
            self._faults.moment("resume", now_ns)
            for act in self._faults.take(now_ns):
                self._strike(act)
            if self._closed:
                return
        session, memory = self._life.session(), Memory()
        if setup.handle:
            session, memory = self._life.handles.resume(setup.handle, now_ns)
        self._setup, self._session = setup, session
        self._history = setup.starts_with_history
        self._turns = TurnTaking(self._life, setup, session, memory, self._faults, self._emit, vertex=self._vertex)
        self._uplink = Uplink(
            setup, session, self._turns, self._faults, self._emit, hears_bursts=self._life.script.hears_bursts
        )
        self._note("setup", model=setup.model, resumed=bool(setup.handle), turns=memory.turns, session=session.number)
        self._emit(Send({"setupComplete": {}}))
        self._faults.moment("setup", now_ns)
        self._turns.offer_handle(now_ns)

    def _client_content(self, body: Message, now_ns: int) -> None:
        self._note("in", message={"clientContent": body})
        turns = self._running
        typed = []
        for content in items(body.get("turns"), "turns"):
            turn = table(content, "turns")
            said = words(turn, "turns")
            if turn.get("role") == "model":
                turns.memory = turns.memory.with_said("model", said).with_tokens(TEXT=text_tokens(said))
            elif said:
                typed.append(said)
        complete = flag(body.get("turnComplete"), "turnComplete")
        if self._history:
            for said in typed:
                turns.memory = turns.memory.with_said("user", said).with_tokens(TEXT=text_tokens(said))
            self._history = not complete
            return
        turns.interrupt(now_ns)
        self._typed += typed
        if complete:
            self._listening.commit_text(" ".join(self._typed), now_ns)
            self._typed = []

    def _tool_response(self, body: Message, now_ns: int) -> None:
        self._note("in", message={"toolResponse": body})
        for response in items(body.get("functionResponses"), "functionResponses"):
            given = table(response, "functionResponses")
            name = text(given.get("id"), "functionResponses.id")
            if not name:
                raise invalid_argument("functionResponses.id is missing")
            if flag(given.get("willContinue"), "willContinue"):
                self._note("note", text=f"{name} will give more; the model waits")
                continue
            scheduling = text(given.get("scheduling"), "scheduling")
            self._running.result(name, given.get("response"), scheduling, now_ns)

    def _context_update(self, body: Message, now_ns: int) -> None:
        self._note("in", message={"contextUpdate": body})
        self._setup = self._running.setup = self._running.setup.with_update(body)

    @property
    def _running(self) -> TurnTaking:
        assert self._turns is not None  # `_take` lets nothing pass before the setup
        return self._turns

    @property
    def _listening(self) -> Uplink:
        assert self._uplink is not None
        return self._uplink

    # Ends and faults --------------------------------------------------------------------------------------------------

    def _plan_end(self, now_ns: int) -> None:
        """A connection lives so long, whatever is said on it."""
        limits = self._life.script.limits
        if limits.connection_s is None:
            return
        ends_ms = round(limits.connection_s * 1000)
        if limits.go_away_s is None:
            self._faults.add(Close(1011, "Deadline expired before operation could complete."), now_ns + ends_ms * MS)
            return
        lives_ms = min(ends_ms, round(limits.go_away_s * 1000))
        self._faults.add(GoAway(f"{lives_ms / 1000:g}s", lives_ms), now_ns + (ends_ms - lives_ms) * MS)

    @property
    def _session_ends_ns(self) -> int | None:
        """When the session has lived too long; None: never."""
        if self._session is None or self._setup is None or self._setup.compression is not None:
            return None
        limits = self._life.script.limits
        life_s = limits.video_s if self._session.saw_images else limits.audio_s
        return None if life_s is None else self._opened_ns + round(life_s * 1e9) - self._session.lived_ns

    def _hold_limits(self, now_ns: int) -> None:
        ends_ns = self._session_ends_ns
        if ends_ns is None or self._session is None or self._turns is None:
            return
        most = self._life.script.limits.context_tokens
        held = self._turns.memory.tokens.total()
        if now_ns >= ends_ns:
            self._session.ended = True
            kind = "with images" if self._session.saw_images else "of audio alone"
            self._refuse(Refused(1008, "The operation was aborted.", f"a session {kind} without compression is over"))
        elif most is not None and held > most:
            self._session.ended = True
            words = f"The input token count ({held}) exceeds the maximum number of tokens allowed ({most:.0f})."
            self._refuse(Refused(1007, words, "the context is full, and nothing compresses it"))

    def _strike(self, act: Act) -> None:
        if self._closed:
            return
        self._note("fault", act=type(act).__name__, **vars(act))
        match act:
            case Close(reason=reason):
                self._emit(replace(act, reason=cut(reason)))
            case GoAway(time_left=time_left):
                self._emit(Send({"goAway": {} if time_left is None else {"timeLeft": time_left}}))
            case Say(messages=messages):
                for message in messages:
                    self._emit(Raw(message) if isinstance(message, str) else Send(message))
            case Silent():
                self._silent = True
            case Unknown():
                self._unknown = True
            case Freeze() | Pongs() | Outage():
                self._emit(act)
            case Handles(how="forgotten"):
                self._life.handles.forget()
            case Handles(how="blank"):
                self._life.handles.blank()
            case _ if self._turns is not None:
                self._turns.strike(act)

    # Actions ----------------------------------------------------------------------------------------------------------

    def _emit(self, action: Action) -> None:
        if self._closed or (self._silent and isinstance(action, Send | Raw)):
            return
        if self._life.script.interaction_status != "none" and isinstance(action, Send):
            action = replace(action, message=with_status(action.message, self._life.script.interaction_status))
        if self._unknown and isinstance(action, Send):
            action = replace(action, message=with_unknown(action.message))
        self._actions.append(action)
        self._closed = isinstance(action, Close)

    def _note(self, event: str, **fields: Any) -> None:
        self._emit(Note(event, fields))

    def _refuse(self, refused: Refused) -> None:
        self._note("refused", why=refused.why)
        self._emit(Close(refused.code, refused.reason))

    def _taken(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions
