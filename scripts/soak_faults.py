"""What strikes a machine in the soak, drawn from a seed, and how the world is mended again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from scripts.soak_world import SpeakerEar, TappedMachine
from tests.rig.machine import Service
from tests.rig.pulse import PulseServer

STAGES = ("capture", "frontend", "session", "playback")
SOUND = ("capture", "playback")

DECK: tuple[tuple[str, tuple[str, ...], float, float], ...] = (
    *((f"kill -9 {stage}", (stage,), 0.0, 0.0) for stage in STAGES),
    *((f"SIGSTOP {stage}", (stage,), 0.0, 0.0) for stage in STAGES),
    ("sound server killed", SOUND, 1.0, 3.0),
    ("microphone unplugged", ("capture",), 1.0, 3.0),
    ("speaker unplugged", ("playback",), 1.0, 3.0),
    ("microphone suspended", (), 1.0, 4.0),
    ("network cut", ("connection",), 2.0, 8.0),
    ("service frozen", (), 1.0, 3.0),
)
"""Name, who is expected to go down and come up once, and for how long at least and at most the world is broken."""


@dataclass
class Fault:
    """One that struck. Times are monotonic s."""

    kind: str
    touches: tuple[str, ...]
    lasts_s: float
    at: float = 0.0
    mended: float | None = None
    """When the world was whole again; from there on everything is the machine's own time."""
    changes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Who went down and came up how often."""


def drawn(seed: int) -> Iterator[Fault]:
    """Faults for ever: all kinds once, shuffled, then again."""
    dice = random.Random(seed)
    while True:
        deck = list(DECK)
        dice.shuffle(deck)
        for kind, touches, least, most in deck:
            yield Fault(kind, touches, round(dice.uniform(least, most), 2))


class Hand:
    """Strikes and mends."""

    def __init__(self, machine: TappedMachine, pulse: PulseServer, service: Service, ear: SpeakerEar) -> None:
        self._machine, self._pulse, self._service, self._ear = machine, pulse, service, ear
        self._mending: tuple[Fault, float, Callable[[], None]] | None = None

    @property
    def busy(self) -> bool:
        """The world is still broken."""
        return self._mending is not None

    def strike(self, fault: Fault) -> None:
        """Do it. What lasts is mended by `look`."""
        fault.at = time.monotonic()
        how, _, who = fault.kind.rpartition(" ")
        if who in STAGES:
            pid = self._machine.processes().get(who)
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if how == "kill -9" else signal.SIGSTOP)
            fault.mended = fault.at
            return
        mend = {
            "sound server killed": self._kill_server,
            "microphone unplugged": self._unplug_microphone,
            "speaker unplugged": self._unplug_speaker,
            "microphone suspended": self._suspend,
            "network cut": self._cut,
            "service frozen": self._freeze,
        }[fault.kind]()
        self._mending = (fault, fault.at + fault.lasts_s, mend)

    def look(self) -> None:
        """Mend what has lasted long enough."""
        if self._mending is not None and time.monotonic() >= self._mending[1]:
            fault, _, mend = self._mending
            mend()
            fault.mended = time.monotonic()
            self._mending = None

    def _kill_server(self) -> Callable[[], None]:
        self._pulse.kill()

        def mend() -> None:
            self._pulse.start()
            settle(self._pulse)

        return mend

    def _unplug_microphone(self) -> Callable[[], None]:
        self._pulse.unload_source("mic")
        return lambda: void(self._pulse.load_mic())

    def _unplug_speaker(self) -> Callable[[], None]:
        self._ear.leave()
        self._pulse.unload_sink("speaker")

        def mend() -> None:
            self._pulse.load_speaker()
            self._ear.come_back()

        return mend

    def _suspend(self) -> Callable[[], None]:
        self._pulse.pactl("suspend-source", "mic", "1")
        return lambda: void(self._pulse.pactl("suspend-source", "mic", "0"))

    def _cut(self) -> Callable[[], None]:
        self._service.kill()
        return self._service.start

    def _freeze(self) -> Callable[[], None]:
        pid = self._service.process.pid
        os.kill(pid, signal.SIGSTOP)
        return lambda: os.kill(pid, signal.SIGCONT)


def settle(pulse: PulseServer) -> None:
    """Defaults that never go away: where a default does, the server moves everybody's streams, the visitor's too."""
    pulse.pactl("set-default-sink", "mic_feed")
    pulse.pactl("set-default-source", "mic_feed.monitor")


def void(_result: object) -> None:
    """Nobody asks for the result."""


SERVICE_MOMENTS = ("speech", "turn", "answer")


def script(seed: int, questions: int, answers: tuple[str, ...]) -> str:
    """What the service says, and when of itself it hangs up: about each sixth question of each of its lives."""
    dice = random.Random(f"service {seed}")
    lines = ["version: 1", "spoken:"]
    lines += [f"  - say: {answers[number % len(answers)]}" for number in range(questions)]
    lines.append("faults:")
    number = dice.randint(2, 4)
    ends = ("close: {code: 1011, reason: Internal error}", "go_away_ms: 3000", "close: {code: 1006}", "go_away_ms: 800")
    at = dice.randrange(len(ends))
    while number < questions:
        when, after_ms = dice.choice(SERVICE_MOMENTS), dice.randint(0, 1200)
        lines.append(f"  - {{when: {when}, nth: {number}, after_ms: {after_ms}, {ends[at % len(ends)]}}}")
        number, at = number + dice.randint(4, 8), at + 1
    return "\n".join(lines) + "\n"
