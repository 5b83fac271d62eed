"""`doctor [CONFIG]`: what would stop this machine from talking, each with its remedy."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import exits
from pipeline.cli import running

if TYPE_CHECKING:
    from pipeline.doctor.findings import Finding

MARKS = {"ok": "ok  ", "warning": "WARN", "bad": "BAD ", "skipped": "-   "}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("config", nargs="?", default="kiosk.yaml", metavar="CONFIG", help="default: kiosk.yaml")
    parser.add_argument("--loud", action="store_true", help="play a tone and listen for it")
    parser.add_argument("--offline", action="store_true", help="ask nothing of the network")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    running.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """0: nothing stops it (warnings may be there); 1: something does; 78: the configuration itself."""
    from pipeline.doctor import findings

    found = examine(args)
    grade = findings.worst(found)
    if args.json:
        print(json.dumps({"verdict": grade, "findings": [one.as_json() for one in found]}, ensure_ascii=False))
    else:
        wide = max(len(one.what) for one in found)
        for one in found:
            remedy = f"; {one.remedy}" if one.remedy else ""
            print(f"{MARKS[one.grade]}  {one.what:<{wide}}  {one.words}{remedy}")
    if any(one.what == "configuration" and one.grade == "bad" for one in found):
        return exits.CONFIG
    return exits.CRASH if grade == "bad" else exits.OK


def examine(args: argparse.Namespace) -> list[Finding]:
    """Everything, the quickest first."""
    from pipeline.doctor import network, places, sound
    from pipeline.doctor import running as watched
    from pipeline.live import service

    found, options, name = _configuration(args.config)
    if name:
        found += places.check(name)
    found.append(_key(options.get("session", {})))
    if not args.offline and service.has_key(os.environ):
        url = (
            os.environ.get("GOOGLE_GEMINI_BASE_URL") or f"https://{service.target('gemini', os.environ, Path()).where}"
        )
        found += network.check(url, os.environ)
    status = _running(args)
    if status is not None:
        return found + watched.check(Path(status["pipeline"]["run_dir"]), status)
    devices = [options.get(stage, {}).get("device", "auto") for stage in ("capture", "playback")]
    return found + sound.check(str(devices[0]), str(devices[1]), loud=args.loud)


def _configuration(config: str) -> tuple[list[Finding], dict[str, dict[str, Any]], str]:
    from pipeline.config import ConfigErrors, load
    from pipeline.doctor.findings import Finding

    try:
        pipeline = load(config)
    except ConfigErrors as errors:
        return [Finding("configuration", "bad", str(error)) for error in errors.errors], {}, ""
    options = {stage.name: dict(stage.options) for stage in pipeline.stages}
    if any(s.path == ("stages", "session", "service") and s.origin.startswith("auto") for s in pipeline.settings):
        options["session"].pop("service", None)  # nobody asked for the simulator
    return [Finding("configuration", "ok", f"{config}: {', '.join(options)}")], options, pipeline.name


def _key(session: dict[str, Any]) -> Finding:
    from pipeline.doctor.findings import Finding
    from pipeline.live import service

    if session.get("service") == "simulator":
        return Finding("key", "skipped", "the simulator needs none")
    if service.has_key(os.environ):
        return Finding("key", "ok", "set; `voice-pipeline verify-service` tries it")
    return Finding("key", "warning", f"{service.NO_KEY}: the simulator will answer", "set one of them for Gemini")


def _running(args: argparse.Namespace) -> dict[str, Any] | None:
    from pipeline.supervisor.client import NoAnswer, ask

    try:
        return ask(running.find(args), "status")
    except running.NotFound:
        return None
    except NoAnswer as error:
        print(error, file=sys.stderr)
        return None
