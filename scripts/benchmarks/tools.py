"""How long a block of sound is on its way while functions of the model sleep, spin, crash and flood, beside when they
do not: the same pipeline, half a slot each."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

from scripts.benchmarks.figures import Figure, percentile
from scripts.benchmarks.hops import START_S
from scripts.benchmarks.rooms import ROOT, Room
from scripts.benchmarks.server import Connection, Server
from scripts.benchmarks.slots import Slots, sleep_until

SLOT_S = 20
"""Calm for half of it, then misbehaviour; functions are ended in the slot after it, when nothing is measured."""
AT_ONCE = ("sleeps", "spins", "floods")
AGAIN_NS = 500_000_000
"""Between two crashes."""
UNCHANGED = 1.25, 0.5
"""The p99 beside misbehaviour is at most so many times the calm one, or so many ms more."""


def run(room: Room) -> list[Figure]:
    """2,500 blocks each; 500 in the quick mode."""
    slots = Slots(time.monotonic_ns() + int(START_S * 1e9), int(SLOT_S * 1e9), 2 if room.quick else 10)
    home = room.home("tools")
    with room.sound() as pulse, Server(home) as server:
        config = str(ROOT / "scripts/benchmarks/kiosk/tools.yaml")
        with room.machine(home, config, [f"stages.capture.slots={slots.text()}"], server, pulse) as machine:
            connection = server.wait(check=machine.check)
            called = _misbehave(slots, connection)
            answers = connection.results
            machine.stop()
    calm = _ms(connection, slots, half=0)
    beside = _ms(connection, slots, half=1)
    ratio, more_ms = UNCHANGED
    usual_ms = percentile(calm, 99) if calm else 0.0
    figure = Figure(
        "microphone to server while functions misbehave (floor: calm)",
        "ms",
        beside,
        calm,
        p99=max(ratio * usual_ms, usual_ms + more_ms),
        note=f"{called} calls, {answers} answered",
    )
    if answers < called:
        figure.broken.append("calls were left without an answer")
    return [figure]


def _misbehave(slots: Slots, connection: Connection) -> int:
    """Call functions in the second half of each slot; how many."""
    numbers = itertools.count()
    called = 0

    def call(name: str) -> None:
        calls = [{"id": f"call-{next(numbers)}", "name": name, "args": {}}]
        connection.send({"toolCall": {"functionCalls": calls}})

    for slot in range(0, slots.count, 2):
        begin_ns = slots.begin_ns + slot * slots.slot_ns
        sleep_until(begin_ns + slots.slot_ns // 2)
        for name in AT_ONCE:
            call(name)
            called += 1
        for due_ns in range(begin_ns + slots.slot_ns // 2, begin_ns + slots.slot_ns, AGAIN_NS):
            sleep_until(due_ns)
            call("segfaults")
            called += 1
        connection.send({"serverContent": {"turnComplete": True}})
    sleep_until(slots.end_ns)
    return called


def _ms(connection: Connection, slots: Slots, half: int) -> Sequence[float]:
    found = []
    for made_ns, came_ns in list(connection.came):
        if made_ns is not None and made_ns >= slots.begin_ns:
            into_ns = (made_ns - slots.begin_ns) % slots.slot_ns
            if int(into_ns >= slots.slot_ns // 2) == half:
                found.append((came_ns - made_ns) / 1e6)
    return found
