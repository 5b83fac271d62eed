"""The supervisor's clock on another machine: the offset of the smallest round trip."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stage.offset import ENOUGH, FIRST, FIRST_S, KEPT, THEN_S, Offset

pytestmark = pytest.mark.unit

HOUR_NS = 3_600_000_000_000


def test_nothing_is_known_without_an_answer() -> None:
    offset = Offset()
    assert (offset.known, offset.ns) == (False, 0)
    for _ in range(ENOUGH):
        offset.answered(asked_ns=10, now_ns=9, theirs_ns=5)  # nobody answers before the question
    assert (offset.known, offset.ns) == (False, 0)


def test_one_answer_is_not_believed() -> None:
    offset = Offset()
    for n in range(ENOUGH):
        assert not offset.known
        offset.answered(n * 100, n * 100 + 200 - n, n * 100 + HOUR_NS)
    assert offset.known


@given(st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 10**8)), min_size=1, max_size=KEPT))
def test_it_is_wrong_by_half_the_smallest_round_trip_at_most(ways: list[tuple[int, int]]) -> None:
    offset, now_ns = Offset(), 5_000
    for there_ns, back_ns in ways:
        offset.answered(now_ns, now_ns + there_ns + back_ns, now_ns + there_ns + HOUR_NS)
        now_ns += 2_000_000_000
    assert abs(offset.ns - HOUR_NS) <= min(there + back for there, back in ways) // 2 + 1


def test_what_was_good_long_ago_is_forgotten_because_crystals_part() -> None:
    offset = Offset()
    offset.answered(0, 100, 50 + HOUR_NS)
    for n in range(1, KEPT + 1):
        offset.answered(n * 10_000, n * 10_000 + 200, n * 10_000 + 100 + HOUR_NS + 7_000)
    assert offset.ns == HOUR_NS + 7_000


def test_it_asks_quickly_at_first() -> None:
    offset = Offset()
    waits = [offset.again_s() for _ in range(FIRST + 2)]
    assert waits == [FIRST_S] * (FIRST - 1) + [THEN_S] * 3
