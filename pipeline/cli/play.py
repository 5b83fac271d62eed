"""`play PROMPT`: one of playback's own sounds, now."""

from __future__ import annotations

import argparse

from pipeline.cli import running


def arguments(parser: argparse.ArgumentParser) -> None:
    """The prompt."""
    parser.add_argument("prompt", help="a name: awake, done, error, offline, goodbye, …, or one of your own folder")
    running.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Obey; 0, or 1 if there is nobody to tell. Playback alone knows which sounds there are; it logs an unknown one."""
    if running.command(args, "play", prompt=args.prompt) is None:
        return running.FAILED
    print(f"{args.prompt}: playback is asked for it; the log says if it knows no such sound")
    return 0
