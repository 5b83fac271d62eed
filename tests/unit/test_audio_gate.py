"""The half-duplex gate and the watch over the clock rate, on numbers alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.clockrate import RateVerdict, RateWatch
from pipeline.audio.gate import Gate

pytestmark = pytest.mark.unit

MS = 1_000_000
NS = 1_000_000_000


def test_open_until_something_is_played_and_after_its_tail() -> None:
    gate = Gate(tail_ms=300)
    assert gate.closed(0, 20 * MS) == ""
    gate.played(1000 * MS, 20 * MS)
    assert gate.closed(979 * MS, 20 * MS) == ""
    assert gate.closed(980 * MS + 1, 20 * MS) == "talking"
    assert gate.closed(1319 * MS, 20 * MS) == "talking"
    assert gate.closed(1320 * MS, 20 * MS) == ""


def test_the_first_sound_closes_before_its_length_is_known() -> None:
    gate = Gate(tail_ms=100)
    gate.played(50 * MS, 0)
    assert gate.closed(45 * MS, 20 * MS) == "talking"
    assert gate.closed(149 * MS, 20 * MS) == "talking"
    assert gate.closed(150 * MS, 20 * MS) == ""


def test_a_late_block_is_judged_by_its_own_time() -> None:
    gate = Gate()
    gate.played(1 * NS, NS // 2)
    gate.played(10 * NS, NS // 2)
    assert gate.closed(1 * NS + 100, 20 * MS) == "talking"
    assert gate.closed(5 * NS, 20 * MS) == ""
    assert gate.closed(10 * NS, 20 * MS) == "talking"


def test_muted_comes_first_and_goes_back_to_what_was() -> None:
    gate = Gate()
    gate.played(0, NS)
    gate.muted = True
    assert gate.closed(NS // 2, 20 * MS) == "muted"
    assert gate.closed(50 * NS, 20 * MS) == "muted"
    gate.muted = False
    assert gate.closed(NS // 2, 20 * MS) == "talking"


def test_hours_of_talk_are_one_stretch() -> None:
    gate = Gate()
    for n in range(10_000):
        gate.played(n * 20 * MS, 20 * MS)
    assert gate.closed(0, 20 * MS) == "talking"
    assert gate.closed(200 * NS, 20 * MS) == "talking"
    assert gate.closed(200 * NS + 300 * MS, 20 * MS) == ""


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 500)), max_size=40),
    st.integers(0, 11_000),
    st.integers(0, 500),
)
def test_closed_exactly_where_a_stretch_or_its_tail_overlaps(
    stretches: list[tuple[int, int]], t: int, tail: int
) -> None:
    gate = Gate(tail_ms=tail)
    stretches.sort()
    for begin, length in stretches:
        gate.played(begin * MS, length * MS)
    overlaps = any(t < b + n + tail and t + 20 > b for b, n in stretches)
    assert gate.closed(t * MS, 20 * MS) == ("talking" if overlaps else "")


Verdicts = list[tuple[int, RateVerdict]]


def feed(watch: RateWatch, declared: int, true_rate: float, seconds: float, t: int = 0) -> Verdicts:
    block, out = declared // 50, []
    for n in range(int(seconds * true_rate / block)):
        at = t + int(n * block * NS / true_rate)
        verdict = watch.push(declared, block, at)
        if verdict:
            out.append((at, verdict))
    return out


@pytest.mark.parametrize("true_rate", [48000.0, 48000 * 1.015, 48000 * 0.985])
def test_a_good_clock_is_never_named(true_rate: float) -> None:
    assert feed(RateWatch(), 48000, true_rate, 60) == []


@pytest.mark.parametrize("true_rate", [44100.0, 49500.0, 16000.0, 96000.0])
def test_a_wrong_rate_is_named_after_ten_seconds(true_rate: float) -> None:
    ((at, verdict),) = feed(RateWatch(), 48000, true_rate, 20)
    assert 10 * NS <= at < 10.5 * NS
    assert verdict.off
    assert (verdict.declared, verdict.measured) == (48000, pytest.approx(true_rate, rel=0.003))


def test_right_again_after_ten_good_seconds() -> None:
    watch = RateWatch()
    feed(watch, 48000, 44100, 20)
    ((at, verdict),) = feed(watch, 48000, 48000, 20, 30 * NS)
    assert not verdict.off
    assert at - 30 * NS < 11.5 * NS


def test_one_stalled_second_is_no_verdict() -> None:
    watch = RateWatch()
    assert not feed(watch, 48000, 48000, 2)
    assert not feed(watch, 48000, 48000, 10, int(4.5 * NS))


def test_a_sound_server_that_catches_up_is_no_wrong_clock() -> None:
    watch = RateWatch()
    assert not feed(watch, 16000, 16558, 8)
    assert not feed(watch, 16000, 16000, 20, 9 * NS)


def test_a_change_of_rate_starts_the_count_again() -> None:
    watch = RateWatch()
    assert not feed(watch, 48000, 48000, 5)
    assert not feed(watch, 16000, 16000, 5, 5 * NS)


def test_seconds_that_scatter_are_a_machine_without_time_and_no_wrong_clock() -> None:
    watch = RateWatch()
    verdicts: Verdicts = []
    t = 0
    for second in range(20):
        verdicts += feed(watch, 16000, 16000 * (0.6, 0.95, 0.7, 1.1)[second % 4], 1, t)
        t += 1_000_000_000
    assert verdicts == []


def test_in_the_middle_of_an_answer_the_gate_waits_for_news_that_comes_late() -> None:
    gate = Gate(tail_ms=300)
    gate.played(0, NS)
    gate.unfinished = True
    assert gate.closed(int(1.8 * NS), NS // 50) == "talking"
    assert gate.closed(int(2.1 * NS), NS // 50) == "", "a speaker that died in mid-answer shuts nobody out"
    gate.unfinished = False
    assert gate.closed(int(1.8 * NS), NS // 50) == ""
