"""What those who look on cost: blocks from the microphone to the service with no tap, with 5 and with 20, one of them
stopped in mid-reading."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from scripts.benchmarks.figures import Figure, percentile
from scripts.benchmarks.hops import START_S
from scripts.benchmarks.rooms import ROOT, Pipeline, Room
from scripts.benchmarks.server import Connection, Server
from scripts.benchmarks.slots import Slots, sleep_until

STEPS = ((5, 1.3), (20, 2.5))
"""Taps, and how many times the p99 without any."""
JOIN_S = 8
"""Twenty interpreters start in it."""
GROWTH_MB = 8.0
"""What a stage may grow by beside them: a reader that stands still is kept 8,000 messages at most."""


def run(room: Room) -> list[Figure]:
    """1,000 blocks each; 400 in the quick mode."""
    slot_s = max(JOIN_S + 4, room.times(28, 20, 12))
    slots = Slots(time.monotonic_ns() + int(START_S * 1e9), int(slot_s * 1e9), 2 * len(STEPS) + 1)
    home = room.home("taps")
    figures = []
    with room.sound() as pulse, Server(home) as server, contextlib.ExitStack() as taps:
        config = str(ROOT / "scripts/benchmarks/kiosk/hops.yaml")
        sets = [f"stages.capture.slots={slots.text()}", "stages.session.idle_s=0"]  # nobody speaks here
        with room.machine(home, config, sets, server, pulse) as machine:
            connection = server.wait(check=machine.check)
            there, grown = 0, []
            for step, (count, _) in enumerate(STEPS):
                sleep_until(slots.begin_ns + (2 * step + 1) * slots.slot_ns)
                before = _rss_mb(machine)
                for number in range(there, count):
                    taps.enter_context(tap(machine, stopped=number == 0))
                there = count
                sleep_until(slots.begin_ns + (2 * step + 3) * slots.slot_ns - 1_000_000_000)
                grown.append(max(after - before.get(name, after) for name, after in _rss_mb(machine).items()))
            sleep_until(slots.end_ns)
            machine.stop()
    without = _ms(connection, slots, 0)
    for step, (count, times) in enumerate(STEPS):
        name = f"microphone to server with {count} taps, one stopped (floor: none)"
        note = f"no stage grew by more than {grown[step]:.1f} MB"
        limit = times * percentile(without, 99) if without else None
        figure = Figure(name, "ms", _ms(connection, slots, 2 * step + 2), without, p99=limit, note=note)
        if grown[step] > GROWTH_MB:
            figure.broken.append(note)
        figures.append(figure)
    return figures


@contextlib.contextmanager
def tap(machine: Pipeline, *, stopped: bool) -> Iterator[None]:
    """A tap on everything; `stopped`: it stands still a second after it began."""
    argv = [sys.executable, "-m", "pipeline", "tap", "--json"]
    process = subprocess.Popen(argv, env=machine.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if stopped:
            time.sleep(1.0)  # it has joined by then
            process.send_signal(signal.SIGSTOP)
        yield
    finally:
        process.kill()
        process.wait()


def _rss_mb(machine: Pipeline) -> dict[str, float]:
    found = {}
    for name, pid in machine.processes().items():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/statm") as file:
            found[name] = int(file.read().split()[1]) * 4096 / 1e6
    return found


def _ms(connection: Connection, slots: Slots, slot: int) -> list[float]:
    begin = slots.begin_ns + slot * slots.slot_ns
    inside = range(begin, begin + slots.slot_ns)
    return [(came - made) / 1e6 for made, came in list(connection.came) if made is not None and made in inside]
