"""`swap STAGE --use module:Class | --command PROGRAM …`: another recipe for a stage, while the conversation goes on."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from pipeline import exits
from pipeline.cli import running


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("stage", metavar="STAGE", help="its name, as `status` prints it")
    recipe = parser.add_mutually_exclusive_group()
    recipe.add_argument("--use", metavar="MODULE", help="module:Class, or the short name of a stage that ships")
    recipe.add_argument("--command", nargs="+", metavar="WORD", dest="program", help="a program and its arguments")
    option_help = "an option of the new one: db=9"
    parser.add_argument("--option", action="append", default=[], metavar="K=V", help=option_help)
    running.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """0 once it has proven itself; 1 if the old one is back; 78 if the new one can't be."""
    from pipeline.cli import changing  # reads configurations: not needed to say what the arguments are

    run_dir = running.find_run(args)
    if run_dir is None:
        return running.FAILED
    place = f"stages.{args.stage}"
    sets = [f"{place}.use={json.dumps(args.use)}"] if args.use else []
    sets += [f"{place}.command={json.dumps(args.program)}"] if args.program else []
    sets += [f"{place}.{option}" for option in args.option]
    if not sets:
        print("nothing to change: expected --use, --command or --option", file=sys.stderr)
        return running.FAILED
    status = running.command(args, "status")
    if status is None:
        return running.FAILED
    if args.stage not in status["stages"]:
        print(f"no stage is called {args.stage!r}: the stages are {', '.join(status['stages'])}", file=sys.stderr)
        return running.FAILED
    pipeline = changing.configuration(run_dir, sets)
    if pipeline is None:
        return exits.CONFIG
    if running.command(args, "swap", table=asdict(pipeline.stage(args.stage))) is None:
        return running.FAILED
    said = changing.outcome(run_dir, args.stage)
    print(f"{args.stage}: {said or 'not done yet; see `voice-pipeline status`'}")
    if said != "done":
        return running.FAILED
    print("until the pipeline is started anew; to keep it, write it into the configuration", file=sys.stderr)
    return 0
