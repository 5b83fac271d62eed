"""The last minutes, kept in memory and written when something happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.bus.tape import Tape
from pipeline.stages.black_box import BlackBox
from pipeline.testing import Trial, blocks, tone

pytestmark = pytest.mark.unit


def tapes(trial: Trial) -> list[Path]:
    return sorted((trial.stage.state_dir / "black_box").glob("*.tape"))


def test_a_crash_writes_the_minutes_before_it_and_what_followed() -> None:
    with Trial(BlackBox, minutes=1.0) as trial:
        trial.event("caption", text="long ago", src="session")
        trial.pass_time(90)
        trial.event("caption", text="just now", src="session")
        trial.event("stage", stage="frontend", state="restarting", reason="killed", src="supervisor")
        trial.pass_time(1)
        trial.event("stage", stage="frontend", state="live", reason="", src="supervisor")
        assert tapes(trial) == []
        trial.pass_time(3)
        (path,) = tapes(trial)
        said = [(entry.topic, entry.fields["body"]) for entry in Tape(path).entries()]
        assert [topic for topic, _ in said] == ["event.caption", "event.stage", "event.stage"]
        assert said[0][1]["text"] == "just now"
        assert trial.events("tape_written")[0]["why"] == "frontend-restarting"


def test_faults_in_a_row_write_one_tape_and_a_person_may_ask_for_another() -> None:
    with Trial(BlackBox) as trial:
        for _ in range(5):
            trial.event("stage", stage="capture", state="degraded", reason="unplugged")
            trial.pass_time(5)
        assert len(tapes(trial)) == 1
        trial.event("write_tape")
        trial.pass_time(1)
        assert len(tapes(trial)) == 2


def test_a_plug_that_hangs_loose_all_night_wears_out_no_card() -> None:
    with Trial(BlackBox, tapes=100) as trial:
        for _ in range(8 * 60 * 2):
            trial.event("stage", stage="capture", state="degraded", reason="unplugged")
            trial.pass_time(30)
        written = len(trial.events("tape_written"))
        assert 6 <= written <= 14
        trial.event("stage", stage="frontend", state="restarting", reason="killed")
        trial.pass_time(5)
        assert len(trial.events("tape_written")) == written + 1, "another fault has a tape of its own"


def test_what_privacy_forbids_is_not_even_kept() -> None:
    with Trial(BlackBox, privacy="no_words") as trial:
        trial.event("caption", who="person", text="my name is Ada")
        trial.hear(*blocks(tone(1000, ms=100)))
        kept = b"".join(data for _, data in trial.stage._kept)  # type: ignore[attr-defined]
        assert b"Ada" not in kept
        assert tone(1000, ms=20).pcm not in kept
        assert b"pcm_bytes" in kept


def test_memory_is_bounded_and_what_it_cost_is_counted() -> None:
    with Trial(BlackBox, max_mb=0.1, privacy="everything") as trial:
        trial.hear(*blocks(tone(1000, ms=10_000)))
        stage = trial.stage
        assert isinstance(stage, BlackBox)
        assert stage._bytes <= 100_000
        assert stage.forgotten > 300


def test_the_oldest_tapes_go(monkeypatch: pytest.MonkeyPatch) -> None:
    with Trial(BlackBox, tapes=2, every_s=0.0) as trial:
        for number in range(4):
            monkeypatch.setattr("time.strftime", lambda _, number=number: f"2026-{number}")
            trial.event("write_tape")
            trial.pass_time(1)
        assert [path.name for path in tapes(trial)] == ["2026-2-asked.tape", "2026-3-asked.tape"]
        for number in range(2):  # the clock is set back
            monkeypatch.setattr("time.strftime", lambda _, number=number: f"2025-{number}")
            trial.event("write_tape")
            trial.pass_time(1)
        assert [path.name for path in tapes(trial)] == ["2025-0-asked.tape", "2025-1-asked.tape"]


def test_a_place_that_takes_nothing_is_said_and_nothing_else_is_lost() -> None:
    with Trial(BlackBox) as trial:
        (trial.stage.state_dir / "black_box").write_text("in the way")
        trial.event("write_tape")
        trial.pass_time(1)
        assert trial.events("tape_written") == []
        (trial.stage.state_dir / "black_box").unlink()
        trial.event("write_tape")
        trial.pass_time(1)
        assert len(tapes(trial)) == 1
