"""`verify-service`: tries on the real service what this package believes of it, entry by entry of ASSUMPTIONS.md."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.exits import CONFIG, CRASH, OK, WORLD

if TYPE_CHECKING:
    from pipeline.live.service import Target
    from pipeline.live.trials import Bench, Trial

USAGE = """\
Takes about a minute and about a cent. What it cannot try (limits of ten minutes and more, quotas) is in
pipeline/live/ASSUMPTIONS.md, with the setting that changes our mind.
Exit code: 0 all holds, 1 something does not, 69 the service cannot be reached, 78 no key.
"""
QUESTION = "What would you like to know?"
"""Said to the service; recorded in the package."""
TRIAL_S = 45.0
WITHOUT_SERVICE = ("key", "configuration", "model")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = USAGE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--service", choices=("gemini", "vertex", "simulator"), default="gemini", help="default: gemini"
    )
    parser.add_argument("--model", default="gemini-3.8-live", metavar="NAME", help="default: gemini-3.8-live")
    parser.add_argument("--only", action="append", metavar="TRIAL", help="this one alone; may be given again")
    parser.add_argument("--script", type=Path, metavar="FILE", help="what the simulator does, with --service simulator")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Try, print, and return the exit code of USAGE."""
    from pipeline.live.failures import LineFailed
    from pipeline.live.trials import TRIALS
    from pipeline.simulator import ScriptError

    unknown = [name for name in args.only or () if name not in TRIALS]
    if unknown:
        print(f"verify-service: --only {unknown[0]}: expected one of {', '.join(TRIALS)}", file=sys.stderr)
        return 2
    try:
        return asyncio.run(_verify(args))
    except ScriptError as error:
        print(f"verify-service: {error}", file=sys.stderr)
        return CONFIG
    except LineFailed as failed:
        print(f"verify-service: {failed.failure}", file=sys.stderr)
        return CONFIG if failed.failure.kind in WITHOUT_SERVICE else WORLD


async def _verify(args: argparse.Namespace) -> int:
    from pipeline.live.trials import TRIALS, Bench

    chosen = {name: trial for name, trial in TRIALS.items() if not args.only or name in args.only}
    found: dict[str, dict[str, object]] = {}
    async with _service(args) as target:
        bench = Bench(target, args.model, _voice())
        async with bench.talk():
            pass  # not let in at all: one word about that instead of one each
        begun = time.monotonic()
        for name, trial in chosen.items():
            found[name] = {"believed": (trial.__doc__ or "").strip()} | await _tried(bench, trial)
            if not args.json:
                mark = {True: "holds", False: "DOES NOT HOLD", None: "not tried"}[found[name]["holds"]]  # type: ignore[index]
                print(f"{mark:14} {name}: {found[name]['believed']}\n{'':15}{found[name]['seen']}", flush=True)
        took_s = time.monotonic() - begun
    wrong = [name for name, each in found.items() if each["holds"] is not True]
    if args.json:
        print(json.dumps({"service": target.where, "model": args.model, "took_s": round(took_s, 1), "trials": found}))
    else:
        print(f"{len(found) - len(wrong)} of {len(found)} hold on {target.where} with {args.model} ({took_s:.0f} s)")
        if wrong:
            print(f"see pipeline/live/ASSUMPTIONS.md for what to set: {', '.join(wrong)}")
    return CRASH if wrong else OK


async def _tried(bench: Bench, trial: Trial) -> dict[str, object]:
    from pipeline.live.failures import LineFailed

    begun = time.monotonic()
    holds: bool | None
    try:
        async with asyncio.timeout(TRIAL_S):
            holds, seen = await trial(bench)
    except LineFailed as failed:
        holds, seen = None if failed.failure.kind in ("quota", "rate", "network") else False, failed.failure.words
    except TimeoutError:
        holds, seen = False, f"nothing decided within {TRIAL_S:.0f} s"
    return {"holds": holds, "seen": seen, "took_s": round(time.monotonic() - begun, 2)}


@contextlib.asynccontextmanager
async def _service(args: argparse.Namespace) -> AsyncIterator[Target]:
    """Where to dial. Raises LineFailed without a key, ScriptError for a script that cannot be used."""
    from pipeline.live.access import Access, Credentials
    from pipeline.live.service import Target
    from pipeline.simulator import Server

    if args.service != "simulator":
        here = Path()
        yield await Credentials(args.service, Access(), os.environ, here, here, time.monotonic).target(resuming=False)
        return
    with tempfile.TemporaryDirectory() as folder:
        server = Server(args.script, certs=Path(folder))
        url = await server.start()
        try:
            yield Target("simulator", url.removeprefix("https://"), url, server.cert)
        finally:
            await server.stop()


def _voice() -> bytes:
    """The question as s16le mono at 16 kHz."""
    from pipeline.audio.resample import Resampler
    from pipeline.simulator import clips

    samples = clips.clip(QUESTION)
    assert samples is not None  # it is in the package
    return bytes(Resampler(clips.RATE, 16_000).convert(samples).tobytes())
