"""Memory and processor time of the whole pipeline while voice goes up and an answer comes down, devices and all."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline.audio.resample import Resampler
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.hung import STAGES, Talker
from scripts.benchmarks.rooms import ROOT, Room
from scripts.benchmarks.server import Server, audio_message
from scripts.benchmarks.slots import Slots, sleep_until
from scripts.benchmarks.stamp import REPLY_BYTES, stamped
from tests.rig import acoustics as ac

REPLY_RATE = 24_000
TICKS = os.sysconf("SC_CLK_TCK")
SECOND_NS = 1_000_000_000


def family(root: int) -> dict[int, str]:
    """A process and all that descend from it: pid to name."""
    parents: dict[int, tuple[int, str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                head, _, tail = (entry / "stat").read_text().rpartition(")")
            except OSError:
                continue
            parents[int(entry.name)] = int(tail.split()[1]), head.partition("(")[2]
    found = {root: parents[root][1]} if root in parents else {}
    while more := {pid: name for pid, (parent, name) in parents.items() if parent in found and pid not in found}:
        found |= more
    return found


def cpu_ticks(pids: Sequence[int]) -> int:
    """Processor time so far."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total


def pss_mb(pids: Sequence[int]) -> float:
    """Memory, pages that are shared counted once."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def watch(pids: Sequence[int], seconds: int) -> tuple[list[float], list[float]]:
    """Percent of one core and MB, second by second."""
    percent, megabytes = [], []
    for _ in range(seconds):
        before, began = cpu_ticks(pids), time.monotonic()
        time.sleep(1.0)
        percent.append((cpu_ticks(pids) - before) / TICKS / (time.monotonic() - began) * 100)
        megabytes.append(pss_mb(pids))
    return percent, megabytes


def run(room: Room) -> list[Figure]:
    """A minute of both in the full mode, and a quarter of the floor (hand-made client and two hops, no device)."""
    seconds = room.times(60, 40, 5)
    home = room.home("load")
    config = str(ROOT / "scripts/benchmarks/kiosk/devices.yaml")
    with room.sound() as pulse, Server(home) as server:
        with room.machine(home, config, [], server, pulse) as machine:
            server.wait(check=machine.check)
            machine.until(lambda: machine.live(*STAGES))
            talker = Talker(server)
            talker.start()
            time.sleep(5.0)
            everyone = family(machine.process.pid)
            pids = [pid for pid, name in everyone.items() if name != "pactl"]
            percent, megabytes = watch(pids, seconds)
            each = ", ".join(f"{name} {pss_mb([pid]):.0f}" for pid, name in everyone.items())
            talker.over = True
            machine.stop()
        floor_percent, floor_megabytes = _floor(server, home, max(4, seconds // 4))
    return [
        ears_of_a_talking_machine(room),
        Figure("processor time while streaming", "% of a core", percent, floor_percent, p50=15.0),
        Figure("memory while streaming (PSS)", "MB", megabytes, floor_megabytes, p50=150.0, note=f"MB each: {each}"),
    ]


class Reader(threading.Thread):
    """Has the service read sentences aloud without end, in real time, to whoever is connected."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._server, self.over = server, False
        up = Resampler(ac.RATE, REPLY_RATE)
        self._speech = up.convert(ac.as_samples(ac.at_level(ac.talk(30, 1), -20))).tobytes()

    def run(self) -> None:
        """20 ms a message."""
        at, due_ns = 0, time.monotonic_ns()
        while not self.over:
            line = self._server.newest()
            try:
                if line is not None:
                    line.send(audio_message(self._speech[at : at + REPLY_BYTES]))
            except OSError:
                time.sleep(0.1)
            at = (at + REPLY_BYTES) % (len(self._speech) - REPLY_BYTES)
            due_ns += SECOND_NS // 50
            sleep_until(due_ns)


def cpu_ns(pid: int) -> int:
    """Processor time of all threads so far; finer than ticks, of which a second has a hundred."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def ears_of_a_talking_machine(room: Room) -> Figure:
    """The front end's process with echo cancellation, in real time, its machine's voice in the microphone."""
    seconds, home = room.times(60, 30, 5), room.home("ears")
    config, sets = str(ROOT / "scripts/benchmarks/kiosk/devices.yaml"), ("aec=webrtc", "self_test=replies")
    percent: list[float] = []
    with room.sound() as pulse, Server(home) as server:
        pulse.pactl("load-module", "module-loopback", "source=speaker.monitor", "sink=mic_feed", "latency_msec=30")
        with room.machine(home, config, [f"stages.frontend.{word}" for word in sets], server, pulse) as machine:
            server.wait(check=machine.check)
            machine.until(lambda: machine.live(*STAGES))
            reader = Reader(server)
            reader.start()
            time.sleep(5.0)
            machine.pump()
            pid, silent_s, blocks = machine.processes()["frontend"], 0, len(machine.audio("played"))
            for _ in range(seconds):
                before, began = cpu_ns(pid), time.monotonic()
                time.sleep(1.0)
                percent.append((cpu_ns(pid) - before) / 1e9 / (time.monotonic() - began) * 100)
                machine.pump()
                silent_s += len(machine.audio("played")) - blocks < 25
                blocks = len(machine.audio("played"))
            cut = len(machine.events("interrupted"))
            reader.over = True
            machine.stop()
    broken = [f"{silent_s} of {seconds} s without its voice"] if silent_s > seconds // 5 else []
    note = f"aec webrtc, the echo at the voice's level; a sample is a second; cut {cut} times by itself"
    return Figure("front end while the machine talks", "% of a core", percent, p50=8.0, note=note, broken=broken)


def _floor(server: Server, home: Path, seconds: int) -> tuple[list[float], list[float]]:
    slots = Slots(time.monotonic_ns() - (seconds + 4) * SECOND_NS, (seconds + 4) * SECOND_NS, 2)
    argv = [sys.executable, "-m", "scripts.benchmarks.floor", str(server.port), str(server.cert), slots.text()]
    floor = subprocess.Popen([*argv, str(home / "floor.times")], cwd=ROOT, stdout=subprocess.DEVNULL)
    line = server.wait(floor=True)
    pids = [pid for pid in family(floor.pid) if pid != floor.pid]
    due_ns, end_ns = time.monotonic_ns(), time.monotonic_ns() + seconds * SECOND_NS
    percent, megabytes, before, began_ns = [], [], cpu_ticks(pids), due_ns
    while due_ns < end_ns:
        line.send(audio_message(stamped(REPLY_BYTES)))
        due_ns += SECOND_NS // 50
        sleep_until(due_ns)
        if due_ns - began_ns >= SECOND_NS:
            now = cpu_ticks(pids)
            percent.append((now - before) / TICKS / ((due_ns - began_ns) / 1e9) * 100)
            megabytes.append(pss_mb(pids))
            before, began_ns = now, due_ns
    floor.wait(20)
    return percent, megabytes
