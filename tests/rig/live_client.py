"""A client of the simulator's core without a socket, whose clock moves only when told to."""

import base64
import json
import wave
from pathlib import Path
from typing import Any

from pipeline.simulator.actions import Action, Note, Received, Render, Send
from pipeline.simulator.conversation import Conversation
from pipeline.simulator.fault import Close
from pipeline.simulator.life import Life
from pipeline.simulator.script_file import load_script
from pipeline.simulator.speech import Voice, joined
from pipeline.simulator.wire import read_frame

MS = 1_000_000
RECORDINGS = Path(__file__).parent.parent / "recordings"
VOICE = Voice("en-GB", print)
MODEL = {"model": "models/gemini-3.8-live"}


def sentence(name: str = "made_amiable.wav", silence_s: float = 1.0) -> bytes:
    with wave.open(str(RECORDINGS / name)) as file:
        return file.readframes(file.getnframes()) + bytes(round(silence_s * 32000))


SCRIPT = """
version: 1
spoken:
  - {heard: when do you close, say: Last entry is at five.}
  - {say: "Goodbye, and enjoy your visit."}
text:
  - match: 'order (\\d+)'
    call: {function: "*order*", args: {order_id: "{1}"}, say: "One moment, I will look that up."}
    say: I looked it up. {result.status}
  - {match: nothing, say: ""}
  - {match: again, say: "This is what I heard you say. {previous}"}
  - say: Hello, and welcome.
"""


def script_life(folder: Path, text: str) -> Life:
    (folder / "script.yaml").write_text(text, "utf-8")
    return Life(load_script(folder / "script.yaml"))


class Client:
    """A connection whose clock stands still unless told otherwise. Speech is rendered at once."""

    def __init__(self, life: Life, at_ms: float = 0, **setup: Any) -> None:
        self.now_ns = round(at_ms * MS)
        self.core = Conversation(life, "v1beta", self.now_ns)
        self.sent: list[tuple[float, dict[str, Any]]] = []
        self.notes: list[Note] = []
        self.closed: Close | None = None
        self.pcm = b""
        if setup:
            self.say(setup={**MODEL, **setup.pop("more", {}), **setup} if setup != {"plain": True} else MODEL)

    def do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(message=message):
                    assert self.closed is None
                    self.sent.append((self.now_ns / MS, message))
                case Note():
                    self.notes.append(action)
                case Close():
                    self.closed = action
                case Received(pcm=pcm):
                    self.pcm += pcm
                case Render(ticket=ticket, lines=lines):
                    speech = joined([VOICE.speak(line.text, line.wav) for line in lines])
                    self.do(self.core.rendered(ticket, speech, self.now_ns))

    def say(self, **message: Any) -> None:
        self.do(self.core.receive(read_frame(json.dumps(message)), self.now_ns))

    def leave(self) -> None:
        """The socket goes."""
        self.core.end(self.now_ns)

    def type(self, text: str) -> None:
        self.say(client_content={"turns": [{"role": "user", "parts": [{"text": text}]}], "turn_complete": True})

    def wait(self, ms: float) -> None:
        until = self.now_ns + round(ms * MS)
        while (due := self.core.next_due_ns) is not None and due <= until:
            self.now_ns = max(self.now_ns, due)
            self.do(self.core.advance(self.now_ns))
        self.now_ns = until

    def speak(self, pcm: bytes, block: int = 640) -> None:
        """Sound in real time: each block is sent when its last sample was spoken."""
        for at in range(0, len(pcm), block):
            self.wait(block / 32)
            data = base64.urlsafe_b64encode(pcm[at : at + block]).decode().rstrip("=")
            self.say(realtime_input={"audio": {"data": data, "mime_type": "audio/pcm;rate=16000"}})

    @property
    def kinds(self) -> list[str]:
        """What was sent, in order, equal ones in a row named once."""
        kinds: list[str] = []
        for _, message in self.sent:
            name, body = next(iter(message.items()))
            kind = next(iter(body), name) if name == "serverContent" else name
            if name == "sessionResumptionUpdate":
                kind = "handle" if body else "no handle"
            if not kinds or kinds[-1] != kind:
                kinds.append(kind)
        return kinds

    def at(self, key: str) -> list[float]:
        """When messages with `key` were sent, in ms."""
        return [ms for ms, message in self.sent if key in json.dumps(message)]

    def transcript(self, key: str = "outputTranscription") -> str:
        bodies = [message.get("serverContent", {}).get(key, {}) for _, message in self.sent]
        return "".join(body.get("text", "") for body in bodies)

    def audio(self) -> bytes:
        parts = [
            part for _, m in self.sent for part in m.get("serverContent", {}).get("modelTurn", {}).get("parts", [])
        ]
        return b"".join(base64.b64decode(part["inlineData"]["data"]) for part in parts if "inlineData" in part)

    @property
    def handle(self) -> str:
        handles = [
            m["sessionResumptionUpdate"].get("newHandle") for _, m in self.sent if "sessionResumptionUpdate" in m
        ]
        return str([handle for handle in handles if handle][-1])

    @property
    def why(self) -> str:
        return str(next(note.fields["why"] for note in self.notes if note.event == "refused"))
