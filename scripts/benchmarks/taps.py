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
GROWTH_MB = 8.0
"""What a stage may grow by beside them: a reader that stands still is kept 8,000 messages at most."""


def run(room: Room) -> list[Figure]:
    """Nobody, 5, 20 in turns, so that all meet the same machine: 5 rounds in the full mode, 3 as usual, one quickly.

    Judged is the median of the rounds' 99th percentiles. One of all blocks would be that of the worst second.
    """
    rounds, slot_s = room.times(5, 3, 1), room.times(24, 14, 10)
    each = 2 * (len(STEPS) + 1)
    slots = Slots(time.monotonic_ns() + int(START_S * 1e9), int(slot_s * 1e9), each * rounds)
    home = room.home("taps")
    grown: dict[int, float] = dict.fromkeys((count for count, _ in STEPS), 0.0)
    with room.sound() as pulse, Server(home) as server:
        config = str(ROOT / "scripts/benchmarks/kiosk/hops.yaml")
        sets = [f"stages.capture.slots={slots.text()}", "stages.session.idle_s=0"]  # nobody speaks here
        with room.machine(home, config, sets, server, pulse) as machine:
            connection = server.wait(check=machine.check)
            for number in range(rounds):
                _round(machine, slots, number * each, grown)
            sleep_until(slots.end_ns)
            machine.stop()
    p99 = {
        step: [percentile(_ms(connection, slots, number * each + 2 * step), 99) for number in range(rounds)]
        for step in range(len(STEPS) + 1)
    }
    figures = []
    for step, (count, times) in enumerate(STEPS, 1):
        name = f"p99 of microphone to server with {count} taps, one stopped (floor: none)"
        note = f"no stage grew by more than {grown[count]:.1f} MB"
        figure = Figure(name, "ms", p99[step], p99[0], ratio=times, note=note)
        if grown[count] > GROWTH_MB:
            figure.broken.append(note)
        figures.append(figure)
    return figures


def _round(machine: Pipeline, slots: Slots, first: int, grown: dict[int, float]) -> None:
    """Each even slot is measured; in the odd ones taps come, and in the last one they go."""
    with contextlib.ExitStack() as taps:
        there = 0
        for step, (count, _) in enumerate(STEPS):
            sleep_until(slots.begin_ns + (first + 2 * step + 1) * slots.slot_ns)
            before = _rss_mb(machine)
            for number in range(there, count):
                taps.enter_context(tap(machine, stopped=number == 0))
            there = count
            sleep_until(slots.begin_ns + (first + 2 * step + 3) * slots.slot_ns - 500_000_000)
            now = max(after - before.get(name, after) for name, after in _rss_mb(machine).items())
            grown[count] = max(grown[count], now)
    sleep_until(slots.begin_ns + (first + 2 * len(STEPS) + 2) * slots.slot_ns)


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
