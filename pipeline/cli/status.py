"""`status`: how the running pipeline is."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from pipeline.cli import running

COLOURS = {"live": "32", "ended": "32", "muted": "33", "waiting": "33", "degraded": "33", "failed": "31"}
"""ANSI, by state; a state not named here is passing by."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--watch", action="store_true", help="a screen that is drawn anew; plain lines when piped")
    running.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """0 while a pipeline runs, however it is; 1 if none does, or if it does not answer."""
    if args.watch:
        from pipeline.cli import watch

        run_dir = running.find_run(args)
        return running.FAILED if run_dir is None else watch.watch(run_dir)
    reply = running.command(args, "status")
    if reply is None:
        return running.FAILED
    status = {key: value for key, value in reply.items() if key not in ("v", "ok")}
    if args.json:
        print(json.dumps(status, ensure_ascii=False))
    else:
        print("\n".join(table(status, colour=sys.stdout.isatty())))
    return 0


def table(status: dict[str, Any], *, colour: bool) -> list[str]:
    """The lines for a person."""
    whole, stages = status["pipeline"], status["stages"]
    lines = [verdict_line(status, colour=colour)]
    state = _paint(whole["state"], whole["state"], colour)
    lines.append(f"  {state}, for {running.duration(whole['uptime_s'])}, pid {whole['pid']}")
    if whole["reason"]:
        lines.append(f"  {whole['reason']}")
    wide = max((len(name) for name in stages), default=0)
    for name, stage in stages.items():
        state = _paint(stage["state"], f"{stage['state']:<10}", colour)
        pid = stage["pid"] if stage["pid"] is not None else "-"
        again = f", restarted {stage['restarts']}x" if stage["restarts"] else ""
        reason = f": {stage['reason']}" if stage["reason"] else ""
        lines.append(f"  {name:<{wide}}  {state}  pid {pid}{again}{reason}")
    return lines


def verdict_line(status: dict[str, Any], *, colour: bool) -> str:
    """The one line: name, verdict, since when, when it last heard and answered, remedy."""
    whole, verdict = status["pipeline"], status.get("verdict")
    if verdict is None:  # a supervisor of an older version
        return f"{whole['name']}: {whole['state']}"
    words = str(verdict["words"])
    words = _paint(_state_of(verdict["code"]), words, colour)
    line = f"{whole['name']}: {words}, for {running.duration(verdict['for_s'])}"
    for what in ("heard", "answered"):
        if verdict[f"{what}_s"] is not None:
            line += f"; last {what} {running.duration(verdict[f'{what}_s'])} ago"
    return f"{line}; {verdict['remedy']}" if verdict["remedy"] else line


def _state_of(code: str) -> str:
    return {"ok": "live", "muted": "muted", "simulator": "degraded", "waiting_for_trigger": "waiting"}.get(
        code, "failed"
    )


def _paint(state: str, text: str, colour: bool) -> str:
    return f"\033[{COLOURS.get(state, '36')}m{text}\033[0m" if colour else text
