"""From `run` to listening, beside what merely importing the SDK takes."""

from __future__ import annotations

import subprocess
import sys
import time

from scripts.benchmarks.figures import Figure
from scripts.benchmarks.rooms import ROOT, Room
from scripts.benchmarks.server import Server


def run(room: Room) -> list[Figure]:
    """40 starts in the full mode, each after an import."""
    imports: list[float] = []
    listening: list[float] = []
    heard: list[float] = []
    config = str(ROOT / "scripts/benchmarks/kiosk/devices.yaml")
    with room.sound() as pulse:
        time.sleep(2.5)  # null sinks render ahead until then
        for _ in range(room.times(40, 15, 3)):
            began = time.monotonic()
            subprocess.run([sys.executable, "-c", "import google.genai"], check=True, cwd=ROOT)
            imports.append((time.monotonic() - began) * 1000)
            home = room.home("start")
            with Server(home) as server, room.machine(home, config, [], server, pulse) as machine:
                line = server.wait(check=lambda machine=machine: (machine.check(), machine.pump()))
                while not line.came:
                    machine.check()
                    machine.pump()
                    time.sleep(0.001)
                listening.append((line.came[0][1] - machine.began_ns) / 1e6)
                machine.until(lambda machine=machine: machine.audio("mic"))
                heard.append(((machine.audio("mic")[0].t or 0) - machine.began_ns) / 1e6)
                machine.stop()
    return [
        Figure("run to listening: first voice at the service", "ms", listening, imports, ratio=2.0,
               note="floor: python -c 'import google.genai'"),
        Figure("run to first sound of the microphone that is kept", "ms", heard, imports, p50=300.0,
               note="the first start of the series also asks the stages what they are, the others remember it"),
    ]  # fmt: skip
