"""What is believed of the service, tried on the simulator: all of it holds there, unless a script says otherwise."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import verify_service
from pipeline.live.service import Target
from pipeline.live.trials import TRIALS, Bench, Seen
from pipeline.simulator import Server

pytestmark = pytest.mark.process

SCRIPT = """
version: 1
think_ms: 20
speed: 20
spoken: [say: Last entry is at five.]
text:
  - {match: 'order\\D*(\\d+)', call: {function: "*order*", args: {order_id: "{1}"}}, say: "{result}"}
  - {match: 'what did I say', say: "{previous}"}
  - {match: count, say: "The lifts are to the left of the main stairs, and the toilets are beside them."}
  - say: I looked it up.
"""


def test_everything_holds_on_the_simulator(tmp_path: Path) -> None:
    (tmp_path / "script.yaml").write_text(SCRIPT)

    async def scene() -> dict[str, Seen]:
        server = Server(tmp_path / "script.yaml", certs=tmp_path)
        url = await server.start()
        try:
            target = Target("simulator", url.removeprefix("https://"), url, server.cert)
            bench = Bench(target, "gemini-3.8-live", verify_service._voice())
            async with asyncio.timeout(60):
                seen = await asyncio.gather(*(trial(bench) for trial in TRIALS.values()))
            return dict(zip(TRIALS, seen, strict=True))
        finally:
            await server.stop()

    found = asyncio.run(scene())
    assert {name: words for name, (holds, words) in found.items() if not holds} == {}


def command(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GOOGLE_", "GEMINI_"))}
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "verify-service", *args],
        env=clean | env, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def test_what_does_not_hold_is_named(tmp_path: Path) -> None:
    faults = "faults: [{when: resume, nth: 1, close: unavailable}]\n"
    (tmp_path / "other.yaml").write_text(SCRIPT + "bursts: ignored\nusage: cumulative\n" + faults)
    chosen = ["burst-then-silence", "usage", "bad-handle", "handle-at-once"]
    only = [word for name in chosen for word in ("--only", name)]
    ran = command("--service", "simulator", "--script", str(tmp_path / "other.yaml"), "--json", *only)
    assert ran.returncode == 1, ran.stderr
    trials = json.loads(ran.stdout)["trials"]
    assert {name: each["holds"] for name, each in trials.items()} == {
        "handle-at-once": True, "burst-then-silence": False, "usage": False, "bad-handle": False,
    }  # fmt: skip
    assert "the end of the stream must be said" in trials["burst-then-silence"]["seen"]
    assert "sums of the session" in trials["usage"]["seen"]
    assert "currently unavailable" in trials["bad-handle"]["seen"]


def test_without_a_key_without_a_service_and_with_a_wrong_name() -> None:
    ran = command()
    assert (ran.returncode, "GOOGLE_API_KEY" in ran.stderr) == (78, True)
    ran = command(GOOGLE_API_KEY="k", GOOGLE_GEMINI_BASE_URL="https://127.0.0.1:9")
    assert (ran.returncode, "127.0.0.1:9 refuses connections" in ran.stderr) == (69, True)
    ran = command("--only", "brust")
    assert (ran.returncode, "expected one of handle-at-once, burst" in ran.stderr) == (2, True)
