"""One connection's conversation, without I/O: messages and time in, actions out."""

from collections import Counter
from typing import Any

from pipeline.simulator.actions import Action, Close, Note, Send
from pipeline.simulator.ear import Ear, Heard
from pipeline.simulator.faults import Faults
from pipeline.simulator.fields import flag, items, table, text, words
from pipeline.simulator.life import Life
from pipeline.simulator.memory import Memory
from pipeline.simulator.refusal import Refused, invalid_argument, unknown_name
from pipeline.simulator.session_setup import Setup, read_setup
from pipeline.simulator.speech import Speech
from pipeline.simulator.turn_taking import Turn, TurnTaking
from pipeline.simulator.usage import IMAGE, audio_tokens, text_tokens
from pipeline.simulator.vad import RATE, Edge
from pipeline.simulator.wire import Message, read_base64

SETUP_DEADLINE_NS = 30 * 10**9
MESSAGES = ("setup", "clientContent", "realtimeInput", "toolResponse", "contextUpdate")
REALTIME = ("activityStart", "audio", "mediaChunks", "video", "text", "activityEnd", "audioStreamEnd")
"""In the order in which they are taken when one message holds several."""


class Conversation:
    """Feed it messages, time and rendered speech; carry out the actions it returns, in order.

    A client that may not come in (`turned_away`) is told so when its first message arrives, so that it reads the reason
    instead of failing to send.
    """

    def __init__(self, life: Life, version: str, now_ns: int, turned_away: Refused | None = None) -> None:
        self._life = life
        self._turned_away = turned_away
        self._version = version
        self._opened_ns = now_ns
        self._actions: list[Action] = []
        self._faults = Faults(life)
        self._setup: Setup | None = None
        self._turns: TurnTaking | None = None
        self._ear = Ear(None)
        self._closed = False
        self._history = False
        self._typed: list[str] = []
        self._speech_from: int | None = None
        self._counted_to = 0
        self._images = 0
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
        for action in [] if self._closed else self._faults.take(now_ns):
            self._emit(action)
        if self._setup is None and not self._closed and now_ns - self._opened_ns >= SETUP_DEADLINE_NS:
            words = "Deadline expired before operation could complete."
            self._refuse(Refused(1011, words, "no setup came for 30 s"))
        return self._taken()

    @property
    def next_due_ns(self) -> int | None:
        """When to call `advance` next; None when only the client can change anything."""
        if self._closed:
            return None
        due = [self._faults.due_ns, self._turns.due_ns if self._turns else self._opened_ns + SETUP_DEADLINE_NS]
        return min((when for when in due if when is not None), default=None)

    # Messages ---------------------------------------------------------------------------------------------------------

    def _take(self, message: Message, now_ns: int) -> None:
        if self._turned_away is not None:
            raise self._turned_away
        kinds = [name for name in message if name in MESSAGES]
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
            "realtimeInput": self._realtime_input,
            "toolResponse": self._tool_response,
            "contextUpdate": self._context_update,
        }[kinds[0]](body, now_ns)

    def _begin(self, message: Message, now_ns: int) -> None:
        self._note("in", message=message)
        setup = read_setup(message, self._life.script, self._version)
        memory = self._life.handles.resume(setup.handle, now_ns) if setup.handle else Memory()
        self._setup, self._ear = setup, Ear(setup.detection)
        self._history = setup.starts_with_history
        self._turns = TurnTaking(self._life, setup, memory, self._faults, self._emit)
        self._note("setup", model=setup.model, resumed=bool(setup.handle), turns=memory.turns)
        self._emit(Send({"setupComplete": {}}))
        self._faults.moment("setup", now_ns)
        if setup.handle is not None:
            handle = self._life.handles.issue(memory, now_ns)
            self._emit(Send({"sessionResumptionUpdate": {"newHandle": handle, "resumable": True}}))
            self._note("handle", handle=handle, turns=memory.turns)

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
            self._commit_text(" ".join(self._typed), now_ns)
            self._typed = []

    def _realtime_input(self, body: Message, now_ns: int) -> None:
        for name in body:
            if name not in REALTIME:
                raise unknown_name(name, "realtime_input")
        given = {name: body[name] for name in REALTIME if body.get(name) is not None}
        for name, value in given.items():
            if name in ("audio", "video"):
                self._media(table(value, name), name, now_ns)
            elif name == "mediaChunks":
                for blob in items(value, name):
                    chunk = table(blob, name)
                    kind = "video" if text(chunk.get("mimeType"), name).startswith("image/") else "audio"
                    self._media(chunk, kind, now_ns)
            elif name == "text":
                self._note("in", message={"realtimeInput": {"text": value}})
                typed = text(value, "text")
                self._running.interrupt(now_ns)
                self._commit_text(typed, now_ns)
            else:
                self._note("in", message={"realtimeInput": {name: value}})
                self._signal(name, now_ns)

    def _media(self, blob: Message, kind: str, now_ns: int) -> None:
        if kind == "video":
            mime = text(blob.get("mimeType"), "mimeType")
            if not mime.startswith("image/"):
                raise invalid_argument(f"video must be image/jpeg or another image, not {mime or 'without a type'}")
            size = len(read_base64(blob.get("data")))
            self._images += 1
            self._note("in", message={"realtimeInput": {"video": {"mimeType": mime, "bytes": size}}})
            return
        setup = self._setup
        assert setup is not None
        if setup.detection is None and self._speech_from is None:
            raise invalid_argument("audio outside activityStart and activityEnd, while automatic detection is disabled")
        heard = self._ear.hear(blob)
        self._note_audio(heard)
        for edge in heard.edges:
            self._edge(edge, now_ns)

    def _note_audio(self, heard: Heard) -> None:
        received = heard.received
        count = len(received.pcm) // 2
        audio = {
            "bytes": len(received.pcm),
            "rate": received.rate,
            "first": received.first,
            "last": received.first + count - 1,
        }
        self._note("in", message={"realtimeInput": {"audio": audio}})
        self._emit(received)
        if not heard.rate_given and received.first == 0:
            self._note("note", text="audio without a rate is taken for 16000 Hz; write audio/pcm;rate=16000")

    def _signal(self, name: str, now_ns: int) -> None:
        """activityStart, activityEnd, audioStreamEnd."""
        setup = self._setup
        assert setup is not None
        if name == "audioStreamEnd":
            edge = self._ear.pause()
            if edge:
                self._edge(edge, now_ns)
            return
        if setup.detection is not None:
            words = "Explicit activity control is not supported when automatic activity detection is enabled."
            raise Refused(1007, words, f"{name} needs automatic_activity_detection: {{disabled: true}}")
        started = name == "activityStart"
        if started == (self._speech_from is not None):
            raise invalid_argument(f"{name} while an activity is {'under way' if started else 'not under way'}")
        self._edge(Edge(started, self._ear.position), now_ns)

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

    # Turns ------------------------------------------------------------------------------------------------------------

    def _edge(self, edge: Edge, now_ns: int) -> None:
        if edge.started:
            self._speech_from = edge.sample
            self._note("speech_started", sample=edge.sample)
            self._faults.moment("speech", now_ns)
            self._running.speech_started(now_ns)
            return
        begun = edge.sample if self._speech_from is None else self._speech_from
        self._speech_from = None
        seconds = (edge.sample - begun) / RATE
        self._note("speech_ended", sample=edge.sample, seconds=round(seconds, 3))
        self._running.commit(Turn("speech", seconds=seconds, tokens=self._input_tokens(seconds, "")), now_ns)

    def _commit_text(self, typed: str, now_ns: int) -> None:
        self._running.commit(Turn("text", typed=typed, tokens=self._input_tokens(0.0, typed)), now_ns)

    def _input_tokens(self, seconds: float, typed: str) -> "Counter[str]":
        if self._running.setup.counts_silence:
            seconds = (self._ear.position - self._counted_to) / RATE
            self._counted_to = self._ear.position
        tokens = Counter({"AUDIO": audio_tokens(seconds), "TEXT": text_tokens(typed), "IMAGE": IMAGE * self._images})
        self._images = 0
        return tokens

    @property
    def _running(self) -> TurnTaking:
        assert self._turns is not None  # `_take` lets nothing pass before the setup
        return self._turns

    # Actions ----------------------------------------------------------------------------------------------------------

    def _emit(self, action: Action) -> None:
        if self._closed:
            return
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
