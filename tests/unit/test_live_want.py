"""When a line is wanted, when it is changed, when it is dead: the clocks around one, each by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.live.functions import WAIT_S, Functions
from pipeline.live.lifetime import HANDLE_S, LATE_S, MARGIN_S, SEARCH_S, Lifetime, Moment
from pipeline.live.liveness import SILENT_S, Liveness
from pipeline.live.want import PROOF_S, Want

pytestmark = pytest.mark.unit

S = 1_000_000_000
GAP = Moment(received=True, heard=True, resumable=True)
PLAYING = Moment(received=True, heard=False, resumable=True)
BUSY = Moment(received=False, heard=False, resumable=True)


def s(seconds: float) -> int:
    return int(seconds * S)


# Whether one is wanted


def test_a_line_is_wanted_until_nobody_has_needed_it_for_so_long_and_then_by_the_next_who_does() -> None:
    want = Want(20)
    assert not want.needed(0), "one is wanted from the start"
    want.line_up(0)
    assert not want.tick(s(19), busy=False)
    assert not want.tick(s(19.5), busy=True)
    assert not want.tick(s(39), busy=False)
    assert want.tick(s(39.6), busy=False)
    assert not want.tick(s(40), busy=False), "said once"
    assert want.reason == "idle"
    assert want.needed(s(100))
    assert want.reason is None
    assert not want.tick(s(119), busy=False)


def test_a_line_that_comes_up_late_lives_long_enough_to_show_that_all_is_well() -> None:
    want = Want(20)
    want.needed(0)
    want.line_up(s(600))
    assert not want.tick(s(600 + PROOF_S / 2), busy=False)
    assert want.tick(s(600 + PROOF_S), busy=False)


def test_no_idle_time_means_always() -> None:
    want = Want(0)
    want.needed(0)
    assert not want.tick(s(86_400), busy=False)


def test_a_line_that_is_held_back_is_had_by_nobody_until_it_is_released() -> None:
    want = Want(20)
    want.hold("capped")
    assert not want.needed(0)
    assert want.reason == "capped"
    want.release()
    assert want.reason == "idle", "nobody needs it yet"
    assert want.needed(0)
    assert want.reason is None
    always = Want(0)
    always.hold("capped")
    always.release()
    assert always.reason is None


# When it is changed


def test_a_go_away_is_met_in_the_first_gap_whatever_our_own_clock_says() -> None:
    life = Lifetime(570)
    life.line_up(0)
    life.go_away(s(100), 50)
    assert life.roll(s(101), BUSY) == ""
    assert life.roll(s(102), PLAYING) == ""
    assert life.roll(s(103), GAP) == "the service will hang up"


def test_without_a_gap_it_is_met_when_all_is_received_and_at_the_latest_before_its_end() -> None:
    life = Lifetime(570)
    life.line_up(0)
    life.go_away(s(100), 50)
    assert life.roll(s(150 - LATE_S - 0.1), PLAYING) == ""
    assert life.roll(s(150 - LATE_S + 0.1), PLAYING)
    assert life.roll(s(150 - MARGIN_S - 0.1), BUSY) == ""
    assert life.roll(s(150 - MARGIN_S + 0.1), BUSY)


def test_unasked_a_line_is_changed_before_it_is_as_old_as_lines_become() -> None:
    life = Lifetime(570)
    life.line_up(0)
    assert life.roll(s(570 - SEARCH_S - 1), GAP) == ""
    assert life.roll(s(570 - SEARCH_S + 1), GAP) == "it is as old as lines become"
    assert life.roll(s(570 - MARGIN_S), BUSY)
    assert Lifetime(0).roll(s(10_000), GAP) == ""


def test_a_gap_waits_for_a_handle_that_knows_of_the_last_turn_but_not_long() -> None:
    life = Lifetime(570)
    life.line_up(0)
    life.go_away(0, 50)
    old = Moment(received=True, heard=True, resumable=False)
    assert life.roll(s(1), old) == ""
    assert life.roll(s(1 + HANDLE_S - 0.1), old) == ""
    assert life.roll(s(1 + HANDLE_S), old)
    life.line_up(s(100))
    life.go_away(s(100), 50)
    assert life.roll(s(101), old) == ""
    assert life.roll(s(102), BUSY) == ""
    assert life.roll(s(103), old) == "", "another gap, another wait"
    assert life.roll(s(103.5), GAP)


@given(st.floats(0, 60), st.lists(st.sampled_from([GAP, PLAYING, BUSY]), max_size=700))
def test_a_go_away_is_always_met_in_time(left_s: float, moments: list[Moment]) -> None:
    life = Lifetime(570)
    life.line_up(0)
    life.go_away(0, left_s)
    for tick in range(700):
        moment = moments[tick] if tick < len(moments) else BUSY
        if life.roll(s(tick / 10), moment):
            assert moment is not BUSY or tick / 10 >= left_s - MARGIN_S - 0.001
            assert tick / 10 <= max(0.0, left_s - MARGIN_S) + 0.1
            return
    raise AssertionError("the service hangs up first")


def test_a_shorter_life_is_learned_from_two_lines_that_ended_unannounced_at_one_age() -> None:
    life = Lifetime(570)
    for number in range(2):
        life.line_up(s(1000 * number))
        assert life.line_down(s(1000 * number + 300), by_service=True) == (number == 1)
    assert life.lifetime_s == pytest.approx(285)


@pytest.mark.parametrize(
    ("ages", "by_service", "announced"),
    [([300, 200], True, False), ([30, 30], True, False), ([300, 300], False, False), ([300, 300], True, True)],
)
def test_other_ends_teach_nothing(ages: list[float], by_service: bool, announced: bool) -> None:
    life = Lifetime(570)
    for number, age in enumerate(ages):
        life.line_up(s(1000 * number))
        if announced:
            life.go_away(s(1000 * number + age - 50), 50)
        assert not life.line_down(s(1000 * number + age), by_service=by_service)
    assert life.lifetime_s == 570


# When it is dead


def test_a_line_is_dead_when_nothing_comes_though_an_answer_is_due_and_that_is_said_once_for_each_turn() -> None:
    alive = Liveness()
    alive.sign(0)
    assert not alive.dead(s(100), None)
    assert not alive.dead(s(101), 1)
    assert not alive.dead(s(100 + SILENT_S - 0.1), 1)
    assert alive.dead(s(100 + SILENT_S), 1)
    alive.sign(s(110))
    assert not alive.dead(s(150), 1), "the next line is silent, too: then there is no answer"
    assert not alive.dead(s(151), None)
    assert alive.dead(s(151 + SILENT_S), 2)


def test_any_sign_of_life_will_do() -> None:
    alive = Liveness()
    for second in range(0, 100, 5):
        alive.sign(s(second))
        assert not alive.dead(s(second + 4), 1)


# What it is told of


def test_functions_are_waited_for_where_a_stage_declares_them_and_no_longer_than_that() -> None:
    assert Functions(wired=False).wait_until_ns == 0
    functions = Functions(wired=True)
    functions.start(0)
    assert functions.wait_until_ns == s(WAIT_S)
    assert functions.declare([{"name": "f", "blocking": False}, "no declaration", {"no": "name"}])
    assert functions.wait_until_ns == 0
    assert [each["name"] for each in functions.declared] == ["f"]
    assert not functions.declare([{"name": "f", "blocking": False}])


def test_a_line_is_outdated_when_it_was_told_of_others() -> None:
    functions = Functions(wired=True)
    assert not functions.outdated
    functions.line_up()
    assert not functions.outdated
    functions.declare([{"name": "f"}])
    assert functions.outdated
    functions.line_up()
    assert not functions.outdated
