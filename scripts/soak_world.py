"""What the soak's visitor has around them: a mouth at the microphone, an ear at the speaker, the machine between."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import sys
import termios
import threading
import time
import wave
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.bus.consumer import Consumer
from pipeline.bus.messages import Audio, Event
from tests.rig.machine import Machine

RATE = 16_000
BLOCK_S = 0.02
MOUTH_LEAD_S = 0.1
"""What the sound server holds of the mouth's stream, so that a busy machine tears no holes into it."""
ROOM = 4
"""Amplitude of a quiet room: a microphone that gives zeros is taken for one that is switched off."""
LOUD = 150
"""Amplitude from which something sounds."""
EAR_RATE = 24_000
EAR_CHUNK = EAR_RATE // 100
"""Samples of the ear's resolution: 10 ms."""
AUDIO = {"capture": ("audio.mic",), "frontend": ("audio.voice",)}
"""What is listened to of whom."""

Samples = NDArray[np.int16]


@dataclass(frozen=True)
class Recording:
    """A person's sentence, 16 kHz mono. `begin_s` and `end_s`: where in it the voice begins and ends."""

    name: str
    samples: Samples
    begin_s: float
    end_s: float


def recording(path: Path) -> Recording:
    """Read one."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 500)
    return Recording(path.name, samples, float(loud[0]) / RATE, float(loud[-1]) / RATE)


class Mouth:
    """Speaks in real time, whether or not there is a microphone: a person does not stop for a dead sound server.

    One stream for ever, silent between sentences: a stream that is only just beginning has holes.
    """

    def __init__(self, env: Mapping[str, str], sink: str) -> None:
        self._env, self._sink = dict(env), sink
        self._player: subprocess.Popen[bytes] | None = None
        self._ended = False
        self._left = np.empty(0, np.int16)
        self._dice = np.random.default_rng(0)
        self._said: Recording | None = None
        self.began = 0.0
        """When the present sentence began to sound."""
        self.unheard_s = 0.0
        """Of the present sentence: for so long no sound server took it."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def speaking(self) -> bool:
        """In mid-sentence."""
        return self._said is not None or time.monotonic() < self.began + self._lasts_s

    _lasts_s = 0.0

    def say(self, said: Recording) -> None:
        """Begin; `speaking` tells when it is over."""
        self.unheard_s, self._lasts_s = 0.0, said.samples.size / RATE
        self.began = time.monotonic() + MOUTH_LEAD_S
        self._said = said

    def close(self) -> None:
        """Say no more."""
        self._ended = True
        self._thread.join(5)
        self._stop()

    def _run(self) -> None:
        size, due = int(RATE * BLOCK_S), time.monotonic()
        while not self._ended:
            if self._said is not None and not self._left.size:
                self._left, self._said = self._said.samples, None
            spoken = self._left.size > 0
            block, self._left = self._left[:size], self._left[size:]
            # what waits in the pipe would make everything that is said later late
            if not spoken and self._waiting() > 2 * size * 2:
                time.sleep(BLOCK_S / 2)
                due = time.monotonic()
                continue
            quiet = self._dice.integers(-ROOM, ROOM + 1, size - block.size)
            heard = self._write(np.concatenate([block, quiet]).astype("<i2").tobytes())
            if spoken and not heard:
                self.unheard_s += BLOCK_S
            due = max(due + BLOCK_S, time.monotonic() - MOUTH_LEAD_S)
            time.sleep(max(0.0, due - time.monotonic()))

    def _write(self, pcm: bytes) -> bool:
        if self._player is None or self._player.poll() is not None:
            self._stop()
            self._player = subprocess.Popen(
                ["pacat", "--playback", "-d", self._sink, "--latency-msec=20", "--raw", f"--rate={RATE}",
                 "--channels=1"],
                env=self._env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, bufsize=0,
            )  # fmt: skip
            pcm = bytes(int(RATE * MOUTH_LEAD_S) * 2) + pcm
        assert self._player.stdin is not None
        try:
            self._player.stdin.write(pcm)
        except OSError:
            return False
        return True

    def _waiting(self) -> int:
        """Bytes that the player has not taken yet."""
        if self._player is None or self._player.stdin is None or self._player.poll() is not None:
            return 0
        return int.from_bytes(fcntl.ioctl(self._player.stdin, termios.FIONREAD, b"\0\0\0\0"), sys.byteorder)

    def _stop(self) -> None:
        if self._player is not None:
            self._player.kill()
            self._player.wait()
            self._player = None


