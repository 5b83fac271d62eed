"""`say TEXT`: a text turn, as if the visitor had typed it."""

from __future__ import annotations

import argparse

from pipeline.cli import running


def arguments(parser: argparse.ArgumentParser) -> None:
    """The text."""
    parser.add_argument("text", nargs="+", help="what the model is told")
    running.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Obey; 0, or 1 if there is nobody to tell."""
    if running.command(args, "say", text=" ".join(args.text)) is None:
        return running.FAILED
    print("said to the model")
    return 0
