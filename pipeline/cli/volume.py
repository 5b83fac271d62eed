"""`volume PERCENT`."""

from __future__ import annotations

import argparse
import sys

from pipeline.cli import running


def arguments(parser: argparse.ArgumentParser) -> None:
    """The loudness."""
    parser.add_argument("percent", help="0 (silent) to 100")
    running.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Obey; 0, or 1 if there is nobody to tell or the number is none."""
    digits = args.percent.removesuffix("%").strip()
    if not (digits.isascii() and digits.isdigit() and int(digits) <= 100):
        print(f"expected a volume of 0 to 100 percent, got {args.percent!r}", file=sys.stderr)
        return running.FAILED
    reply = running.command(args, "volume", percent=int(digits))
    if reply is None:
        return running.FAILED
    print(f"volume {digits}{running.kept(reply)}")
    return 0
