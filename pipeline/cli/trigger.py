"""`trigger`: a button, a door or a script says that somebody wants to be listened to."""

from __future__ import annotations

import argparse

from pipeline.cli import running


def arguments(parser: argparse.ArgumentParser) -> None:
    """Who says it."""
    parser.add_argument("--by", default="command", help="who triggers, for the log: `button`, `door`")
    running.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Obey; 0, or 1 if there is nobody to tell."""
    if running.command(args, "trigger", by=args.by) is None:
        return running.FAILED
    print("triggered: the line is open to whoever speaks now")
    return 0
