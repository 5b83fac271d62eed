"""Three minutes of the soak, and some of its visits: every question is answered, whatever breaks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scripts.soak_faults import DECK, Fault, drawn, script
from scripts.soak_judge import Question, Verdict, figures, judge, pieces_lost
from scripts.soak_world import RATE, Recording, Stretch

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.device
@pytest.mark.timeout(480)
def test_every_question_of_three_minutes_is_answered_whatever_breaks(tmp_path: Path) -> None:
    argv = [sys.executable, str(ROOT / "scripts" / "soak"), "--minutes", "3", "--visits", "60", "--seed", "3"]
    argv += ["--json", str(tmp_path / "soak.json"), "--keep", str(tmp_path / "evidence")]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=420, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\nevidence: {tmp_path / 'evidence'}"
    found = json.loads((tmp_path / "soak.json").read_text())
    assert found["kiosk"]["answered_rate"] == 1.0
    assert found["kiosk"]["asked"] >= 8
    assert found["kiosk"]["faults"] >= 6
    assert found["visits"]["answered"] == 60
    assert found["visits"]["session_descriptors"]["per_visit"] == pytest.approx(0.0, abs=0.05)


@pytest.mark.unit
def test_a_seed_draws_the_same_faults_and_a_deck_holds_each_once() -> None:
    first, again = drawn(7), drawn(7)
    kinds = [next(first).kind for _ in DECK]
    assert kinds == [next(again).kind for _ in DECK]
    assert sorted(kinds) == sorted(kind for kind, *_ in DECK)
    assert script(7, 50, ("Yes.",)) == script(7, 50, ("Yes.",)) != script(8, 50, ("Yes.",))


def said() -> Recording:
    """Two seconds of noise, voice from 0.5 to 1.5."""
    return Recording("noise", np.random.default_rng(1).integers(-9000, 9000, 2 * RATE).astype("<i2"), 0.5, 1.5)


def question(number: int, began: float, answer: float | None, captured_s: float = 1.0) -> Question:
    return Question(number, said(), began, answer=answer, captured_s=captured_s)


@pytest.mark.unit
def test_delays_count_from_the_questions_end_or_from_where_the_world_was_whole() -> None:
    asked = [
        question(1, 10.0, 12.5),
        question(2, 100.0, 109.0),
        question(3, 200.0, None),
        question(4, 300.0, None, 0.2),
    ]
    verdict = judge(asked, [Fault("network cut", (), 6.0, at=101.0, mended=107.0)])
    assert verdict.undisturbed == pytest.approx([1.0])
    assert verdict.disturbed == pytest.approx([2.0])
    assert verdict.unanswered == [asked[2]], "nobody can answer what no microphone took"
    found = figures(Verdict(verdict.questions, verdict.faults, verdict.undisturbed, verdict.disturbed))
    assert (found["asked"], found["answered"], found["said_into_a_dead_microphone"]) == (3, 2, 1)
    assert found["added_by_a_fault_p95_s"] == pytest.approx(1.0)


@pytest.mark.unit
def test_lost_is_what_the_microphone_gave_and_the_service_never_got() -> None:
    spoken = said().samples
    mic = [Stretch(0.0, 1.0, bytearray(spoken[:RATE].tobytes()))]  # dead from the first second on
    asked = question(1, 0.0, 3.0, captured_s=0.5)
    pieces_lost(asked, [spoken[: int(0.7 * RATE)]], mic)
    assert asked.never_captured_s == pytest.approx(0.5)
    assert asked.lost_s == pytest.approx(0.2), "the piece from 0.7 s on"


@pytest.mark.unit
def test_what_the_frontend_changed_or_kept_back_is_not_lost_and_neither_is_the_silence_of_a_device() -> None:
    spoken = said().samples
    mic = [Stretch(0.0, 3.0, bytearray(np.concatenate([spoken[: 2 * RATE], np.zeros(RATE, np.int16)]).tobytes()))]
    echo = np.random.default_rng(2).integers(-900, 900, int(0.4 * RATE))
    cancelled = np.concatenate([spoken[: int(0.9 * RATE)], echo.astype(np.int16)])
    voice = [Stretch(0.0, 2.3, bytearray(np.concatenate([cancelled, np.zeros(RATE, np.int16)]).tobytes()))]
    asked = question(1, 0.0, 3.0, captured_s=1.0)
    pieces_lost(asked, [cancelled], mic, voice)
    assert asked.lost_s == 0.0
    assert asked.gated_s == pytest.approx(0.2)
    pieces_lost(asked, [cancelled[: int(0.9 * RATE)]], mic, voice)
    assert asked.lost_s == pytest.approx(0.4), "what the service was never given of it"
