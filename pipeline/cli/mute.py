"""`mute`."""

from __future__ import annotations

import argparse

from pipeline.cli import running


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    running.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Obey; 0, or 1 if there is nobody to tell."""
    reply = running.command(args, "mute", by=running.who())
    if reply is None:
        return running.FAILED
    print(f"muted{running.kept(reply)}: `voice-pipeline unmute` opens the microphone again")
    return 0
