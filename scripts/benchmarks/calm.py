"""An undisturbed conversation, and one beside four busy programs: how often is a stage killed that did nothing wrong?

`make bench PART=calm MINUTES=60` takes twice so long: an hour in peace, and an hour with the hogs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scripts.benchmarks.figures import Figure
from scripts.benchmarks.hung import STAGES, Talker
from scripts.benchmarks.rooms import ROOT, Room
from scripts.benchmarks.server import Server

HOGS = 4
KILLED = ("stage hangs", "stage died", "stage not started", "pipeline restarts")
"""Events of the log that nobody has given a cause for here."""


def run(room: Room) -> list[Figure]:
    """Both, `room.minutes` each."""
    found = []
    for words, hogs in (("undisturbed", 0), (f"beside {HOGS} busy programs", HOGS)):
        room.say(f"  {words}, {room.minutes:g} min …")
        kills, minutes = _converse(room, room.minutes * 60, hogs)
        found.append(
            Figure(f"false kills in a conversation {words}", "kills", [float(len(kills))], worst=0.0,
                   note=f"{minutes:.1f} min of speech both ways", broken=kills[:5])
        )  # fmt: skip
    return found


def _converse(room: Room, seconds: float, hogs: int) -> tuple[list[str], float]:
    config = str(ROOT / "scripts/benchmarks/kiosk/devices.yaml")
    home = room.home("calm")
    with room.sound() as pulse, Server(home) as server, room.machine(home, config, [], server, pulse) as machine:
        server.wait(check=machine.check)
        machine.until(lambda: machine.live(*STAGES))
        talker = Talker(server)
        talker.start()
        began = time.monotonic()
        with _busy(hogs):
            while time.monotonic() - began < seconds:
                machine.check()
                machine.pump()
                machine.heard.clear()
                time.sleep(0.2)
        talker.over = True
        minutes = (time.monotonic() - began) / 60
        kills = list(_kills(machine.log.read()))
        machine.stop()
    return kills, minutes


def _kills(lines: list[str]) -> Iterator[str]:
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("event") in KILLED:
            yield f"{entry['event']}: {entry.get('stage', '')} {entry.get('reason') or entry.get('how', '')}"


@contextmanager
def _busy(hogs: int) -> Iterator[None]:
    with ExitStack() as ends:
        for _ in range(hogs):
            hog = subprocess.Popen([sys.executable, "-I", "-S", "-c", "while True: pass"], cwd=Path("/"))
            ends.callback(hog.wait)
            ends.callback(hog.kill)
        yield
