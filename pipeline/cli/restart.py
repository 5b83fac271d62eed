"""`restart STAGE`."""

from __future__ import annotations

import argparse

from pipeline.cli import running


def arguments(parser: argparse.ArgumentParser) -> None:
    """The stage."""
    parser.add_argument("stage", help="its name in the configuration, as `status` prints it")
    running.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """0 once it is accepted; `status` shows the rest."""
    if running.command(args, "restart", stage=args.stage) is None:
        return running.FAILED
    print(f"{args.stage} is restarted: `voice-pipeline status` shows how it goes")
    return 0
