"""What a test says in place of a stage that it does not run."""

from __future__ import annotations

import threading
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.audio.pcm import Samples, to_samples
from pipeline.bus.consumer import Consumer
from pipeline.bus.messages import Audio, Event
from tests.rig.nursery import Nursery

RECORDINGS = Path(__file__).parents[1] / "recordings"


def recording(name: str) -> Samples:
    """A recording of a person, 16 kHz mono, shape (n,)."""
    with wave.open(str(RECORDINGS / name)) as wav:
        return to_samples(wav.readframes(wav.getnframes()))


def tone(seconds: float, hertz: float = 500.0, rate: int = 24_000, amplitude: int = 12_000) -> Samples:
    """A sine, shape (n,)."""
    return np.rint(np.sin(np.arange(int(seconds * rate)) * 2 * np.pi * hertz / rate) * amplitude).astype(np.int16)


class Speaks:
    """A stage of the test's own on a nursery's bus; a thread serves it, so that late subscribers hear what is sticky
    and readers that ask for a replay are answered."""

    def __init__(self, nursery: Nursery, name: str, *streams: str, inst: int = 1) -> None:
        self._producer = producer = nursery.producer(name, inst)
        self._readers = [
            Consumer(nursery.context, nursery.endpoint(other), ("event.listening",))
            for other in nursery.stages
            if other != name and streams
        ]
        self._lock = threading.Lock()
        self._closed = threading.Event()
        for stream in streams:
            producer.offer(stream)
        producer.event("state", {"state": "live", "reason": "", "replays": list(streams)}, sticky=True)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Speaks:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join(5)
        for reader in self._readers:
            reader.close()
        self._producer.close()

    def event(self, event: str, /, *, sticky: bool = False, key: str | None = None, **body: Any) -> float:
        """Say it; returns when, monotonic s."""
        with self._lock:
            self._producer.event(event, body, sticky=sticky, key=key)
        return time.monotonic()

    def release(self, event: str, key: str | None = None) -> None:
        """A sticky event holds no more."""
        with self._lock:
            self._producer.release(event, key)

    def audio(self, audio: Audio) -> None:
        with self._lock:
            self._producer.audio(audio)

    def answer(self, epoch: int, samples: Samples, *, at: int = 0, block: int = 2_400) -> float:
        """Say `samples` (24 kHz) as a reply, all at once; returns when it began, monotonic s."""
        begun = time.monotonic()
        for begin in range(0, samples.size, block):
            part = samples[begin : begin + block].astype("<i2").tobytes()
            self.audio(Audio("reply", part, 24_000, 1, epoch=epoch, at=at + begin))
        return begun

    def trim(self, stream: str, epoch: int, at: int) -> None:
        """Forget what was heard."""
        with self._lock:
            self._producer.trim(stream, (epoch, at))

    def _serve(self) -> None:
        while not self._closed.is_set():
            with self._lock:
                self._producer.pump()
                for reader in self._readers:
                    reader.drain(time.monotonic_ns())
                    while (message := reader.next()) is not None:
                        if isinstance(message[1], Event):
                            self._producer.answer(message[1].body)
            time.sleep(0.002)
