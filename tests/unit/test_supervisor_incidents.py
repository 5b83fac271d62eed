"""Faults as pairs of down and up, with what they cost; the journal; where a turn's time went."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cli.incidents import line
from pipeline.supervisor.incidents import Incidents, Journal
from pipeline.supervisor.latency import Latency

pytestmark = pytest.mark.unit

S = 1_000_000_000


def test_a_stage_that_dies_in_a_question_is_one_incident_and_says_whether_it_was_answered() -> None:
    seen = Incidents()
    seen.stage(0, 100.0, "frontend", "live", "")
    seen.event(1 * S, 101.0, "speech_started", {"t": 1})
    seen.stage(2 * S, 102.0, "frontend", "restarting", "killed by signal 9")
    seen.stage(2 * S, 102.0, "frontend", "starting", "")
    seen.stage(2 * S + S // 10, 102.1, "frontend", "live", "")
    seen.event(3 * S, 103.0, "replayed", {"lost_ms": 40})
    assert seen.finished(3 * S) == []
    seen.event(6 * S, 106.0, "turn_ended", {"outcome": "answered"})
    (record,) = seen.finished(6 * S)
    assert record == {
        "at": 102.0,
        "what": "frontend",
        "cause": "killed by signal 9",
        "seconds": 0.1,
        "lost_ms": 40,
        "answered": True,
    }
    assert seen.finished(100 * S) == []


def test_an_incident_that_nobody_noticed_and_one_that_left_a_question_open() -> None:
    seen = Incidents()
    seen.stage(0, 0.0, "capture", "degraded", "unplugged")
    seen.stage(5 * S, 5.0, "capture", "live", "")
    assert seen.finished(60 * S) == []
    (record,) = seen.finished(66 * S)
    assert (record["seconds"], record["answered"]) == (5.0, None)
    seen.event(100 * S, 100.0, "connection", {"up": False, "reason": "no network"})
    seen.event(101 * S, 101.0, "speech_started", {})
    seen.event(110 * S, 110.0, "connection", {"up": True})
    (record,) = seen.finished(171 * S)
    assert (record["what"], record["answered"]) == ("connection", False)


@pytest.mark.parametrize(
    ("turn_is_open", "wait_s", "answered"), [(False, 15, False), (True, 15, True), (False, 2, True)]
)
def test_the_answer_to_a_question_asked_again_is_none_to_the_first(
    turn_is_open: bool, wait_s: int, answered: bool
) -> None:
    seen = Incidents()
    seen.stage(0, 0.0, "frontend", "live", "")
    seen.event(1 * S, 1.0, "speech_started", {"t": 1})
    seen.stage(2 * S, 2.0, "frontend", "restarting", "killed by signal 9")
    seen.stage(2 * S + 1, 2.0, "frontend", "live", "")
    seen.event(3 * S, 3.0, "speech_ended", {"t": 3})
    seen.event(3 * S, 3.0, "turn_started", {"turn": 1, "kind": "speech"})
    if not turn_is_open:
        seen.event(4 * S, 4.0, "turn_ended", {"turn": 1, "outcome": "empty"})
    seen.event((3 + wait_s) * S, 3.0 + wait_s, "speech_started", {"t": 3 + wait_s})
    seen.event((6 + wait_s) * S, 6.0 + wait_s, "turn_ended", {"turn": 2, "outcome": "answered"})
    assert [record["answered"] for record in seen.unfinished()] == [answered]


def test_a_first_dial_before_the_simulator_listens_is_a_start_and_no_incident() -> None:
    seen = Incidents()
    seen.event(0, 0.0, "connection", {"up": False, "reason": "the simulator has not started"})
    seen.event(S, 1.0, "connection", {"up": True})
    assert seen.unfinished() == []
    seen.event(2 * S, 2.0, "connection", {"up": False, "reason": "reset"})
    seen.event(2 * S + 1, 2.0, "connection", {"up": True})
    assert len(seen.unfinished()) == 1
    offline_at_boot = Incidents()
    offline_at_boot.event(0, 0.0, "connection", {"up": False, "reason": "no network"})
    offline_at_boot.event(60 * S, 60.0, "connection", {"up": True})
    assert len(offline_at_boot.unfinished()) == 1


def test_an_incident_is_known_to_the_journal_from_its_beginning(tmp_path: Path) -> None:
    seen, journal = Incidents(), Journal(tmp_path / "incidents.jsonl")
    seen.stage(0, 100.0, "capture", "degraded", "no such microphone")
    assert seen.news(S) == [], "it may only be starting"
    assert [record["seconds"] for record in seen.news(4 * S)] == [None]
    assert seen.news(5 * S) == []
    seen.stage(6 * S, 106.0, "capture", "live", "")
    ended = seen.news(6 * S)
    assert [record["seconds"] for record in ended] == [6.0]
    for number in range(7, 67, 2):  # a plug that hangs loose
        seen.stage(number * S, 100.0 + number, "capture", "degraded", "unplugged")
        seen.stage((number + 1) * S, 101.0 + number, "capture", "live", "")
        assert seen.news((number + 1) * S) == []
    seen.stage(70 * S, 170.0, "capture", "degraded", "unplugged")
    assert len(seen.news(70 * S)) == 1
    journal.write([{**ended[0], "seconds": None}])
    journal.write(ended)
    assert journal.read() == ended, "the last word on each counts"


def test_what_is_meant_is_no_incident() -> None:
    seen = Incidents()
    seen.event(0, 0.0, "connection", {"up": False, "reason": "idle"})
    seen.stage(0, 0.0, "session", "degraded", "THE SIMULATOR ANSWERS, NOT GEMINI: no key")
    assert seen.unfinished() == []


def test_the_journal_keeps_the_newest_within_its_cap_and_survives_a_torn_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "incidents.jsonl", cap_bytes=2000)
    for number in range(200):
        journal.write([{"at": number, "what": "capture"}])
    assert journal.path.stat().st_size <= 2000
    with journal.path.open("a") as file:
        file.write('{"at": 200, "wh')
    ats = [record["at"] for record in journal.read()]
    assert ats[-1] == 199
    assert ats == list(range(ats[0], 200))
    assert Journal(tmp_path / "none.jsonl").read() == []


def test_a_disk_that_takes_nothing_costs_the_lines_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "no" / "such" / "folder.jsonl")
    journal.write([{"at": 1}])
    assert journal.lost == 1


def test_a_turn_in_its_parts_and_over_its_budget() -> None:
    latency = Latency(budget_ms=50)
    latency.hop("frontend", 3.0)
    latency.hop("session", 2.0)
    assert latency.event("first_audio", {"turn": 4, "epoch": 1, "at": 4000, "since_speech_end_ms": 700}, 10 * S) is None
    turn = latency.event("audible", {"t": 10 * S + 8_000_000, "epoch": 1, "at": 4000}, 10 * S)
    assert turn is not None
    assert turn.body() == {
        "turn": 4, "total_ms": 708, "service_ms": 695, "ours_ms": 13, "uplink_ms": 5.0, "playback_ms": 8.0,
    }  # fmt: skip
    assert latency.over(turn) == ""
    latency.event("first_audio", {"turn": 5, "epoch": 1, "at": 5000, "since_speech_end_ms": 700}, 20 * S)
    slow = latency.event("audible", {"t": 20 * S + 90_000_000, "epoch": 1, "at": 5100}, 20 * S)
    assert slow is not None
    assert latency.over(slow).startswith("playback took most of the 95 ms")
    latency.hop("frontend", 200.0)
    latency.event("first_audio", {"turn": 6, "epoch": 1, "at": 6000, "since_speech_end_ms": 900}, 30 * S)
    late = latency.event("audible", {"t": 30 * S, "epoch": 1, "at": 6000}, 30 * S)
    assert late is not None
    assert latency.over(late).startswith("frontend took most")
    assert latency.percentiles()["turns"] == 3


def test_an_answer_that_was_never_audible_is_no_turn_of_the_next() -> None:
    latency, first = Latency(), {"epoch": 1, "at": 0, "since_speech_end_ms": 700}
    latency.event("first_audio", {"turn": 1, **first}, 0)
    assert latency.event("audible", {"t": 20 * S, "epoch": 1, "at": 0}, 20 * S) is None
    assert latency.event("audible", {"t": 1, "epoch": 1, "at": 0}, 1) is None
    assert latency.event("first_audio", {"turn": 2, **first, "since_speech_end_ms": None}, 0) is None
    assert latency.percentiles() == {}


def test_what_two_stages_say_of_one_sound_may_be_heard_in_either_order() -> None:
    latency = Latency()
    assert latency.event("audible", {"t": 8_000_000, "epoch": 3, "at": 480}, 8_000_000) is None
    told = {"turn": 1, "epoch": 3, "at": 480, "since_speech_end_ms": 700}
    turn = latency.event("first_audio", told, 5_000_000)
    assert turn is not None
    assert turn.playback_ms == 3.0
    latency.event("first_audio", {**told, "turn": 2, "at": 24_000}, 1 * S)
    assert latency.event("audible", {"t": 2 * S, "epoch": 3, "at": 48_000}, 2 * S) is None, (
        "after a pause in the answer"
    )


def test_an_incident_of_the_journal_goes_on_no_more() -> None:
    record = {"at": 0.0, "what": "capture", "cause": "unplugged", "seconds": None, "lost_ms": 0, "answered": None}
    assert "goes on  nobody spoke: unplugged" in line(record)
    assert "till stop  nobody spoke: unplugged" in line(record, over=True)
    assert "2.0 s  nobody spoke: unplugged" in line({**record, "seconds": 2.0}, over=True)
