"""What a client sends in real time: sound, images, signals, typed text. Here it becomes turns of the person."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from pipeline.simulator.actions import Action, Note
from pipeline.simulator.bursts import Bursts
from pipeline.simulator.ear import Ear, Heard
from pipeline.simulator.faults import Faults
from pipeline.simulator.fields import flag, items, table, text
from pipeline.simulator.memory import Session
from pipeline.simulator.refusal import Refused, invalid_argument, unknown_name
from pipeline.simulator.session_setup import Setup
from pipeline.simulator.turn import Turn
from pipeline.simulator.turn_taking import TurnTaking
from pipeline.simulator.usage import IMAGE, audio_tokens, text_tokens
from pipeline.simulator.vad import RATE, Edge
from pipeline.simulator.wire import Message, read_base64

REALTIME = ("activityStart", "audio", "mediaChunks", "video", "text", "activityEnd", "audioStreamEnd")
"""In the order in which they are taken when one message holds several."""


class Uplink:
    """The incoming direction of one connection, from its setup on."""

    def __init__(
        self,
        setup: Setup,
        session: Session,
        turns: TurnTaking,
        faults: Faults,
        emit: Callable[[Action], None],
        *,
        hears_bursts: bool = True,
    ) -> None:
        self._detects = setup.detection is not None
        self._session = session
        self._turns = turns
        self._faults = faults
        self._emit = emit
        self._ear = Ear(setup.detection)
        self._speech_from: int | None = None
        self._counted_to = 0
        self._images = 0
        self._typed: list[str] = []
        self._bursts = None if hears_bursts else Bursts()

    def take(self, body: Message, now_ns: int) -> None:
        """One `realtimeInput`. Raises `Refused`."""
        for name in body:
            if name not in REALTIME:
                raise unknown_name(name, "realtime_input")
        given = {name: body[name] for name in REALTIME if body.get(name) is not None}
        for name, value in given.items():
            if name == "audio":
                self._audio(table(value, name), now_ns)
            elif name == "video":
                self._image(table(value, name))
            elif name == "mediaChunks":
                for blob in items(value, name):
                    chunk = table(blob, name)
                    if text(chunk.get("mimeType"), name).startswith("image/"):
                        self._image(chunk)
                    else:
                        self._audio(chunk, now_ns)
            elif name == "text":
                self._note("in", message={"realtimeInput": {"text": value}})
                self._text(text(value, "text"), now_ns)
            else:
                self._note("in", message={"realtimeInput": {name: value}})
                self._signal(name, value, now_ns)

    def commit_text(self, typed: str, now_ns: int) -> None:
        """A typed turn is complete."""
        self._turns.commit(Turn("text", typed=typed, tokens=self._tokens(0.0, typed)), now_ns)

    def _text(self, typed: str, now_ns: int) -> None:
        if not self._detects and self._speech_from is not None:
            self._typed.append(typed)  # a part of the activity, and answered when that ends
            return
        self._turns.interrupt(now_ns)
        self.commit_text(typed, now_ns)

    def _image(self, blob: Message) -> None:
        mime = text(blob.get("mimeType"), "mimeType")
        if not mime.startswith("image/"):
            raise invalid_argument(f"video must be image/jpeg or another image, not {mime or 'without a type'}")
        size = len(read_base64(blob.get("data")))
        if not size:
            raise invalid_argument("an image without bytes")
        self._images += 1
        self._session.saw_images = True
        self._note("in", message={"realtimeInput": {"video": {"mimeType": mime, "bytes": size}}})

    def _audio(self, blob: Message, now_ns: int) -> None:
        heard = self._ear.hear(blob)
        self._note_audio(heard)
        edges = heard.edges
        if self._bursts is not None and self._detects:
            seconds = len(heard.received.pcm) / 2 / heard.received.rate
            edges = self._bursts.hear(edges, seconds, now_ns)
            if self._bursts.over:
                self._ear.pause()
                self._note("note", text="a burst of speech without audioStreamEnd is not heard")
        for edge in edges:
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

    def _signal(self, name: str, value: object, now_ns: int) -> None:
        """activityStart, activityEnd, audioStreamEnd."""
        if name == "audioStreamEnd":
            if flag(value, name):
                if not self._detects:
                    raise invalid_argument("audioStreamEnd needs automatic activity detection")
                for edge in (*(self._bursts.end() if self._bursts else ()), self._ear.pause()):
                    if edge is not None:
                        self._edge(edge, now_ns)
            return
        table(value, name)
        if self._detects:
            words = "Explicit activity control is not supported when automatic activity detection is enabled."
            raise Refused(1007, words, f"{name} needs automatic_activity_detection: {{disabled: true}}")
        started = name == "activityStart"
        if started == (self._speech_from is not None):
            raise invalid_argument(f"{name} while an activity is {'under way' if started else 'not under way'}")
        self._edge(Edge(started, self._ear.position), now_ns)

    def _edge(self, edge: Edge, now_ns: int) -> None:
        if edge.started:
            self._speech_from = edge.sample
            self._note("speech_started", sample=edge.sample)
            self._faults.moment("speech", now_ns)
            self._turns.speech_started(now_ns)
            return
        begun = edge.sample if self._speech_from is None else self._speech_from
        self._speech_from = None
        seconds = (edge.sample - begun) / RATE
        self._note("speech_ended", sample=edge.sample, seconds=round(seconds, 3))
        typed, self._typed = " ".join(self._typed), []
        if typed and not seconds:
            self.commit_text(typed, now_ns)
        else:
            self._turns.commit(Turn("speech", seconds=seconds, tokens=self._tokens(seconds, typed)), now_ns)

    def _tokens(self, seconds: float, typed: str) -> "Counter[str]":
        if self._turns.setup.counts_silence:
            seconds = (self._ear.position - self._counted_to) / RATE
            self._counted_to = self._ear.position
        tokens = Counter({"AUDIO": audio_tokens(seconds), "TEXT": text_tokens(typed), "IMAGE": IMAGE * self._images})
        self._images = 0
        return tokens

    def _note(self, event: str, **fields: Any) -> None:
        self._emit(Note(event, fields))
