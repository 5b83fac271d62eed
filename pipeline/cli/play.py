"""`play PROMPT`: one of playback's own sounds, now."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline.bus.listener import Listener
from pipeline.cli import running

JOIN_S = 1.0
ANSWER_S = 1.0
"""Playback says within a turn of its loop whether it knows a sound; one that it knows may wait for an answer's end."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The prompt."""
    parser.add_argument("prompt", help="a name: awake, done, error, offline, goodbye, …, or one of your own folder")
    running.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Obey; 0, or 1 if there is nobody to tell or no such sound."""
    run_dir = running.find_run(args)
    if run_dir is None:
        return running.FAILED
    listener = _listener(run_dir)
    try:
        if running.command(args, "play", prompt=args.prompt) is None:
            return running.FAILED
        return _answer(listener, args.prompt)
    finally:
        listener.close()


def _listener(run_dir: Path) -> Listener:
    """One that playback has let in: its state is told to whoever comes."""
    listener = Listener(lambda: run_dir, ["event.state", "event.prompt", "event.no_prompt"])
    for message in listener.heard(JOIN_S):
        if message.topic == "event.state" and message.fields["src"] == "playback":
            break
    return listener


def _answer(listener: Listener, prompt: str) -> int:
    for message in listener.heard(ANSWER_S):
        body = message.fields.get("body")
        if not isinstance(body, dict) or body.get("name") != prompt:
            continue
        if message.topic == "event.no_prompt":
            print(f"no sound is called {prompt!r}: there are {', '.join(body.get('there_is', []))}", file=sys.stderr)
            return running.FAILED
        if body.get("on"):
            print(f"{prompt} sounds")
            return 0
    print(f"{prompt}: playback is asked for it; it does not sound over an answer")
    return 0
