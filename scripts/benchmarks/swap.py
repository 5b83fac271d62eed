"""Another recipe for frontend, then for playback, while both sides talk: what is missing, and for how long.

The voice says when each of its blocks was made, so that every one is looked for at the service. The answer is a tone
that never passes the same way twice, so that a few ms of what the speaker plays tell which ms of it they are.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline import Audio
from pipeline.cli import changing
from pipeline.supervisor.client import ask
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.hops import START_S
from scripts.benchmarks.rooms import ROOT, Pipeline, Room
from scripts.benchmarks.server import Connection, Server, audio_message
from scripts.benchmarks.slots import BLOCK_NS, Slots, sleep_until
from scripts.benchmarks.speaker import LOUD, Listener
from tests.rig.ear import RATE

Sound = NDArray[np.float64]

GOAL_MS = 100.0
ANSWER_S = 8.0
INTO_S = 1.5
"""So long an answer has sounded when its speaker is swapped."""
MESSAGE = 1_920
"""Bytes of an answer's message, 40 ms."""
AHEAD = 3
"""An answer comes so many times faster than it is spoken."""
PROBE = RATE // 20
"""What is looked for in an answer at a time: 50 ms."""
EAR_MS = 5.0
"""How well the device knows what has left it."""
SWEEP_HZ = (500.0, 2_500.0)
CHANGES = {"frontend": ("vad.stop", 0.3), "playback": ("offline_after_s", 2.0)}
"""An option of each that changes nothing here, and what it is anyway."""
STEPS = ("stopping", "old one's last", "told to go", "on the bus", "new one's first")


def answer() -> Sound:
    """ANSWER_S of a tone whose pitch wanders, at RATE; always the same, and never silent for 0.1 ms."""
    count = int(ANSWER_S * RATE)
    points = np.random.default_rng(7).uniform(*SWEEP_HZ, int(ANSWER_S * 50) + 2)
    pitch = np.interp(np.arange(count) / RATE * 50, np.arange(points.size), points)
    return np.rint(np.sin(np.cumsum(pitch) * 2 * np.pi / RATE) * 12_000)


def place(sound: Sound, whole: Sound) -> tuple[int, float]:
    """Where in `whole` a piece of it begins, and how alike they are (1: the same but for loudness)."""
    size = 1 << (whole.size + sound.size - 1).bit_length()
    found = np.fft.irfft(np.fft.rfft(whole, size) * np.conj(np.fft.rfft(sound, size)), size)[: whole.size]
    at = int(found.argmax())
    there = whole[at : at + sound.size]
    return at, float(found[at] / (np.linalg.norm(there) * np.linalg.norm(sound) + 1e-9))


@dataclass
class Swap:
    """One of them."""

    gap_ms: float
    lost_ms: float
    """Of sound that never came; below 0: that came twice."""
    steps_ms: dict[str, float] = field(default_factory=dict)
    """From the word to stop."""


