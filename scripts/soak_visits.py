"""A thousand visitors in accelerated time, without sound devices: each asks, is answered and leaves. What is left of
them in memory, descriptors and on the disk is measured as a slope per visit."""

from __future__ import annotations

import shutil
import tempfile
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np

from tests.rig.booth import Booth

SCRIPT = """
version: 1
speed: 50
think_ms: 0
spoken:
  - {heard: when do you close, say: "Yes.", wav: yes.wav}
"""
ANSWER_S = 0.1
"""The service paces the end of a turn by the length of its sound."""
MEASURE_EVERY = 10
WARM = 0.2
"""Share of the visits after which growth is no warming up any more."""
STAGES = ("session", "simulator")


class Counter(Booth):
    """A booth that forgets what it has seen, and whose service keeps no evidence."""

    def __init__(self, run_dir: Path) -> None:
        with wave.open(str(run_dir / "yes.wav"), "wb") as file:
            file.setparams((1, 2, 24_000, 0, "NONE", ""))
            file.writeframes(b"\0\x20\0\xe0" * int(ANSWER_S * 12_000))
        super().__init__(run_dir, script=SCRIPT)
        self.stages["simulator"]["options"].update(journal=None, audio=None)  # type: ignore[index]

    def forget(self) -> None:
        """Between two visits."""
        self.heard.clear()
        self.said.clear()
        self._dealt = 0


def run(visits: int) -> dict[str, Any]:
    """Let them come. Figures; `answered` is how many were."""
    home = Path(tempfile.mkdtemp(prefix="visits-"))
    rows: list[tuple[int, dict[str, float]]] = []
    answered, began = 0, time.monotonic()
    try:
        with Counter(home) as booth:
            for stage in ("simulator", "session"):
                booth.start(stage)
            booth.until(lambda: booth.bodies("connection", up=True))
            for number in range(1, visits + 1):
                try:
                    visit(booth)
                except AssertionError as error:
                    print(f"  visit {number}: {error}")
                    break
                answered += 1
                if number % MEASURE_EVERY == 0:
                    rows.append((number, held(booth, home)))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return {"visits": visits, "answered": answered, "seconds": round(time.monotonic() - began, 1), **slopes(rows)}


def visit(booth: Counter) -> None:
    """One visitor asks, hears the answer, leaves."""
    booth.forget()
    booth.asks("not_ill_disposed.wav")
    booth.until(booth.answered)
    booth.playback.event("visitor_left", {})
    booth.until(lambda: booth.bodies("visit", open=False) and booth.bodies("connection", up=True) is not None)


def held(booth: Counter, home: Path) -> dict[str, float]:
    """What the processes hold now, and the disk."""
    found: dict[str, float] = {}
    for stage in STAGES:
        pid = booth.processes[stage].pid
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        fields = {line.split(":")[0]: float(line.split()[1]) for line in rollup if line.endswith("kB")}
        found[f"{stage}_pss_kb"] = fields["Pss"]
        # of PSS a part moves whenever somebody else who shares a library starts or ends
        found[f"{stage}_private_kb"] = fields["Private_Clean"] + fields["Private_Dirty"]
        found[f"{stage}_descriptors"] = float(len(list(Path(f"/proc/{pid}/fd").iterdir())))
    files = [path for path in home.rglob("*") if path.is_file() and path.suffix != ".stderr"]
    found["disk_bytes"] = float(sum(path.stat().st_size for path in files))
    return found


def slopes(rows: list[tuple[int, dict[str, float]]]) -> dict[str, Any]:
    """First, last and growth per visit, once warm."""
    warm = rows[int(len(rows) * WARM) :]
    if len(warm) < 3:
        return {}
    numbers = np.array([number for number, _ in warm], float)
    result: dict[str, Any] = {}
    for name in warm[0][1]:
        values = np.array([found[name] for _, found in warm])
        slope = float(np.polyfit(numbers, values, 1)[0])
        error = float(np.std(values - np.polyval(np.polyfit(numbers, values, 1), numbers)) / np.std(numbers))
        result[name] = {
            "first": rows[0][1][name],
            "last": values[-1],
            "most": values.max(),
            "per_visit": round(slope, 3),
            "give_or_take": round(2 * error / len(warm) ** 0.5, 3),
        }
    return result
