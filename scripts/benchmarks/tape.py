"""A conversation on a tape, held again: every block and event of the microphone once more, and the same words."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.bus.tape import Tape
from pipeline.stages.replay import OWN_LIFE
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.rooms import ROOT, Pipeline, Room

SAYINGS = ("not_ill_disposed", "cold_hearted", "made_amiable")
EACH_S = 9.0
"""What is said and what is answered, with the pauses."""
PAUSE_S = 3.0
"""After each answer. A service that is slower the next time must not be spoken over."""
LENGTH = re.compile(r"\[speech, (\d+\.\d) s\]")
FAST = 8
"""So many times faster than it was recorded, the second time."""


@dataclass
class Told:
    """What of a recording counts: the microphone's messages in order, the words of both sides."""

    said: list[tuple[str, bytes]] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)
    words: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    lives: set[int] = field(default_factory=set)
    """Of the microphone's process: one that dies begins the tape again."""

    @classmethod
    def of(cls, path: Path) -> Told:
        """What is on a tape."""
        told, first = cls(), 0
        for entry in Tape(path).entries():
            first, body = first or entry.ns, entry.fields.get("body", {})
            told.seconds = (entry.ns - first) / 1e9
            if entry.fields.get("replay") is not None:
                continue  # somebody asked for it once more
            if entry.fields["src"] == "capture" and entry.topic == "audio.mic":
                told.lives.add(entry.fields["inst"])
                told.said.append((entry.topic, entry.fields["pcm"]))
                told.seqs.append(entry.fields["seq"])
            elif entry.fields["src"] == "capture" and entry.topic.removeprefix("event.") not in (*OWN_LIFE, "mic"):
                told.said.append((entry.topic, b""))
            elif entry.topic == "event.caption" and body.get("final") and body.get("text"):
                told.words.append((body["who"], body["text"]))
        return told


def run(room: Room) -> list[Figure]:
    """Ten minutes in the full mode, one as usual, 20 s in the quick one."""
    home, count = room.home("tape"), round(room.times(600, 60, 20) / EACH_S)
    files = ", ".join(f"{ROOT}/tests/recordings/{SAYINGS[n % 3]}.wav" for n in range(count))
    spoken = [f"stages.capture.files=[{files}]", f"stages.capture.gap_s={PAUSE_S}", "stages.capture.lead_s=3.0"]
    first = _recorded(home, "first", spoken)
    again = _recorded(home, "again", _replayed(home / "first.tape", 1))
    fast = _recorded(home, "fast", _replayed(home / "first.tape", FAST))
    note = f"{len(first.said)} messages of the microphone, {first.seconds:.0f} s, {len(first.words)} captions"
    missing = Figure("messages of a tape not said again, or not in order", "", [_missing(first, again)], worst=0)
    quick = Figure(f"the same, {FAST} times as fast", "", [_missing(first, fast)], worst=0)
    differ = sum(not alike(*pair) for pair in zip(first.words, again.words, strict=False))
    differ += abs(len(first.words) - len(again.words))
    words = Figure("captions that differ", "", [float(differ)], worst=0, note=note)
    for figure, told in ((missing, again), (quick, fast)):
        if len(told.lives) != 1:
            figure.broken.append(f"the microphone's process was started {len(told.lives)} times: a machine too busy")
    if len(first.words) < 2 * count:
        words.broken.append(f"of {count} sayings and answers {len(first.words)} captions were recorded")
    return [missing, quick, words]


def _missing(first: Told, again: Told) -> float:
    """The second recorder may have joined late: what came before is not held against the replay."""
    joined = again.seqs[0] if again.seqs else len(first.said)
    expected = first.said[joined:]
    end = next((n for n, (topic, _) in enumerate(expected) if topic == "event.source_ended"), len(expected) - 1)
    expected = expected[: end + 1]  # with this word the pipeline ends, then as now
    return float(_differ(expected, again.said[: len(expected)]))


def _differ(one: Sequence[tuple[str, object]], other: Sequence[tuple[str, object]]) -> float:
    return float(sum(a != b for a, b in zip(one, other, strict=False)) + abs(len(one) - len(other)))


def alike(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """The same words of the same side. Of a person the simulator says only for how long it heard them, to a tenth of a
    second; where its frames of 10 ms begin in the voice is another place with each connection."""
    lengths = [LENGTH.fullmatch(text) for _, text in (one, other)]
    if one[0] != other[0] or None in lengths:
        return one == other
    seconds = [round(10 * float(found[1])) for found in lengths if found is not None]
    return abs(seconds[0] - seconds[1]) <= 1


def _replayed(tape: Path, speed: int) -> list[str]:
    capture = {"use": "pipeline.stages.replay", "emits": "[mic]", "tape": str(tape), "speed": str(float(speed))}
    return [f"stages.capture.{key}={value}" for key, value in capture.items()]


def _recorded(home: Path, name: str, sets: Sequence[str]) -> Told:
    """A pipeline from its first message to its end."""
    script = f"stages.simulator={{script: {ROOT}/tests/rig/short_answers.yaml, notice: false}}"
    tape = home / f"{name}.tape"
    with Pipeline(home / name, "demo.yaml", [script, *sets]) as machine, recorder(machine, tape):
        machine.process.wait()
    return Told.of(tape)


@contextlib.contextmanager
def recorder(machine: Pipeline, tape: Path) -> Iterator[None]:
    """`record` beside it."""
    argv = [sys.executable, "-m", "pipeline", "record", str(tape), "--privacy", "everything"]
    process = subprocess.Popen(argv, env=machine.environ, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