class Answering(threading.Thread):
    """The service, which gives the same answer whenever it is told to."""

    def __init__(self, line: Connection) -> None:
        super().__init__(daemon=True)
        self._line, self._pcm = line, answer()[::2].astype("<i2").tobytes()

    def run(self) -> None:
        """One answer."""
        began_ns = time.monotonic_ns()
        for at in range(0, len(self._pcm), MESSAGE):
            sleep_until(began_ns + at * 1_000_000_000 // (48_000 * AHEAD))
            self._line.send(audio_message(self._pcm[at : at + MESSAGE]))
        self._line.send({"serverContent": {"generationComplete": True, "turnComplete": True}})


def run(room: Room) -> list[Figure]:
    """40 swaps of each in the full mode, 12 as usual, 2 in the quick one."""
    count = room.times(40, 12, 2)
    home = room.home("swap")
    config = str(ROOT / "scripts/benchmarks/kiosk/speaker.yaml")
    slots = Slots(time.monotonic_ns() + int(START_S * 1e9), 3_600_000_000_000, 1)
    sets = ["stages.capture.use=timed:Waiting", f"stages.capture.slots={slots.text()}", "stages.session.idle_s=0"]
    found: dict[str, list[Swap]] = {stage: [] for stage in CHANGES}
    with (
        room.sound() as pulse,
        Server(home) as server,
        room.machine(home, config, sets, server, pulse) as machine,
        Listener(pulse.env) as ear,
    ):
        line = server.wait(check=machine.check)
        sleep_until(slots.begin_ns + 1_000_000_000)
        for number in range(count):
            for stage in CHANGES:
                found[stage].append(_swap(machine, line, ear, stage, number))
        machine.stop()
    return [_figure(stage, swaps) for stage, swaps in found.items()]


def _swap(machine: Pipeline, line: Connection, ear: Listener, stage: str, number: int) -> Swap:
    """In the midst of an answer; returns when that has been heard to its end."""
    option, value = CHANGES[stage]
    changed = _changed(machine, f"stages.{stage}.{option}={value + 0.01 * (1 + number % 2)}")
    table = asdict(changed.stage(stage))
    machine.pump()
    machine.heard.clear()
    began, began_ns = time.monotonic(), time.monotonic_ns()
    Answering(line).start()
    _pass(machine, INTO_S)
    ask(machine.run_dir, "swap", table=table)
    _pass(machine, began + ANSWER_S + 2.0 - time.monotonic())
    swap = _sounded(machine, ear, began) if stage == "playback" else _came(line, began_ns)
    swap.steps_ms = dict(_steps(machine, stage))
    return swap


def _came(line: Connection, began_ns: int) -> Swap:
    """The voice at the service since then, but for what may still be under way."""
    ends_ns = time.monotonic_ns() - 1_000_000_000
    came = [(made, at) for made, at in list(line.came) if made is not None and began_ns < made < ends_ns]
    if not came:
        return Swap(1000 * ANSWER_S, 1000 * ANSWER_S)
    gap_ms = max(later - sooner for (_, sooner), (_, later) in pairwise(came)) / 1e6
    made = sorted({made for made, _ in came})
    missing = (made[-1] - made[0]) // BLOCK_NS + 1 - len(made)
    return Swap(gap_ms, 20.0 * (missing or len(made) - len(came)))


def _changed(machine: Pipeline, change: str) -> changing.Pipeline:
    if (pipeline := changing.configuration(machine.run_dir, [change])) is None:
        raise RuntimeError(f"{change} is not taken")
    return pipeline


def _pass(machine: Pipeline, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        machine.pump()
        time.sleep(0.02)


def _sounded(machine: Pipeline, ear: Listener, began: float) -> Swap:
    """The longest silence in an answer at the speaker, and how much of the answer lies in it.

    To the sample that is what is said on the bus: where one process stopped, and from where the other was given the
    answer. What the ear makes of it is as true as the device's word of how far it was, some ms.
    """
    sound = ear.sound(began).astype(float)
    loud = np.flatnonzero(np.abs(sound) > LOUD)
    first = min((event.inst for event in machine.events("heard")), default=0)
    if loud.size < 2 * PROBE or not first:
        return Swap(1000 * ANSWER_S, 1000 * ANSWER_S)
    widest = int(np.diff(loud).argmax())
    left, right = int(loud[widest]) + 1, int(loud[widest + 1])
    before, _ = place(sound[left - PROBE : left], whole := answer())
    after, _ = place(sound[right : right + PROBE], whole)
    lost_ms = (after - before - PROBE) / RATE * 1000
    stops = [e.body["at"] for e in machine.events("heard") if e.inst == first]
    again = [m for _, m in machine.heard if isinstance(m, Audio) and m.stream == "reply" and m.replay is not None]
    begins = [audio.at for audio in again if audio.at is not None]
    if abs(lost_ms) < EAR_MS and begins and stops:
        lost_ms = (begins[0] - stops[-1]) / 24.0
    return Swap((right - left) / RATE * 1000, lost_ms)


def _steps(machine: Pipeline, stage: str) -> Iterator[tuple[str, float]]:
    """When each of STEPS was, as told on the bus."""
    stopping = [e.sent for e in machine.events("stage", stage=stage, state="stopping")]
    if not stopping:
        return
    stream = {"frontend": "voice", "playback": "played"}[stage]
    said = [(stamp, message) for stamp, message in machine.heard if stamp.src == stage]
    before = min(stamp.inst for stamp, _ in said)
    sounds = [(stamp.inst == before, stamp.sent) for stamp, _ in said if stamp.topic == f"audio.{stream}"]
    moments = {
        "stopping": stopping,
        "old one's last": [sent for old, sent in sounds if old][-1:],
        "told to go": [e.sent for e in machine.events("stage", stage=stage, state="primed")],
        "on the bus": [stamp.sent for stamp, _ in said if stamp.topic == "event.state" and stamp.inst != before],
        "new one's first": [sent for old, sent in sounds if not old],
    }
    for step in STEPS:
        if moments[step]:
            yield step, (moments[step][0] - stopping[0]) / 1e6


def _figure(stage: str, swaps: Sequence[Swap]) -> Figure:
    medians = []
    for step in STEPS[1:]:
        took = [swap.steps_ms[step] for swap in swaps if step in swap.steps_ms]
        if took:
            medians.append(f"{step} {np.median(took):.1f}")
    figure = Figure(f"swap of {stage}: longest silence", "ms", [swap.gap_ms for swap in swaps], p95=GOAL_MS)
    figure.note = f"medians, ms from the word to stop: {', '.join(medians)}"
    if torn := [f"{swap.lost_ms:.1f}" for swap in swaps if swap.lost_ms]:
        figure.broken.append(f"ms of sound lost (below 0: repeated): {', '.join(torn)}")
    return figure
