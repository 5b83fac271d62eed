"""One answer on its way to the client: which message leaves when.

Audio leaves in chunks, `speed` times faster than it is played; each chunk is preceded by the words that begin in it.
The service assumes that the client plays in real time, so the answer ends for it when the last sample would have been
played.
"""

from collections import deque
from dataclasses import dataclass

from pipeline.simulator.actions import Send
from pipeline.simulator.clips import RATE
from pipeline.simulator.speech import Speech
from pipeline.simulator.wire import Message, write_base64

MIME = f"audio/pcm;rate={RATE}"
TEXT_PIECE_WORDS = 4
TEXT_PIECE_NS = 40_000_000
"""Text answers come in pieces of four words, as fast as the service writes."""


@dataclass(frozen=True)
class _Step:
    due_ns: int
    sends: tuple[Send, ...]
    words: str
    samples: int


class Delivery:
    """Sends an answer piece by piece. What is not sent by an interruption is never sent."""

    def __init__(self, steps: list[_Step], played_ns: int) -> None:
        self._steps = deque(steps)
        self.played_ns = played_ns
        """When the client has played everything."""
        self.sent_words = ""
        self.sent_samples = 0

    @property
    def due_ns(self) -> int | None:
        """When the next piece leaves; None when all have left."""
        return self._steps[0].due_ns if self._steps else None

    def take(self, now_ns: int) -> list[Send]:
        """Every piece that is due."""
        sends: list[Send] = []
        while self._steps and self._steps[0].due_ns <= now_ns:
            step = self._steps.popleft()
            sends += step.sends
            self.sent_words += step.words
            self.sent_samples += step.samples
        return sends


def spoken(
    speech: Speech,
    now_ns: int,
    *,
    speed: float,
    chunk_bytes: tuple[int, ...],
    transcribe: bool,
    stall_ns: int = 0,
    bundled: bool = False,
) -> Delivery:
    """An answer as audio, with its transcript spread along it if `transcribe`, within the same messages if `bundled`.

    `speed` may be infinite; `stall_ns` is a pause in the middle.
    """
    steps: list[_Step] = []
    at = 0
    words = deque(speech.words)
    while at < speech.samples.size:
        size = chunk_bytes[min(len(steps), len(chunk_bytes) - 1)] // 2
        end = min(at + size, speech.samples.size)
        said = ""
        while words and (words[0].at < end or end == speech.samples.size):
            said += words.popleft().text
        sends = [_transcript(said, finished=not words)] if said and transcribe else []
        sends.append(_audio(speech, at, end))
        if bundled:
            together = {name: value for send in sends for name, value in send.message["serverContent"].items()}
            sends = [Send({"serverContent": together}, first=at)]
        due_ns = now_ns + round(at * 1e9 / RATE / speed) + (stall_ns if 2 * at >= speech.samples.size else 0)
        steps.append(_Step(due_ns, tuple(sends), said, end - at))
        at = end
    last_ns = steps[-1].due_ns + steps[-1].samples * 10**9 // RATE if steps else now_ns
    return Delivery(steps, max(last_ns, now_ns + round(speech.seconds * 1e9)))


def written(text: str, now_ns: int) -> Delivery:
    """An answer as text, for sessions without audio."""
    words = text.split()
    steps: list[_Step] = []
    for begin in range(0, len(words), TEXT_PIECE_WORDS):
        piece = ("" if begin == 0 else " ") + " ".join(words[begin : begin + TEXT_PIECE_WORDS])
        sends = (Send({"serverContent": {"modelTurn": {"role": "model", "parts": [{"text": piece}]}}}),)
        steps.append(_Step(now_ns + len(steps) * TEXT_PIECE_NS, sends, piece, 0))
    return Delivery(steps, steps[-1].due_ns if steps else now_ns)


def _audio(speech: Speech, start: int, end: int) -> Send:
    blob = {"mimeType": MIME, "data": write_base64(speech.samples[start:end].astype("<i2", copy=False).tobytes())}
    return Send({"serverContent": {"modelTurn": {"role": "model", "parts": [{"inlineData": blob}]}}}, first=start)


def _transcript(text: str, finished: bool) -> Send:
    said: Message = {"text": text}
    if finished:
        said["finished"] = True
    return Send({"serverContent": {"outputTranscription": said}})
