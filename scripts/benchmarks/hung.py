"""A stage that hangs (SIGSTOP): how long until there is sound again."""

from __future__ import annotations

import os
import signal
import threading
import time

from scripts.benchmarks.figures import Figure
from scripts.benchmarks.rooms import ROOT, Pipeline, Room
from scripts.benchmarks.server import Connection, Server
from scripts.benchmarks.speaker import LOUD, Listener, speak

STAGES = ("capture", "frontend", "session", "playback")
UNDER_WAY_S = 0.5
"""What was under way has arrived by then, and nothing can be back: a hang is one after 2 s."""
WITHIN_S = 15.0


class Talker(threading.Thread):
    """Has the service speak without end, to whoever is connected."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._server, self.over = server, False

    def run(self) -> None:
        """Seconds of tone, one after the other."""
        while not self.over:
            line = self._server.newest()
            try:
                if line is not None:
                    speak(line, "thin", 1.0)
            except OSError:
                line = None
            if line is None:
                time.sleep(0.05)


def run(room: Room) -> list[Figure]:
    """Ten times each stage in the full mode, in a fresh pipeline each time: backoff must not come in."""
    took: dict[str, list[float]] = {stage: [] for stage in STAGES}
    never: dict[str, int] = dict.fromkeys(STAGES, 0)
    config = str(ROOT / "scripts/benchmarks/kiosk/devices.yaml")
    with room.sound() as pulse, Listener(pulse.env) as ear:
        for _ in range(room.times(10, 3, 1)):
            home = room.home("hung")
            with Server(home) as server, room.machine(home, config, [], server, pulse) as machine:
                server.wait(check=machine.check)
                machine.until(lambda machine=machine: machine.live(*STAGES))
                talker = Talker(server)
                talker.start()
                for stage in STAGES:
                    time.sleep(2.0)
                    again_s = _again(machine, server, ear, stage)
                    if again_s is None:
                        never[stage] += 1
                    else:
                        took[stage].append(again_s)
                talker.over = True
    return [
        Figure(f"hung {stage} to sound again", "s", took[stage], worst=3.2,
               broken=[f"not within {WITHIN_S:g} s: {never[stage]} times"] if never[stage] else [])
        for stage in STAGES
    ]  # fmt: skip


def _again(machine: Pipeline, server: Server, ear: Listener, stage: str) -> float | None:
    began = time.monotonic()
    line = server.newest()
    os.kill(machine.processes()[stage], signal.SIGSTOP)
    end = began + WITHIN_S
    while time.monotonic() < end:
        machine.pump()
        if stage == "playback":
            loud = [at for at, samples in ear.since(began + UNDER_WAY_S) if samples.max() > LOUD]
            if loud:
                return loud[0] - began
        elif (at := _voice(server, line if stage == "session" else None, began)) is not None:
            return at - began
        time.sleep(0.005)
    return None


def _voice(server: Server, not_on: Connection | None, began: float) -> float | None:
    """When voice first came again; for a hung session on another connection."""
    for line in server.connections:
        if line is not not_on:
            for _, came_ns in line.came[-200:]:
                if came_ns / 1e9 > began + UNDER_WAY_S:
                    return came_ns / 1e9
    return None
