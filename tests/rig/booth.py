"""The session stage between a microphone and a speaker that the test plays: the test decides what is said and heard.

The service is the simulator as a stage. Voice is spoken faster than real time; what the session emits counts as heard
when the test says so.
"""

from __future__ import annotations

import json
import time
import wave
from pathlib import Path
from typing import Any, Self

import numpy as np

from pipeline.bus.messages import Audio, Event
from tests.rig.nursery import Nursery

RECORDINGS = Path(__file__).parents[1] / "recordings"
BLOCK = 320
BLOCK_NS = 20_000_000
S = 1_000_000_000

SCRIPT = """
version: 1
speed: 20
think_ms: 50
spoken:
  - {heard: when do you close, say: "Goodbye, and enjoy your visit."}
  - {heard: what does it cost, say: "Hello, and welcome. What would you like to know?"}
text:
  - {match: order, call: {function: "*"}, say: "{result}"}
  - say: Hello, and welcome. What would you like to know?
"""


def recording(name: str = "made_amiable.wav") -> np.ndarray[Any, np.dtype[np.int16]]:
    """A person's sentence, 16 kHz mono."""
    with wave.open(str(RECORDINGS / name)) as file:
        assert (file.getframerate(), file.getnchannels()) == (16_000, 1)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return samples[: samples.size // BLOCK * BLOCK]


class Booth(Nursery):
    """Be frontend and playback. Use as a context manager."""

    def __init__(self, run_dir: Path, *, script: str = SCRIPT, peers: tuple[str, ...] = (), **options: Any) -> None:
        (run_dir / "script.yaml").write_text(script)
        served = {"script": "script.yaml", "journal": "service.jsonl", "audio": "service", "notice": False}
        super().__init__(
            run_dir,
            {
                "frontend": {},
                "playback": {},
                **{peer: {} for peer in peers},
                "simulator": {"use": "pipeline.stages.simulator:Simulator", "options": served},
                "session": {
                    "use": "pipeline.stages.session:Session",
                    "inputs": {"voice": "frontend"},
                    "emits": ["reply"],
                    "options": {"service": "simulator", **options},
                },
            },
        )
        self.frontend, self.playback = super().producer("frontend"), super().producer("playback")
        self.frontend.offer("voice")
        self.frontend.event("state", {"state": "live", "reason": "", "replays": ["voice"]}, sticky=True)
        self.playback.event("state", {"state": "live", "reason": "", "replays": ["played"]}, sticky=True)
        self.t = time.monotonic_ns()
        """Where the microphone is: the next block begins here."""
        self.hears = True
        """What the session says is heard at once."""
        self._dealt = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *whatever: object) -> None:
        self.frontend.close()
        self.playback.close()
        super().__exit__(*whatever)

    # -- the microphone

    def voice(self, samples: np.ndarray[Any, np.dtype[np.int16]]) -> None:
        """Voice, as the frontend would send it."""
        for block in samples.reshape(-1, BLOCK):
            self.frontend.audio(Audio("voice", block.tobytes(), 16_000, 1, t=self.t))
            self.t += BLOCK_NS
        self._serve()

    def silence(self, seconds: float) -> None:
        """Nobody speaks."""
        self.voice(np.zeros(int(seconds * 50) * BLOCK, np.int16))

    def begins(self) -> int:
        """The voice detection hears speech begin here."""
        self.frontend.event("speech_started", {"t": self.t}, sticky=True)
        return self.t

    def ends(self, start_t: int) -> None:
        """And end here."""
        self.frontend.release("speech_started")
        self.frontend.event("speech_ended", {"t": self.t, "start_t": start_t})

    def asks(self, name: str = "made_amiable.wav") -> tuple[int, int]:
        """A person says a sentence and is silent then. Returns where it begins and ends."""
        self.silence(0.3)
        start_t = self.begins()
        self.voice(recording(name))
        end_t = self.t
        self.ends(start_t)
        self.silence(1.0)
        return start_t, end_t

    # -- the speaker

    def say_heard(self, epoch: int, at: int) -> None:
        """Playback has played up to there."""
        self.playback.event("heard", {"epoch": epoch, "at": at, "buffered_to": at}, sticky=True)

    # -- looking on

    def bodies(self, name: str, **fields: Any) -> list[dict[str, Any]]:
        """Bodies of the session's events of that name with these fields."""
        bodies = [dict(event.body) for event in self.events(name, "session")]
        return [body for body in bodies if all(body.get(key) == value for key, value in fields.items())]

    def answered(self, count: int = 1) -> bool:
        """So many turns were answered to the end."""
        return len(self.bodies("turn_ended", outcome="answered")) >= count

    def log(self, event: str) -> list[dict[str, Any]]:
        """Lines of the simulator's journal of that kind."""
        try:
            lines = (self.run_dir / "service.jsonl").read_text().splitlines()
        except OSError:
            return []
        entries = [json.loads(line) for line in lines if line.endswith("}")]
        return [entry for entry in entries if entry["event"] == event]

    def received(self) -> list[np.ndarray[Any, np.dtype[np.int16]]]:
        """The voice that each connection of the service was given, in order."""
        paths = [self.run_dir / "service" / entry["audio"] for entry in self.log("open")]
        return [np.frombuffer(path.read_bytes() if path.exists() else b"", "<i2") for path in paths]

    def _read(self) -> None:
        super()._read()
        self._serve()

    def _serve(self) -> None:
        """What a frontend's and a playback's library would do."""
        self.frontend.pump()
        self.playback.pump()
        for _, message in self.heard[self._dealt :]:
            if isinstance(message, Event) and message.name == "listening" and message.src == "session":
                self.frontend.answer(message.body)
            if isinstance(message, Audio) and message.stream == "reply" and self.hears and message.replay is None:
                assert message.epoch is not None
                assert message.at is not None
                self.say_heard(message.epoch, message.at + message.frames)
        self._dealt = len(self.heard)


def holds(sound: np.ndarray[Any, np.dtype[np.int16]], part: np.ndarray[Any, np.dtype[np.int16]]) -> bool:
    """Every sample of `part` is in `sound`, in one piece."""
    return part.tobytes() in sound.tobytes()
