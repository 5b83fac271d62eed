"""What `swap` and `reload` share: the configuration of a running pipeline, validated here, in its own environment."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline import places
from pipeline.cli.run import with_screen
from pipeline.config import ConfigErrors, Pipeline, load
from pipeline.pids import environ_of
from pipeline.supervisor.client import NoAnswer, ask

WAIT_S = 90.0
"""For a gap in the conversation, a slow import, the trial."""
SETTLED = ("done", "taken back", "given up")
GONE_S = 5.0
"""A pipeline that somebody starts again after it was killed is back by then."""


def configuration(run_dir: Path, sets: Sequence[str] = ()) -> Pipeline | None:
    """The pipeline as its file is now, `sets` laid over it. None after saying on stderr what is wrong with it.

    Read with the environment that the pipeline was started in: its keys decide what `service: auto` means.
    """
    file = places.connection_file(run_dir)
    try:
        connection = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        remedy = "make room there; the pipeline writes it anew as soon as a stage changes"
        print(f"{file}: expected what the pipeline was started with: {error}; {remedy}", file=sys.stderr)
        return None
    words = (os.fsdecode(word) for word in environ_of(int(connection["pid"])))
    environ = dict(word.split("=", 1) for word in words if "=" in word) or dict(os.environ)
    try:
        return with_screen(load(connection["config"], [*connection["sets"], *sets], environ))
    except ConfigErrors as error:
        for line in str(error).splitlines():  # what was typed here was no `--set`
            print(line.removeprefix("--set: "), file=sys.stderr)
        return None


def outcome(run_dir: Path, name: str) -> str:
    """What a swap came to, as soon as it is known; empty if that took too long."""
    process, until = places.holder(run_dir), time.monotonic() + WAIT_S
    held = time.monotonic()
    while time.monotonic() < until:
        now, holder = time.monotonic(), places.holder(run_dir)
        held = held if holder is None else now
        if holder not in (None, 0, process):
            return "taken back: the pipeline was started anew meanwhile, as its configuration says"
        if now - held > GONE_S:
            return "taken back: the pipeline has ended, and its configuration does not know of it"
        try:
            said = str(ask(run_dir, "status")["stages"].get(name, {}).get("swap", ""))
        except (NoAnswer, KeyError):
            said = ""
        if said.startswith(SETTLED):
            return said
        time.sleep(0.1)  # between looks at another process
    return ""
