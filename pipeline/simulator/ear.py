"""Audio as it arrives: counted sample by sample, brought to 16 kHz, searched for speech."""

import re
from dataclasses import dataclass

import numpy as np

from pipeline.audio.resample import Resampler
from pipeline.simulator.actions import Received
from pipeline.simulator.fields import text
from pipeline.simulator.refusal import invalid_argument
from pipeline.simulator.vad import RATE, Detection, Edge, VoiceActivity
from pipeline.simulator.wire import Message, read_base64

_MIME = re.compile(r"audio/pcm((?:\s*;\s*[\w-]+\s*=\s*\"?[\w.-]+\"?)*)\s*;?\s*", re.IGNORECASE)
LOWEST_RATE, HIGHEST_RATE = 4_000, 192_000


@dataclass(frozen=True)
class Heard:
    """One blob: its samples `received` (as sent), and the edges of speech found in it."""

    received: Received
    edges: list[Edge]
    rate_given: bool


class Ear:
    """The incoming audio of one connection. Without `detection` the client itself says when someone speaks."""

    def __init__(self, detection: Detection | None) -> None:
        self._activity = VoiceActivity(detection) if detection else None
        self._swr = Resampler(RATE, RATE)
        self._half = b""
        self.received_samples = 0
        """Samples received, each at the rate it was sent with."""
        self.position = 0
        """The same in samples of 16 kHz."""

    def hear(self, blob: Message) -> Heard:
        """One blob of audio. Raises `Refused` for any type but 16-bit PCM, mono."""
        rate, given = read_rate(text(blob.get("mimeType"), "mimeType"))
        # A sample cut in two by a client that splits its stream anywhere is put together again.
        pcm = self._half + read_base64(blob.get("data"))
        whole = len(pcm) // 2 * 2
        pcm, self._half = pcm[:whole], pcm[whole:]
        received = Received(pcm, rate, self.received_samples)
        self.received_samples += whole // 2
        if rate != self._swr.source_rate:
            self._swr = Resampler(rate, RATE)
        samples = self._swr.convert(np.frombuffer(pcm, "<i2").astype(np.int16, copy=False))
        self.position += samples.size
        return Heard(received, self._activity.hear(samples) if self._activity else [], given)

    def pause(self) -> Edge | None:
        """The client stopped sending: speech under way ends."""
        self._half = b""
        return self._activity.end() if self._activity else None


def read_rate(mime: str) -> tuple[int, bool]:
    """Samples a second from `audio/pcm;rate=N`, and whether it was given; 16000 if not. Raises `Refused`."""
    found = _MIME.fullmatch(mime)
    if not found:
        raise invalid_argument(f"audio must be audio/pcm;rate=N, not {mime or 'without a type'}")
    given = dict(re.findall(r"([\w-]+)\s*=\s*\"?([\w.-]+)", found.group(1).lower()))
    if given.get("channels", "1") != "1":
        raise invalid_argument("audio must be mono")
    rate = given.get("rate")
    if rate is None:
        return RATE, False
    if not rate.isdigit() or not LOWEST_RATE <= int(rate) <= HIGHEST_RATE:
        raise invalid_argument(f"rate={rate} is no rate from {LOWEST_RATE} to {HIGHEST_RATE}")
    return int(rate), True
