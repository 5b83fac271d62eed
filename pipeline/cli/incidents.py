"""`incidents`: what went wrong, with cause, duration and cost; also of a machine that does not run any more."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from pipeline import exits, places
from pipeline.cli import running
from pipeline.supervisor.incidents import Journal, key


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--last", type=int, default=50, metavar="N", help="the newest N (default 50)")
    running.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """0; 1 if nobody knows which pipeline is meant."""
    name = args.name
    under_way: list[dict[str, Any]] = []
    if name is None:
        run_dir = running.find_run(args)
        if run_dir is None:
            print("or name the one that ran: incidents --name NAME", file=sys.stderr)
            return exits.CRASH
        name = next((found.name for found in places.find_runs() if found.run_dir == run_dir), run_dir.name)
        reply = running.command(args, "status")
        under_way = list(reply.get("incidents", [])) if reply else []
    going_on = {key(record): record for record in under_way}
    records = {key(record): record for record in _kept(name)} | going_on
    dated = sorted(records.items(), key=lambda each: float(each[1].get("at", 0)))
    for which, record in dated[-args.last :]:
        print(json.dumps(record, ensure_ascii=False) if args.json else line(record, over=which not in going_on))
    if not records:
        print(f"no incident of {name} is known", file=sys.stderr)
    return exits.OK


def _kept(name: str) -> list[dict[str, Any]]:
    for folder in places.state_directories(name):
        journal = Journal(Path(folder) / "incidents.jsonl")
        if records := journal.read():
            return records
    return []


def line(record: dict[str, Any], *, over: bool = False) -> str:
    """For a person. `over`: of the journal, where one without an end lasted as long as the pipeline ran."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(record.get("at", 0))))
    seconds = record.get("seconds")
    length = f"{seconds:.1f} s" if isinstance(seconds, int | float) else "till stop" if over else "goes on"
    answered = {True: "answered", False: "NOT ANSWERED", None: "nobody spoke"}.get(record.get("answered"), "")
    lost = f", {record['lost_ms']} ms lost" if record.get("lost_ms") else ""
    return f"{when}  {record.get('what', ''):<10}  {length:>8}  {answered}{lost}: {record.get('cause', '')}"
