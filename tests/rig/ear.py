"""An ear at the speaker: what sounds there, and when, to a few ms."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tests.rig.pulse import ahead

RATE = 48_000
CHUNK = 96
"""Frames read at a time: 2 ms."""


class Ear:
    """Listens to a source (mono, 48 kHz) from `with Ear(env)` on; each 2 ms of sound has the time of its arrival."""

    def __init__(self, env: Mapping[str, str], source: str = "speaker.monitor") -> None:
        self._recorder = ahead(subprocess.Popen(
            ["parec", "-d", source, "--latency-msec=2", "--process-time-msec=2", "--raw", f"--rate={RATE}",
             "--channels=1", "--channel-map=front-left"],  # of all channels a server makes what it likes
            env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
        ))  # fmt: skip
        self._chunks: list[tuple[float, bytes]] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Ear:
        self._thread.start()
        end = time.monotonic() + 5
        while not self._chunks:
            if time.monotonic() > end:
                raise AssertionError("the ear hears nothing, not even silence")
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._recorder.kill()
        self._recorder.wait(5)
        self._thread.join(5)

    def _listen(self) -> None:
        assert self._recorder.stdout is not None
        rest = b""
        while data := self._recorder.stdout.read(CHUNK * 2):
            now = time.monotonic()
            rest += data
            whole = len(rest) // (CHUNK * 2) * CHUNK * 2
            if whole:
                self._chunks.append((now, rest[:whole]))
                rest = rest[whole:]

    def sound(self, since: float = 0.0) -> NDArray[np.int16]:
        """Everything that arrived after `since` (monotonic s)."""
        return np.frombuffer(b"".join(data for when, data in list(self._chunks) if when >= since), np.int16)

    def loud_at(self, since: float = 0.0, threshold: int = 100) -> list[float]:
        """Arrival times of the chunks in which something sounds."""
        return [
            when
            for when, data in list(self._chunks)
            if when >= since and np.abs(np.frombuffer(data, np.int16).astype(np.int32)).max() > threshold
        ]
