"""When a process is too old or too big, and when nobody would notice that it is replaced."""

from __future__ import annotations

import pytest

from pipeline.config import Restart
from pipeline.supervisor.ageing import OPEN_S, QUIET_S, Quiet, overdue

pytestmark = pytest.mark.unit


def test_limits() -> None:
    assert overdue(Restart(), 1e9, 1e9) == ""
    assert overdue(Restart(max_age_h=1), 3600, None) == ""
    assert "max_age_h: 1" in overdue(Restart(max_age_h=1), 3601, None)
    assert overdue(Restart(max_rss_mb=100), 1.0, 100.0) == ""
    assert overdue(Restart(max_rss_mb=100), 1.0, None) == ""
    assert overdue(Restart(max_rss_mb=100), 1.0, 150.4) == "it takes 150 MB, over max_rss_mb: 100"


def test_it_is_quiet_only_after_listening_for_a_while() -> None:
    quiet = Quiet(10.0)
    assert not quiet.holds(10.0 + QUIET_S - 0.1)
    assert quiet.holds(10.0 + QUIET_S)


def test_speech_a_turn_and_an_answer_that_is_still_heard_keep_it_from_being_quiet() -> None:
    quiet = Quiet(0.0)
    quiet.event("speech_started", {"t": 1}, 5.0)
    assert not quiet.holds(15.0)
    quiet.event("turn_started", {"turn": 1}, 15.0)
    quiet.event("speech_ended", {"t": 2, "start_t": 1}, 16.0)
    assert not quiet.holds(20.0)
    quiet.event("heard", {"epoch": 1, "at": 100, "buffered_to": 500}, 20.0)
    quiet.event("turn_ended", {"turn": 1}, 21.0)
    assert not quiet.holds(25.0)
    quiet.event("heard", {"epoch": 1, "at": 500, "buffered_to": 500}, 25.0)
    assert quiet.holds(25.0)


def test_what_was_heard_long_ago_and_is_said_again_is_no_sign_of_life() -> None:
    quiet = Quiet(0.0)
    quiet.event("heard", {"epoch": 1, "at": 500, "buffered_to": 500}, 1.9)
    quiet.event("level", {"rms_dbfs": -20}, 1.9)
    quiet.event("heard", {"at": "x"}, 1.9)
    assert quiet.holds(QUIET_S)


def test_an_end_that_never_came_does_not_hold_for_ever() -> None:
    quiet = Quiet(0.0)
    quiet.event("turn_started", {"turn": 1}, 1.0)
    assert not quiet.holds(OPEN_S)
    assert quiet.holds(1.0 + OPEN_S)
