"""From the service's words to what is heard: the first audible sample, the last one, and no gap between them."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from scripts.benchmarks.figures import Figure
from scripts.benchmarks.rooms import ROOT, Room
from scripts.benchmarks.server import Connection, Server, audio_message
from scripts.benchmarks.slots import sleep_until
from tests.rig.ear import CHUNK, RATE, Ear

PERIOD_MS = 512 / 48
JITTER_MS = 40
LOUD = 100
PAUSE_S = 1.1
GAP_SAMPLES = RATE // 1000
"""1 ms of silence inside a tone is a gap: of 500 Hz no more than 0.05 ms are ever that quiet."""
BURST = (2_400, 7_680, 9_600, 15_360)
"""Bytes of the first messages of an answer, as seen of the real service: the first one holds 50 ms."""
THIN = (960,)
"""20 ms a message, at the pace of speech: the jitter target is reached with the third."""


class Listener(Ear):
    """An ear that looks back a second or two, not over all that it ever heard."""

    def since(self, when: float) -> list[tuple[float, np.ndarray]]:
        """(arrived at, samples) of each chunk from then on."""
        found = []
        for at, data in reversed(self._chunks):
            if at < when:
                break
            found.append((at, np.abs(np.frombuffer(data, np.int16).astype(np.int32))))
        return found[::-1]

    def until_quiet(self, when: float, quiet_s: float = 0.12, within_s: float = 8.0) -> list[tuple[float, np.ndarray]]:
        """Everything since `when`, once something sounded and silence has followed. Empty if that never comes."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            time.sleep(0.05)
            heard = self.since(when)
            loud = [at for at, samples in heard if samples.max() > LOUD]
            if loud and heard[-1][0] - loud[-1] > quiet_s:
                return heard
        return []


@dataclass
class Side:
    """What one side took, ms."""

    connection: Connection
    begins: dict[str, list[float]] = field(default_factory=lambda: {"burst": [], "thin": []})
    stops: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    mute: int = 0
    """Answers that were not heard at all."""

    def answer(self, ear: Listener, kind: str, seconds: float) -> None:
        """One whole answer. Less than a second after the one before it would be the rest of that, and late."""
        time.sleep(PAUSE_S)
        began_ns = speak(self.connection, kind, seconds)
        heard = ear.until_quiet(began_ns / 1e9)
        self.connection.send({"serverContent": {"generationComplete": True, "turnComplete": True}})
        loud = [at for at, samples in heard if samples.max() > LOUD]
        if not loud:
            self.mute += 1
            return
        self.begins[kind].append((loud[0] - began_ns / 1e9) * 1000)
        self.gaps += gaps_ms(np.concatenate([samples for _, samples in heard]))

    def interrupted(self, ear: Listener) -> None:
        """An answer that is cut off after a while."""
        speak(self.connection, "burst", 2.0, stop_after_s=random.uniform(0.4, 0.8))
        cut_ns = self.connection.send({"serverContent": {"interrupted": True}})
        self.connection.send({"serverContent": {"turnComplete": True}})
        heard = ear.until_quiet(cut_ns / 1e9 - 0.1)
        loud = [at for at, samples in heard if samples.max() > LOUD]
        if not loud:
            self.mute += 1
            return
        self.stops.append((loud[-1] - cut_ns / 1e9) * 1000)


def speak(connection: Connection, kind: str, seconds: float, stop_after_s: float = 60.0) -> int:
    """Send a tone as an answer; returns when its first byte left, monotonic ns."""
    t = np.arange(int(24_000 * seconds)) / 24_000
    pcm = np.rint(np.sin(t * 2 * np.pi * 500) * 12_000).astype("<i2").tobytes()
    sizes, speed = (BURST, 3) if kind == "burst" else (THIN, 1)
    at, number, first_ns = 0, 0, 0
    while at < len(pcm):
        if first_ns:
            sleep_until(first_ns + round(at / 48_000 / speed * 1e9))
            if time.monotonic_ns() - first_ns > stop_after_s * 1e9:
                return first_ns
        size = sizes[min(number, len(sizes) - 1)]
        sent_ns = connection.send(audio_message(pcm[at : at + size]))
        first_ns = first_ns or sent_ns
        at, number = at + size, number + 1
    if stop_after_s < 60:
        sleep_until(first_ns + int(stop_after_s * 1e9))
    return first_ns


def gaps_ms(sound: np.ndarray) -> list[float]:
    """Silences inside a tone."""
    loud = np.flatnonzero(sound > LOUD)
    return [(b - a) / RATE * 1000 for a, b in pairwise(loud) if b - a > GAP_SAMPLES]


def run(room: Room) -> list[Figure]:
    """100 answers, 50 interruptions (100 in the full mode), 40 thin answers; the floor each fourth time."""
    repetitions = room.times(100, 100, 5)
    home = room.home("speaker")
    config = str(ROOT / "scripts/benchmarks/kiosk/speaker.yaml")
    with room.sound() as pulse, Server(home) as server:
        argv = [sys.executable, "-m", "scripts.benchmarks.floor_player", str(server.port), str(server.cert)]
        floor = subprocess.Popen(argv, cwd=ROOT, env=pulse.env)
        try:
            with room.machine(home, config, [], server, pulse) as machine, Listener(pulse.env) as ear:
                ours, theirs = Side(server.wait(check=machine.check)), Side(server.wait(floor=True))
                time.sleep(3.0)  # the null sinks render ahead until then: nothing measured before is true
                for number in range(repetitions):
                    for side in (ours, theirs) if number % 4 == 0 else (ours,):
                        side.answer(ear, "burst", 0.6)
                        if room.full or number % 2 == 0:
                            side.interrupted(ear)
                        if number % 5 in (0, 1):
                            side.answer(ear, "thin", 0.4)
                machine.pump()
        finally:
            floor.kill()
            floor.wait()
    return _figures(ours, theirs)


def _figures(ours: Side, theirs: Side) -> list[Figure]:
    broken = [f"{ours.mute} answers were not heard"] if ours.mute else []
    if ours.gaps:
        broken.append(f"{len(ours.gaps)} gaps, the longest {max(ours.gaps):.1f} ms")
    in_hand_ms, whole = round(PERIOD_MS + 10, 1), ours.begins["burst"]
    chunk = f"heard in pieces of {CHUNK / RATE * 1000:.0f} ms; the recorder's own delay is in both"
    return [
        Figure("interrupted to last audible sample", "ms", ours.stops, theirs.stops, p99=25.0, note=chunk),
        Figure("first byte to first audible sample", "ms", whole, theirs.begins["burst"], p50=in_hand_ms, broken=broken,
               note=f"no gap in {len(whole)} answers" * (not broken)),
        Figure("the same, 20 ms a message", "ms", ours.begins["thin"], theirs.begins["thin"],
               p50=in_hand_ms + JITTER_MS),
    ]  # fmt: skip
