"""`devices`: microphones and speakers by the name that a configuration would use, with the rates that work."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import TYPE_CHECKING

from pipeline import exits

if TYPE_CHECKING:
    from pipeline.audio.devicelist import Listed
    from pipeline.audio.soundserver import Kind

KINDS: tuple[Kind, ...] = ("microphone", "speaker")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")


def run(args: argparse.Namespace) -> int:
    """Print the table; what is missing goes before it, to stderr, with the remedy. 69 and no table where both are."""
    from pipeline.audio.devicefind import find
    from pipeline.audio.devicelist import listed  # opens the sound card's library: for this command alone

    found = [device for kind in KINDS for device in listed(kind)]
    missing = [kind for kind in KINDS if not any(device.kind == kind for device in found)]
    for kind in missing:
        why = find(kind, "auto")
        print(why if isinstance(why, str) else f"no {kind}", file=sys.stderr)
    if args.json:
        print(json.dumps({"devices": [dataclasses.asdict(device) for device in found]}))
    elif found:
        for line in _table(found):
            print(line)
    return exits.OK if found else exits.WORLD


def _table(found: list[Listed]) -> list[str]:
    rows = [("", "NAME", "CHANNELS", "RATES (Hz)", "DESCRIPTION")]
    for device in found:
        mark = "*" if device.default else ""
        rates = " ".join(str(rate) for rate in device.rates) or "none"
        rows.append((f"{device.kind} {mark}".rstrip(), device.name, str(device.channels), rates, device.description))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, "* what `device: auto` means; a part of a name is enough"]
