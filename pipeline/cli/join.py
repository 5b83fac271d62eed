"""`join STAGE --at tcp://… --server NAME --as NAME`: run one stage of another machine's pipeline on this one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline import exits


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `join` takes."""
    parser.add_argument("stage", metavar="STAGE", help="its name in the configuration over there")
    parser.add_argument("--at", required=True, metavar="ENDPOINT", help="curve.control over there: tcp://ADDRESS:PORT")
    parser.add_argument("--server", required=True, metavar="NAME", help="the machine over there, by its key")
    parser.add_argument("--as", required=True, dest="name", metavar="NAME", help="this machine, by its key")
    parser.add_argument("--keys", type=Path, default=Path("keys"), metavar="DIR", help="folder of keys; default: keys")
    where = "where relative file names and modules of your own are looked for; default: here"
    parser.add_argument("--folder", type=Path, default=Path(), metavar="DIR", help=where)


def run(args: argparse.Namespace) -> int:
    """0 when it was ended, 78 for unfit keys or a stage that is not for this machine."""
    from pipeline import log, places
    from pipeline.bus import curve
    from pipeline.stage.joining import Join, Refused, on_signals

    log.for_supervisor("info")
    keys = args.keys.resolve()
    try:
        server = curve.read_public(keys, args.server)
        join = Join(args.stage, args.at, keys / f"{args.name}{curve.SECRET}", server, args.folder.resolve())
        on_signals(join.leave)
        join.run()
    except (curve.Unfit, places.PlaceError, Refused) as error:
        print(error, file=sys.stderr)
        return exits.CONFIG
    return exits.OK
