"""What a conversation costs is told, capped, and kept; what was said in it is not kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.rig.booth import Booth

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

DEAR = {"gemini-*": {"text_in": 1_000, "audio_in": 1_000, "text_out": 1_000, "audio_out": 1_000}}


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return tmp_path_factory.mktemp("b")  # short: the path of a socket holds 107 bytes


def words_on_disk(place: Path) -> bool:
    return any(b"when do you close" in path.read_bytes() for path in place.glob("session.sqlite*"))


def played(booth: Booth, name: str) -> bool:
    return {"name": name, "cause": "capped"} in booth.bodies("play")


def test_a_spent_budget_closes_the_line_after_a_goodbye_and_a_kill_does_not_open_it(place: Path) -> None:
    with Booth(place, budget={"day_usd": 0.01, "prices": DEAR}, visit={"ends_after_s": 2}) as booth:
        booth.start("simulator")
        booth.start("session")
        booth.until(lambda: booth.bodies("connection", up=True))
        booth.asks()
        booth.until(booth.answered)
        usage = booth.until(lambda: booth.bodies("usage"))[0]
        assert usage["turn"] == 1
        assert usage["in"]["audio"] > 25
        assert usage["out"]["audio"] > 10
        assert usage["usd"] == usage["day_usd"] > 0.01
        booth.until(lambda: played(booth, "goodbye"))
        booth.until(lambda: booth.bodies("connection", up=False, reason="capped"))
        state = booth.until(lambda: [body for body in booth.bodies("state") if "capped" in body["reason"]])[-1]
        assert state["state"] == "waiting"
        assert "budget.day_usd" in state["reason"]
        booth.until(lambda: booth.bodies("visit", open=False))
        booth.until(lambda: not words_on_disk(place))
        booth.kill("session")
        lines = len(booth.log("open"))
        booth.start("session")
        booth.until(lambda: len(booth.bodies("connection", up=False, reason="capped")) == 2)
        booth.asks()
        booth.until(lambda: played(booth, "capped"))
        assert len(booth.log("open")) == lines, "nobody dials while nothing may be spent"
        assert len(booth.bodies("turn_started")) == 1
        booth.tell("session", "stop", grace_s=2.0)
        assert booth.processes["session"].wait(5) == 0
    with closing(sqlite3.connect(place / "session.sqlite")) as file:
        kept = file.execute("SELECT way, kind, tokens FROM usage ORDER BY way, kind").fetchall()
        assert ("in", "audio", usage["in"]["audio"]) in kept
        assert file.execute("SELECT count(*) FROM turns").fetchone() == (0,)
