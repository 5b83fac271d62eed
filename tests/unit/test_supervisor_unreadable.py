"""Who says what nobody can read is named, and not its readers."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.supervisor.unreadable import QUIET_S, UNREADABLE, Unreadable, told
from pipeline.supervisor.verdict import Watch

pytestmark = pytest.mark.unit


def test_the_first_complaint_holds_until_it_can_be_read_again() -> None:
    unreadable = Unreadable()
    unreadable.note(0.0, "frontend", "capture", 2, "audio.mic: expected `rate` to be int, got str")
    assert unreadable.words(0.0, "capture") == "", "two went wrong"
    unreadable.note(1.0, "frontend", "capture", 40, "audio.mic: expected whole samples")
    expected = f"{UNREADABLE}: audio.mic: expected `rate` to be int, got str"
    assert unreadable.words(1.0 + QUIET_S, "capture") == expected
    assert unreadable.words(1.0, "frontend") == ""
    for second in (2, 4, 5):
        unreadable.note(second, "frontend", "capture", 40 + second, f"audio.mic: expected `t` >= 0, got {-second}")
    assert unreadable.words(5.0, "capture") == expected
    unreadable.note(7.0, "frontend", "capture", 47, "audio.mic: expected `t` >= 0, got -7")
    assert unreadable.words(7.0, "capture").endswith("`t` >= 0, got -7"), "the first one has not been said for long"
    unreadable.note(14.0, "frontend", "capture", 47, "audio.mic: expected whole samples")
    assert unreadable.words(14.0, "capture") == "", "no new ones"
    unreadable.note(15.0, "frontend", "capture", 5, "audio.mic: expected whole samples")
    assert "whole samples" in unreadable.words(15.0, "capture"), "another reader, that counts from 0"


@pytest.mark.parametrize(
    "bus",
    [None, 3, {}, {"unreadable": 3}, {"unreadable": {1: [1, "x"]}}, {"unreadable": {"a": [1]}},
     {"unreadable": {"a": ["1", "x"]}}, {"unreadable": {"a": [1, None]}}],
)  # fmt: skip
def test_a_beat_may_say_anything(bus: Any) -> None:
    assert told(bus) == {}


def test_a_beat_tells_of_it() -> None:
    assert told({"unreadable": {"capture": [7, "audio.mic: odd"]}}) == {"capture": (7, "audio.mic: odd")}


def test_the_verdict_names_the_writer_and_the_page() -> None:
    watch = Watch(0, {"capture": True, "lamp": False})
    watch.event(0, "connection", {"up": True, "service": "gemini"})
    watch.stage(0, "capture", "degraded", f"{UNREADABLE}: audio.mic: expected `rate` to be int, got str")
    verdict = watch.verdict(1)
    assert (verdict.code, verdict.words.partition(": ")[2][:32]) == (
        "stage_failing",
        "capture: nobody can read what it",
    )
    assert "PROTOCOL.md" in verdict.remedy
    watch.stage(2, "capture", "live", "")
    watch.stage(2, "lamp", "degraded", f"{UNREADABLE}: event.level: odd")
    assert watch.verdict(3).line.startswith("ok, but lamp: ")
