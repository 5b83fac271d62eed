"""What watching costs: a screen of `status --watch`, metrics scraped each 5 s, the black box, while people talk.

And what a machine writes to its disk while nobody does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

from scripts.benchmarks.figures import Figure
from scripts.benchmarks.load import family
from scripts.benchmarks.rooms import ROOT, Pipeline, Room

GOAL_PERCENT = 3.0
SCRAPE_S = 5.0
SLICE_S = 5.0
"""A sample is the share of a core over so long: a scrape and five looks of the screen."""
LINES, COLUMNS = 40, 120
WARM_S = 10.0
DISK_KB_AN_HOUR = 5.0
ASLEEP_S = 30.0
"""By then the line is closed, and what a start writes is written."""


def run(room: Room) -> list[Figure]:
    """Five minutes of conversation and of silence in the full mode, one as usual, 15 s in the quick one."""
    return [_watched(room), _idle(room)]


def _watched(room: Room) -> Figure:
    slices = room.times(60, 12, 3)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home, config = room.home("watch"), str(ROOT / "scripts/benchmarks/kiosk/watch.yaml")
    files = ", ".join(200 * [f"{ROOT}/tests/recordings/not_ill_disposed.wav"])
    sets = [f"health.listen=127.0.0.1:{port}", f"stages.capture.files=[{files}]"]
    sets += [f"stages.simulator={{script: {ROOT}/tests/rig/short_answers.yaml, notice: false}}"]
    with Pipeline(home, config, sets) as machine:
        machine.until(lambda: machine.events("turn_ended", kind="speech", outcome="answered"))
        with screen(machine) as watch, scraped(f"http://127.0.0.1:{port}/metrics") as took:
            pids = {"screen": watch, **{name: machine.processes()[name] for name in ("health", "black_box")}}
            time.sleep(WARM_S)
            shares: dict[str, list[float]] = {name: [] for name in pids}
            for _ in range(slices):
                began, before = time.monotonic(), {name: cpu_ns(pid) for name, pid in pids.items()}
                time.sleep(SLICE_S)
                for name, pid in pids.items():
                    shares[name].append((cpu_ns(pid) - before[name]) / 1e7 / (time.monotonic() - began))
        turns = len(machine.until(lambda: machine.events("turn_ended", outcome="answered")))
        machine.stop()
    together = [sum(each) for each in zip(*shares.values(), strict=True)]
    means = ", ".join(f"{name} {sum(share) / len(share):.2f}" for name, share in shares.items())
    mean = [sum(together) / len(together)]
    figure = Figure("status --watch, metrics and black box", "% of a core", mean, worst=GOAL_PERCENT)
    figure.note = f"each: {means}; {len(together) * SLICE_S:.0f} s, {turns} answers, {len(took)} scrapes"
    if not turns or not took:
        figure.broken.append("nobody talked, or nothing was scraped")
    return figure


def _idle(room: Room) -> Figure:
    """The run directory is in memory, as /run is; the state directory is on a disk. Nobody speaks."""
    disk, config = room.home("state"), str(ROOT / "scripts/benchmarks/kiosk/watch.yaml")
    seconds = room.times(300, 60, 15)
    sets = ["stages.capture.files=[]", "log.file=kiosk.log", "stages.session.idle_s=5"]
    with (
        tempfile.TemporaryDirectory(prefix="b-", dir="/dev/shm") as memory,
        Pipeline(Path(memory), config, sets, {"XDG_STATE_HOME": str(disk)}) as machine,
    ):
        machine.until(lambda: machine.live("playback", "frontend", "black_box"))
        time.sleep(ASLEEP_S)
        before, files = written(family(machine.process.pid)), stamps(disk)
        time.sleep(seconds)
        after, files_after = written(family(machine.process.pid)), stamps(disk)
        machine.stop()
    sizes = {name: after[name] - before[name] for name in after.keys() & before.keys()}
    figure = Figure(
        "disk writes of a machine to which nobody speaks", "kB an hour", [sum(sizes.values()) * 3.6 / seconds]
    )
    figure.worst = DISK_KB_AN_HOUR
    touched = [path.name for path, stamp in files_after.items() if files.get(path) != stamp]
    figure.note = f"{seconds} s, {len(after)} processes; files touched: {', '.join(touched) or 'none'}"
    return figure


def written(pids: Iterable[int]) -> dict[int, int]:
    """Bytes that each process has caused to be written to a disk so far."""
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{pid}/io").read_text().splitlines()
            found[pid] = int(next(line.split()[1] for line in lines if line.startswith("write_bytes:")))
    return found


def stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of the last change of each file."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@contextlib.contextmanager
def screen(machine: Pipeline) -> Iterator[int]:
    """`status --watch` on a terminal of its own; its process id."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    argv = [sys.executable, "-m", "pipeline", "status", "--watch"]
    environ = {**machine.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(argv, env=environ, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    threading.Thread(target=_drain, args=(ours,), daemon=True).start()
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)


def _drain(terminal: int) -> None:
    with contextlib.suppress(OSError):  # EIO: the other side has closed
        while os.read(terminal, 65_536):
            pass
    os.close(terminal)


@contextlib.contextmanager
def scraped(url: str) -> Iterator[list[int]]:
    """As Prometheus does; the size of each answer."""
    took: list[int] = []
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(SCRAPE_S):
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
                took.append(len(answer.read()))

    thread = threading.Thread(target=scrape, daemon=True)
    thread.start()
    yield took
    over.set()
    thread.join()


def cpu_ns(pid: int) -> int:
    """Processor time so far, all threads; to the ns, where `stat` counts in 10 ms."""
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(path.read_text().split()[0])
    return total
