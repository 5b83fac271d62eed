"""Finding the running pipeline that a command means, and asking it."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pwd
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import places
from pipeline.supervisor.client import NoAnswer, ask

FAILED = 1
START = "start one with `voice-pipeline run CONFIG`"
NICE = 10
"""Of those who only look on."""


class NotFound(Exception):
    """No pipeline, or more than one, fits the arguments; the text says what to type."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options by which a running pipeline is named."""
    where = "its run directory; without it, PIPELINE_RUN_DIR or the only one"
    parser.add_argument("--run", type=Path, metavar="DIR", help=where)
    parser.add_argument("--name", help="its name, where several run")


def look_on() -> None:
    """Have this process take a core only when no stage wants one: twenty taps wake up with each block of sound."""
    os.nice(NICE)
    if hasattr(os, "SCHED_BATCH"):  # one that is woken does not push aside who works
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def find(args: argparse.Namespace) -> Path:
    """The run directory meant by `args`. Raises NotFound."""
    given: Path | None = args.run or (Path(named) if (named := os.environ.get("PIPELINE_RUN_DIR")) else None)
    if given is not None:
        if places.holder(given) is None:
            raise NotFound(past([given]) or f"no pipeline runs in {given}; {START}")
        return given
    running = places.find_runs()
    if args.name:
        running = [run for run in running if run.name == args.name]
    if not running:
        which = f"no pipeline called {args.name} runs" if args.name else "no pipeline runs"
        if others := of_others():
            raise NotFound(f"{which}; {others}")
        raise NotFound(past(places.find_past_runs(), args.name) or f"{which}; {START}")
    if len(running) > 1:
        names = ", ".join(f"{run.name} (pid {run.pid})" for run in running)
        raise NotFound(f"{len(running)} pipelines run: {names}; choose one with --name or --run")
    return running[0].run_dir


def find_run(args: argparse.Namespace) -> Path | None:
    """As `find`, but says on stderr why there is none."""
    try:
        return find(args)
    except NotFound as error:
        print(error, file=sys.stderr)
        return None


def past(run_dirs: Sequence[Path], name: str | None = None) -> str:
    """How the last pipeline that ran (of that name) ended, when, and what to do; empty if none is known of."""
    found: list[tuple[float, str]] = []
    for run_dir in run_dirs:
        for file in (places.connection_file(run_dir), places.end_file(run_dir)):
            try:
                left, at = json.loads(file.read_text()), file.stat().st_mtime
                called, verdict, config = str(left["name"]), str(left["verdict"]), str(left["config"])
            except (OSError, ValueError, KeyError, TypeError):
                continue
            killed = file == places.connection_file(run_dir)  # else it is gone
            how = f"it was killed, or the machine; its last state: {verdict}" if killed else verdict
            words = f"{called} does not run, for {duration(max(0.0, time.time() - at))}: {how}"
            if name is None or name == called:
                found.append((at, f"{words}; voice-pipeline run {config}"))
    return max(found)[1] if found else ""


def last_words(run_dir: Path) -> str:
    """The verdict that a pipeline wrote last, and when; empty where it wrote none."""
    try:
        file = places.connection_file(run_dir)
        verdict, age_s = json.loads(file.read_text())["verdict"], time.time() - file.stat().st_mtime
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f"its last written state, {max(0.0, age_s):.0f} s ago: {verdict}" if verdict else ""


def of_others() -> str:
    """Whose pipelines run here besides ours, and how to ask them; empty if nobody's."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            uid = folder.stat().st_uid
        except OSError:
            continue
        named = any(word.endswith(b"voice-pipeline") for word in words[:3]) or words[1:3] == [b"-m", b"pipeline"]
        if uid != os.geteuid() and named and b"run" in words:
            found[uid] = int(folder.name)
    names = {uid: _account(uid) for uid in found}
    return "; ".join(
        f"{names[uid]} runs one (pid {pid}): sudo -u {names[uid]} voice-pipeline status" for uid, pid in found.items()
    )


def duration(seconds: float) -> str:
    """In the two largest units that matter."""
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {int(seconds) % 60} s" if minutes else f"{int(seconds)} s"


def who() -> str:
    """Who types this, for those who find the machine muted."""
    user = os.environ.get("SUDO_USER") or _account(os.getuid())
    return f"command ({user})"


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def wait_for(args: argparse.Namespace) -> Callable[[], Path | None]:
    """A look for the pipeline meant by `args`, to be repeated: None while there is none, said once on stderr."""
    said = ""

    def look() -> Path | None:
        nonlocal said
        try:
            run_dir = find(args)
        except NotFound as error:
            words = "".join(letter for letter in str(error) if not letter.isdigit())  # for how long is no other word
            if words != said:
                said = words
                print(f"waiting: {error}", file=sys.stderr)
            return None
        said = ""
        return run_dir

    return look


def kept(reply: Mapping[str, Any]) -> str:
    """What a setting outlasts, to be put behind it; nothing where `command` has just said why it lasts no longer."""
    return "" if "warning" in reply else ", also after a restart"


def command(args: argparse.Namespace, kind: str, **fields: Any) -> dict[str, Any] | None:
    """Ask the pipeline meant by `args`; None if it can't be or refuses, after saying why on stderr."""
    run_dir = find_run(args)
    if run_dir is None:
        return None
    try:
        reply = ask(run_dir, kind, **fields)
    except NoAnswer as error:
        print(error, file=sys.stderr)
        if last := last_words(run_dir):
            print(last, file=sys.stderr)
        return None
    if not reply.get("ok"):
        print(reply.get("error", "refused without a reason"), file=sys.stderr)
        return None
    if warning := reply.get("warning"):
        print(warning, file=sys.stderr)
    return reply
