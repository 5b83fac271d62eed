"""What dies of one cause again and again is said in full first, then rarely."""

import pytest

from pipeline.supervisor.worn import FULL, STEADY_S, Series

pytestmark = pytest.mark.unit


def test_first_in_full_then_each_power_of_two() -> None:
    series, said = Series(), []
    for number in range(1, 3_000):
        series.death(f"no beat for {number} s", 0.1)
        assert series.worn == (number >= FULL)
        if series.counted:
            said.append(number)
    assert said == [1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048]


def test_another_cause_is_news() -> None:
    series = Series()
    for _ in range(FULL):
        series.death("the microphone is gone", 0.1)
    series.death("killed by SIGSEGV", 0.1)
    assert (series.times, series.worn, series.counted) == (1, False, True)


def test_whoever_worked_for_long_has_recovered_and_that_is_said_once() -> None:
    series = Series()
    for _ in range(FULL):
        series.death("gone", 0.1)
    assert not series.recovered(STEADY_S - 1)
    assert series.recovered(STEADY_S)
    assert not series.recovered(STEADY_S)
    series.death("gone", STEADY_S)
    assert series.times == 1


def test_who_never_died_has_not_recovered() -> None:
    assert not Series().recovered(1e6)
