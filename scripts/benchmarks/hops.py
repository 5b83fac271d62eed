"""How long a block of sound is on its way: microphone to service, service to playback's queue."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from collections.abc import Sequence

from scripts.benchmarks.figures import Figure
from scripts.benchmarks.rooms import ROOT, Room
from scripts.benchmarks.server import Connection, Server, audio_message
from scripts.benchmarks.slots import BLOCK_NS, Slots, sleep_until
from scripts.benchmarks.stamp import REPLY_BYTES, stamped

SLOT_S = 10
START_S = 8
"""Until the first slot: everything is up and warm by then."""


def run(room: Room) -> list[Figure]:
    """5,000 blocks each way and side in the full mode, 2,400 as usual, 500 in the quick one."""
    rounds = room.times(11, 5, 1)
    slots = Slots(time.monotonic_ns() + int(START_S * 1e9), int(SLOT_S * 1e9), 2 * rounds)
    home = room.home("hops")
    config = str(ROOT / "scripts/benchmarks/kiosk/hops.yaml")
    floor_times = home / "floor.times"
    with room.sound() as pulse, Server(home) as server:
        argv = [sys.executable, "-m", "scripts.benchmarks.floor", str(server.port), str(server.cert), slots.text()]
        floor = subprocess.Popen([*argv, str(floor_times)], cwd=ROOT, stdout=subprocess.DEVNULL)
        with room.machine(home, config, [f"stages.capture.slots={slots.text()}"], server, pulse) as machine:
            ours, theirs = server.wait(check=machine.check), server.wait(floor=True)
            _answer(slots, ours, theirs)
            times = machine.run_dir / "replies.times"
            machine.stop()
            replies = _pairs(times.read_bytes())
        floor.wait(10)
    up, floor_up = _ms(_within(ours.came, slots)), _ms(_within(theirs.came, slots))
    down, floor_down = _ms(replies), _ms(_pairs(floor_times.read_bytes()))
    return [
        Figure("microphone block to bytes at the server", "ms", up, floor_up, ratio=3.0, p99=6.0),
        Figure("bytes from the server to playback's queue", "ms", down, floor_down, ratio=3.0, p99=5.0),
    ]


def _answer(slots: Slots, ours: Connection, theirs: Connection) -> None:
    """Speak as the service: 40 ms of sound each 20 ms to whose turn it is, half a block after its voice is due."""
    due_ns, was = slots.begin_ns + BLOCK_NS // 2, None
    while due_ns < slots.end_ns:
        sleep_until(due_ns)
        for connection in (ours, theirs):
            if slots.mine(due_ns, floor=connection.is_floor):
                connection.send(audio_message(stamped(REPLY_BYTES)))
                was = connection
            elif was is connection:
                connection.send({"serverContent": {"interrupted": True}})
                connection.send({"serverContent": {"turnComplete": True}})
                was = None
        due_ns += BLOCK_NS


def _within(came: Sequence[tuple[int | None, int]], slots: Slots) -> list[tuple[int, int]]:
    return [(made, when) for made, when in list(came) if made is not None and made >= slots.begin_ns]


def _pairs(data: bytes) -> list[tuple[int, int]]:
    return list(struct.iter_unpack("<QQ", data[: len(data) // 16 * 16]))


def _ms(pairs: Sequence[tuple[int, int]]) -> list[float]:
    return [(came - made) / 1e6 for made, came in pairs]