class SpeakerEar:
    """Notes when something sounds at the speaker. Returns by itself when the sound server does."""

    def __init__(self, env: Mapping[str, str], source: str = "speaker.monitor") -> None:
        self._env, self._source = dict(env), source
        self._recorder: subprocess.Popen[bytes] | None = None
        self._ended = self._away = False
        self.loud: list[float] = []
        """Times (monotonic s) of the 10 ms in which something sounded."""
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Stop listening: a recorder whose source is unplugged would be moved to another one."""
        self._away = True
        self._stop()

    def come_back(self) -> None:
        """Listen again."""
        self._away = False

    def close(self) -> None:
        """Listen no more."""
        self._ended = True
        self._stop()
        self._thread.join(5)

    def _stop(self) -> None:
        if self._recorder is not None and self._recorder.poll() is None:
            self._recorder.kill()

    def _listen(self) -> None:
        while not self._ended:
            if self._away:
                time.sleep(0.02)
                continue
            self._recorder = recorder = subprocess.Popen(
                ["parec", "-d", self._source, "--latency-msec=10", "--process-time-msec=5", "--raw",
                 f"--rate={EAR_RATE}", "--channels=1"],
                env=self._env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
            )  # fmt: skip
            self._hear(recorder)
            recorder.kill()
            recorder.wait()
            time.sleep(0.05)

    def _hear(self, recorder: subprocess.Popen[bytes]) -> None:
        assert recorder.stdout is not None
        rest = b""
        while not self._ended and not self._away and (data := recorder.stdout.read(EAR_CHUNK * 2)):
            rest += data
            while len(rest) >= EAR_CHUNK * 2:
                chunk, rest = np.frombuffer(rest[: EAR_CHUNK * 2], "<i2"), rest[EAR_CHUNK * 2 :]
                if np.abs(chunk.astype(np.int32)).max() > LOUD:
                    self.loud.append(time.monotonic())


@dataclass
class Stretch:
    """Sound from `begin` to `end` (monotonic s) without a hole, s16le mono at RATE."""

    begin: float
    end: float
    pcm: bytearray = field(default_factory=bytearray)

    def between(self, begin: float, end: float) -> Samples:
        """What of it lies there."""
        first, last = (max(0, int((at - self.begin) * RATE)) for at in (begin, end))
        return np.frombuffer(self.pcm, "<i2")[first:last]


class TappedMachine(Machine):
    """A machine whose events are kept, and of all audio that which capture delivered."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.said: list[Event] = []
        self.mic: list[Stretch] = []
        """What capture delivered, each stretch without a hole."""
        self.voice: list[Stretch] = []
        """What the frontend made of it."""

    def pump(self) -> None:
        """Read what has passed on the bus."""
        for name, endpoint in self.connection().get("endpoints", {}).items():
            if name not in self._taps:
                topics = ("event.", *AUDIO.get(name, ()))
                self._taps[name] = Consumer(self._context, endpoint, topics)
        for tap in self._taps.values():
            tap.drain(time.monotonic_ns())
            while (entry := tap.next()) is not None:
                self._take(entry[1])

    def of(self, name: str, since_s: float = 0.0) -> list[Event]:
        """Events of that name since then."""
        return [event for event in self.said if event.name == name and event.sent / 1e9 >= since_s]

    def live(self, *stages: str) -> bool:
        """Whether each of these is at work, as the supervisor says."""
        last = {event.body["stage"]: event.body["state"] for event in self.said if event.name == "stage"}
        return all(last.get(stage) in ("live", "degraded") for stage in stages)

    def _take(self, message: Audio | Event) -> None:
        if isinstance(message, Event):
            if message.name != "level":
                self.said.append(message)
            return
        if message.t is None or message.replay is not None:
            return
        begin, end = message.t / 1e9, (message.t + message.duration_ns) / 1e9
        if message.rate != RATE or message.channels != 1:
            raise ValueError(
                f"expected a {message.stream} of {RATE} Hz mono, got {message.rate} Hz x {message.channels}"
            )
        stretches = self.mic if message.stream == "mic" else self.voice
        if not stretches or abs(begin - stretches[-1].end) > 0.03:
            stretches.append(Stretch(begin, begin))
        stretches[-1].end = end
        stretches[-1].pcm += message.pcm


@dataclass(frozen=True)
class Footprint:
    """What all processes of the machine hold together."""

    pss_mb: float
    rss_mb: float
    descriptors: int
    by_stage: dict[str, tuple[float, int]]
    """Stage: PSS in MB, descriptors."""


def footprint(machine: Machine) -> Footprint:
    """Measure now."""
    found: dict[str, tuple[float, int]] = {}
    rss = 0.0
    for name, pid in {"supervisor": machine.process.pid, **machine.processes()}.items():
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            fields = {line.split(":")[0]: line.split()[1] for line in rollup.splitlines() if line.endswith("kB")}
            found[name] = (int(fields["Pss"]) / 1024, len(list(Path(f"/proc/{pid}/fd").iterdir())))
            rss += int(fields["Rss"]) / 1024
    return Footprint(
        round(sum(pss for pss, _ in found.values()), 1),
        round(rss, 1),
        sum(count for _, count in found.values()),
        {name: (round(pss, 1), count) for name, (pss, count) in found.items()},
    )
