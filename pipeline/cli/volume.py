"""`volume PERCENT`."""

from __future__ import annotations

import argparse

from pipeline.cli import running


def arguments(parser: argparse.ArgumentParser) -> None:
    """The loudness."""
    parser.add_argument("percent", type=int, help="0 (silent) to 100")
    running.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Obey; 0, or 1 if there is nobody to tell or the number is none."""
    if running.command(args, "volume", percent=args.percent) is None:
        return running.FAILED
    print(f"volume {args.percent}, also after a restart")
    return 0
