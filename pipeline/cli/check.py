"""`check CONFIG`: validates a configuration without key or sound card."""

from __future__ import annotations

import argparse
import sys

from pipeline import exits, proxies


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `check` takes."""
    parser.add_argument("config", metavar="CONFIG", help="a path, or a name in configs/")
    parser.add_argument(
        "--set", action="append", default=[], metavar="K=V", dest="sets", help="such as stages.capture.device=Jabra"
    )
    parser.add_argument("--resolved", action="store_true", help="show every value and where it comes from")


def run(args: argparse.Namespace) -> int:
    """0, or 78 with a line on stderr for each thing that is wrong."""
    from pipeline.config.errors import ConfigErrors
    from pipeline.config.loading import load
    from pipeline.config.rehearsal import rehearse
    from pipeline.config.settings import resolved

    try:
        pipeline = load(args.config, args.sets)
        rehearse(pipeline)
    except ConfigErrors as error:
        print(error, file=sys.stderr)
        return exits.CONFIG
    wrong = proxies.unfit() if any(table.name == "session" for table in pipeline.stages) else None
    if wrong is not None:
        print("; ".join(wrong), file=sys.stderr)
        return exits.CONFIG
    for warning in pipeline.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if args.resolved:
        for line in resolved(pipeline.settings):
            print(line)
    else:
        print(f"{args.config}: ok: {pipeline.name}: {', '.join(table.name for table in pipeline.stages)}")
    return exits.OK
