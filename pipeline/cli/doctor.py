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
    from pipeline.config import Pipeline
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

    found, pipeline = _configuration(args.config)
    options = _options(pipeline)
    if pipeline is not None:
        found += places.check(pipeline.name)
    found.append(_key(options.get("session", {}), pipeline))
    if not args.offline and service.has_key(os.environ):
        url = (
            os.environ.get("GOOGLE_GEMINI_BASE_URL") or f"https://{service.target('gemini', os.environ, Path()).where}"
        )
        found += network.check(url, os.environ)
    status = _running(args)
    if status is not None:
        return found + watched.check(Path(status["pipeline"]["run_dir"]), status)
    microphone, speaker = (_device(pipeline, stage) for stage in ("capture", "playback"))
    return found + sound.check(microphone, speaker, loud=args.loud) + _not_needed(microphone, speaker)


def _device(pipeline: Pipeline | None, place: str) -> str | None:
    """What the stage in this place opens; None if it opens nothing here. Without a configuration: what is there."""
    if pipeline is None:
        return "auto"
    table = next((stage for stage in pipeline.stages if stage.name == place), None)
    if table is None or table.remote or not (table.use or "").startswith(f"pipeline.stages.{place}:"):
        return None
    return str(table.options.get("device", "auto"))


def _not_needed(microphone: str | None, speaker: str | None) -> list[Finding]:
    from pipeline.doctor.findings import Finding

    places = {"microphone": microphone, "speaker": speaker}
    words = "this configuration opens none on this machine"
    return [Finding(what, "skipped", words) for what, device in places.items() if device is None]


def _configuration(config: str) -> tuple[list[Finding], Pipeline | None]:
    from pipeline.config import ConfigErrors, load
    from pipeline.doctor.findings import Finding

    try:
        pipeline = load(config)
    except ConfigErrors as errors:
        return [Finding("configuration", "bad", str(error)) for error in errors.errors], None
    names = ", ".join(stage.name for stage in pipeline.stages)
    return [Finding("configuration", "ok", f"{config}: {names}")], pipeline


def _options(pipeline: Pipeline | None) -> dict[str, dict[str, Any]]:
    """Of each stage."""
    if pipeline is None:
        return {}
    options = {stage.name: dict(stage.options) for stage in pipeline.stages}
    if any(s.path == ("stages", "session", "service") and s.origin.startswith("auto") for s in pipeline.settings):
        options["session"].pop("service", None)  # nobody asked for the simulator
    return options


def _key(session: dict[str, Any], pipeline: Pipeline | None) -> Finding:
    from pipeline.doctor.findings import Finding
    from pipeline.live import service

    if session.get("service") == "simulator":
        return Finding("key", "skipped", "the simulator needs none")
    for option in ("key_file", "token_file"):
        if (named := session.get(option)) and pipeline is not None:
            return _key_file(option, pipeline.config_dir / str(named))
    if service.has_key(os.environ):
        return Finding("key", "ok", "set; `voice-pipeline verify-service` tries it")
    return Finding("key", "warning", f"{service.NO_KEY}: the simulator will answer", "set one of them for Gemini")


def _key_file(option: str, path: Path) -> Finding:
    from pipeline.doctor.findings import Finding

    try:
        empty = not path.read_text("utf-8", "replace").strip()
    except OSError as error:
        return Finding(
            "key", "bad", f"{option}: {path}: {error.strerror}", "write the key there, readable by this user"
        )
    if empty:
        return Finding("key", "bad", f"{option}: {path} is empty", "write the key there, in one line")
    return Finding("key", "ok", f"in {path}; `voice-pipeline verify-service` tries it")


def _running(args: argparse.Namespace) -> dict[str, Any] | None:
    from pipeline.supervisor.client import NoAnswer, ask

    try:
        return ask(running.find(args), "status")
    except running.NotFound:
        return None
    except NoAnswer as error:
        print(error, file=sys.stderr)
        return None
