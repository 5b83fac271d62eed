"""`kill -9` of each stage, and how soon good frames pass again; the floor: a bare interpreter, killed and replaced."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time

from scripts import bench_kills
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.rooms import Room

P95_MS = 400.0


def run(room: Room) -> list[Figure]:
    """40 kills a stage in the full mode."""
    floor = [_bare() for _ in range(40)]
    with contextlib.redirect_stdout(sys.stderr):
        found = bench_kills.main(room.times(bench_kills.KILLS, 15, 2))
    return [
        Figure(f"kill -9 of {stage} to a good frame", "ms", took["ms"], floor, p50=took["goal_p50_ms"], p95=P95_MS)
        for stage, took in found["kills"].items()
    ]


def _bare() -> float:
    """ms from the death of an interpreter that does nothing to the first word of its successor."""
    argv = [sys.executable, "-I", "-S", "-E", "-c", "print(flush=True); input()"]
    first = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    _word(first)
    began = time.monotonic()
    first.kill()
    first.wait()
    second = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    _word(second)
    took = (time.monotonic() - began) * 1000
    second.kill()
    for process in (first, second):
        process.communicate()
    return took


def _word(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    process.stdout.readline()
