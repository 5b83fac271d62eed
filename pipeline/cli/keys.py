"""`keys new NAME [--in DIR]` and `keys show [--in DIR]`: the key pairs by which machines know each other."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline import exits

PRIVATE = 0o077


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `keys` takes."""
    parser.add_argument("do", choices=("new", "show"), help="make a pair; list the public keys that are there")
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the machine, such as booth or hall")
    parser.add_argument("--in", type=Path, dest="folder", metavar="DIR", default=Path("keys"), help="default: keys")


def run(args: argparse.Namespace) -> int:
    """0, or 78 with the reason. What is secret is never printed."""
    from pipeline.bus import curve
    from pipeline.bus.libzmq import new_pair

    folder: Path = args.folder
    try:
        if args.do == "show":
            return show(folder, args.name)
        if args.name is None:
            print("keys new: expected the name of this machine, such as `keys new hall`", file=sys.stderr)
            return exits.CONFIG
        pair = new_pair()
        curve.make_pair(folder, args.name, pair)
    except curve.Unfit as error:
        print(error, file=sys.stderr)
        return exits.CONFIG
    print(f"{args.name}  {pair.public}")
    print(f"{folder / args.name}{curve.SECRET} stays on this machine; copy {args.name}{curve.PUBLIC} to the others")
    return exits.OK


def show(folder: Path, name: str | None) -> int:
    """Name, public key, and whether the secret half is here too."""
    from pipeline.bus import curve

    names = [name] if name else sorted(path.stem for path in folder.glob(f"*{curve.PUBLIC}"))
    for each in names:
        secret = folder / f"{each}{curve.SECRET}"
        whose = "of this machine" if secret.exists() else "of another machine"
        if secret.exists() and secret.stat().st_mode & PRIVATE:
            whose += f", OPEN TO OTHERS: chmod 600 {secret}"
        print(f"{each}  {curve.read_public(folder, each)}  {whose}")
    if not names:
        print(f"no keys in {folder}: make a pair with `voice-pipeline keys new NAME`", file=sys.stderr)
    return exits.OK if names else exits.CRASH
