"""Finding the running pipeline that a command means, and asking it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from pipeline import places
from pipeline.supervisor.client import NoAnswer, ask

FAILED = 1


class NotFound(Exception):
    """No pipeline, or more than one, fits the arguments; the text says what to type."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options by which a running pipeline is named."""
    parser.add_argument("--run", metavar="DIR", help="its run directory; without it, PIPELINE_RUN_DIR or the only one")
    parser.add_argument("--name", help="its name, where several run")


def find(args: argparse.Namespace) -> Path:
    """The run directory meant by `args`. Raises NotFound."""
    if given := args.run or os.environ.get("PIPELINE_RUN_DIR"):
        if places.holder(Path(given)) is None:
            raise NotFound(f"no pipeline runs in {given}; start one with `voice-pipeline run CONFIG`")
        return Path(given)
    running = places.find_runs()
    if args.name:
        running = [run for run in running if run.name == args.name]
    if not running:
        which = f"no pipeline called {args.name} runs" if args.name else "no pipeline runs"
        raise NotFound(f"{which}; start one with `voice-pipeline run CONFIG`")
    if len(running) > 1:
        names = ", ".join(f"{run.name} (pid {run.pid})" for run in running)
        raise NotFound(f"{len(running)} pipelines run: {names}; choose one with --name or --run")
    return running[0].run_dir


def command(args: argparse.Namespace, kind: str, **fields: Any) -> dict[str, Any] | None:
    """Ask the pipeline meant by `args`; None if it can't be or refuses, after saying why on stderr."""
    try:
        reply = ask(find(args), kind, **fields)
    except (NotFound, NoAnswer) as error:
        print(error, file=sys.stderr)
        return None
    if not reply.get("ok"):
        print(reply.get("error", "refused without a reason"), file=sys.stderr)
        return None
    if warning := reply.get("warning"):
        print(warning, file=sys.stderr)
    return reply
