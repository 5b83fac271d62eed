"""`stop`: the ordered stop of the running pipeline, waited for."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from pipeline import places
from pipeline.cli import running

WAIT_S = 60.0
"""Every stage in turn has 2 s of grace; a pipeline with thirty that all use theirs up is the longest."""
LOOK_S = 0.05


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    running.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """0 once it has ended; 1 if there is none, or if it does not end."""
    args.run = running.find_run(args)
    if args.run is None or running.command(args, "stop") is None:
        return running.FAILED
    return _wait(args.run)


def _wait(run_dir: Path) -> int:
    end = time.monotonic() + WAIT_S
    while (pid := places.holder(run_dir)) is not None:
        if time.monotonic() > end:
            print(f"the pipeline of {run_dir} (pid {pid}) does not end; see its log", file=sys.stderr)
            return running.FAILED
        time.sleep(LOOK_S)
    print("stopped")
    return 0
