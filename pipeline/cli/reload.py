"""`reload`: take up the configuration file as it is now. What did not change is left alone."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from pipeline import exits
from pipeline.cli import running


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    running.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """0: done; 1: a stage went back to what it was, or nobody answers; 78: the file can't be used."""
    from pipeline.cli import changing  # reads configurations: not needed to say what the arguments are

    run_dir = running.find_run(args)
    if run_dir is None:
        return running.FAILED
    pipeline = changing.configuration(run_dir)
    if pipeline is None:
        return exits.CONFIG
    tables = [asdict(stage) for stage in pipeline.stages]
    reply = running.command(args, "reload", tables=tables, machine=pipeline.machine())
    if reply is None:
        return running.FAILED
    for what in ("removed", "added"):
        if reply[what]:
            print(f"{what}: {', '.join(reply[what])}")
    said = {name: changing.outcome(run_dir, name) for name in reply["changed"]}
    for name, outcome in said.items():
        print(f"{name}: {outcome or 'not done yet; see `voice-pipeline status`'}")
    if not any(reply[what] for what in ("removed", "added", "changed")):
        print("no stage has changed")
    if later := ", ".join(reply["later"]):
        print(f"{later}: changed in the file, taken up when the whole pipeline is started again")
    return 0 if all(outcome == "done" for outcome in said.values()) else running.FAILED
