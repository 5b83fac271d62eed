"""kill -9 of each stage in mid-conversation, and how soon good frames pass again: `main()` prints a JSON object.

Of a new process the first frame that is on the bus (capture: `mic`, frontend: `voice`), the device open and the queue
running (playback: `live`), the first voice at the service (session). The sound server is a private one with null sinks.
A stage is killed every few seconds, so that backoff, which looks at the last half minute, does not come in.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.rig.machine import Machine  # noqa: E402
from tests.rig.pulse import PulseServer  # noqa: E402

STAGES = ("frontend", "capture", "playback", "session")
GOALS_MS = {"frontend": 60, "capture": 160, "playback": 160, "session": 200}
KILLS = 40
A_MACHINE = 5
"""Kills of each stage before a fresh pipeline is taken: over five a minute the supervisor begins to think."""
SETTLE_S = 1.5
"""Between a return and the next kill, of whichever stage."""


def main(kills: int = KILLS) -> dict[str, Any]:
    """Do it; prints and returns `{"kills": {stage: {p50_ms, …}}, "memory": {"pss_mb": …}, "start": {"ms": …}}`."""
    took: dict[str, list[float]] = {stage: [] for stage in STAGES}
    memory: list[dict[str, float]] = []
    starts: list[dict[str, float]] = []
    with PulseServer() as pulse:
        time.sleep(2.5)  # the null sinks render ahead until then: nothing measured before is true
        while len(took["frontend"]) < kills:
            with tempfile.TemporaryDirectory(prefix="kills") as home, _machine(Path(home), pulse) as machine:
                starts.append(_started(machine))
                _wait(machine, 3.0)
                memory.append(pss_mb(machine))
                for _ in range(min(A_MACHINE, kills - len(took["frontend"]))):
                    for stage in STAGES:
                        took[stage].append(_kill(machine, stage))
                        _wait(machine, SETTLE_S)
    result = {
        "kills": {stage: {**_spread(values), "goal_p50_ms": GOALS_MS[stage]} for stage, values in took.items()},
        "memory": {"pss_mb": _middle(memory), "goal_mb": 150},
        "start": {"ms": _middle(starts)},
    }
    print(json.dumps(result, indent=1), flush=True)
    return result


def _machine(home: Path, pulse: PulseServer) -> Machine:
    script = ROOT / "tests" / "rig" / "short_answers.yaml"
    simulator = f"stages.simulator={{script: {script}, notice: false, journal: service.jsonl, audio: service}}"
    return Machine(home, "kiosk.yaml", [simulator], {name: pulse.env[name] for name in ("XDG_RUNTIME_DIR", "HOME")})


def _started(machine: Machine) -> dict[str, float]:
    machine.until(lambda: machine.live("playback") and machine.audio("voice") and machine.events("connection", up=True))
    moments = {
        "microphone": machine.audio("mic")[0].t or 0,
        "playback": min(e.sent for e in machine.events("state", state="live") if e.src == "playback"),
        "listening": machine.events("connection", up=True)[0].sent,
    }
    return {name: (ns - machine.began_ns) / 1e6 for name, ns in moments.items()}


def _kill(machine: Machine, stage: str) -> float:
    """Milliseconds from the signal to the first good frame of the next process."""
    machine.pump()
    machine.heard.clear()
    service = sum(path.stat().st_size for path in (machine.run_dir / "service").glob("*.jsonl"))
    before, killed_ns = machine.processes()[stage], time.monotonic_ns()
    os.kill(before, signal.SIGKILL)

    def back() -> int:
        if stage == "session":
            return _voice_at_the_service(machine, service, killed_ns)
        stream = {"capture": "mic", "frontend": "voice"}.get(stage)
        for stamp, message in machine.heard:
            if stamp.src != stage or stamp.sent < killed_ns:
                continue
            if stamp.topic == f"audio.{stream}" or (
                stage == "playback" and stamp.topic == "event.state" and message.body["state"] == "live"
            ):
                return stamp.sent
        return 0

    return (machine.until(back) - killed_ns) / 1e6


def _voice_at_the_service(machine: Machine, size_before: int, killed_ns: int) -> int:
    if sum(path.stat().st_size for path in (machine.run_dir / "service").glob("*.jsonl")) == size_before:
        return 0
    newest = max((machine.run_dir / "service").glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    entries = [json.loads(line) for line in newest.read_text().splitlines() if line.endswith("}")]
    first: int = entries[0]["ns"] if entries else 0
    return first if first > killed_ns else 0


def _wait(machine: Machine, seconds: float) -> None:
    """Let it run, reading the bus."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        machine.pump()
        time.sleep(0.01)


def pss_mb(machine: Machine) -> dict[str, float]:
    """Proportional memory of the supervisor and of everything below it, by the name that `ps` shows, and `all`."""
    pids, left = [], [machine.process.pid]
    while left:
        pids.append(left[0])
        left += [int(pid) for path in Path(f"/proc/{left.pop(0)}/task").glob("*/children")
                 for pid in path.read_text().split()]  # fmt: skip
    sizes: dict[str, float] = {}
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            comm = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        name = "supervisor" if pid == machine.process.pid else comm
        pss = next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
        sizes[name] = sizes.get(name, 0.0) + pss
    return {**sizes, "all": sum(sizes.values())}


def _spread(values: list[float]) -> dict[str, Any]:
    ordered = sorted(values)
    at95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {
        "n": len(ordered),
        "p50_ms": round(statistics.median(ordered), 1),
        "p95_ms": round(at95, 1),
        "max_ms": round(ordered[-1], 1),
        "ms": [round(value, 1) for value in values],
    }


def _middle(rows: list[dict[str, float]]) -> dict[str, float]:
    names = {name for row in rows for name in row}
    return {name: round(statistics.median(row[name] for row in rows if name in row), 1) for name in sorted(names)}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else KILLS)
