"""`replay TAPE --as STAGE [CONFIG]`: a recording in the place of one stage, against the simulator by default."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pipeline import exits
from pipeline.bus.tape import Tape, TapeError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("tape", type=Path, metavar="TAPE")
    parser.add_argument("config", nargs="?", default="demo.yaml", metavar="CONFIG", help="default: demo.yaml")
    parser.add_argument("--as", dest="stage", required=True, metavar="STAGE", help="whose place it takes: capture")
    parser.add_argument("--source", metavar="NAME", help="whose messages of the tape; default: those of STAGE")
    parser.add_argument("--speed", type=float, default=1.0, help="of the recording (default 1)")
    parser.add_argument("--set", action="append", default=[], metavar="K=V", dest="sets", help="as of `run`")


def run(args: argparse.Namespace) -> int:
    """As `run`; 1 where the tape can't be used."""
    source = args.source or args.stage
    if not args.speed > 0:
        print(f"--speed {args.speed:g}: expected a number above 0; 1 is the recording's own", file=sys.stderr)
        return exits.CRASH
    try:
        streams, others, sounds = said_by(Tape(args.tape), source)
    except TapeError as error:
        print(error, file=sys.stderr)
        return exits.CRASH
    if not streams:
        there = f"on it are {', '.join(sorted(others))}" if others else "it is empty"
        print(f"{args.tape}: nothing of {source!r} that sounds; {there}: name one by --source", file=sys.stderr)
        return exits.CRASH
    if not sounds:
        print(f"{args.tape}: no sound on this tape: record with --privacy everything to keep it", file=sys.stderr)
        return exits.CRASH
    from pipeline.cli import run as run_command

    place = f"stages.{args.stage}"
    sets = [
        f"{place}.use=pipeline.stages.replay",
        f"{place}.emits={json.dumps(streams)}",
        f"{place}.tape={json.dumps(str(args.tape.resolve()))}",
        f"{place}.source={json.dumps(source)}",
        f"{place}.speed={args.speed}",
    ]
    args.sets = [*sets, *args.sets]
    return run_command.run(args)


def said_by(tape: Tape, source: str) -> tuple[list[str], set[str], bool]:
    """The streams of audio that `source` produced, everybody who did, and whether its sound was kept. A torn tape
    counts up to its damage.
    """
    streams: set[str] = set()
    sounds = False
    others: set[str] = set()
    try:
        for entry in tape.entries():
            if entry.topic.startswith("audio."):
                others.add(src := str(entry.fields.get("src")))
                if src == source:
                    streams.add(entry.topic.removeprefix("audio."))
                    sounds = sounds or bool(entry.fields.get("pcm"))
    except TapeError as error:
        print(f"{error}; what stands before is replayed", file=sys.stderr)
    return sorted(streams), others, sounds
