"""The machine began while the person still spoke: told with how long, and only then."""

from __future__ import annotations

import pytest

from pipeline.live.talked_over import LEAST_MS, TalkedOver

pytestmark = pytest.mark.unit

S = 1_000_000_000
MS = 1_000_000


def ms(over: TalkedOver, end_t: int) -> list[int]:
    return [effect.body["ms"] for effect in over.speech_ended(end_t)]  # type: ignore[union-attr]


def test_speech_that_goes_on_under_an_answer_is_told_once_it_ends() -> None:
    over = TalkedOver()
    over.answer_begins(10 * S, 3, 1, 0, hears_person=True)
    [told] = over.speech_ended(11 * S)
    assert told.name == "talked_over"  # type: ignore[union-attr]
    assert told.body == {"turn": 3, "ms": 1000}  # type: ignore[union-attr]
    assert over.speech_ended(12 * S) == []


def test_speech_that_ended_before_the_answer_or_began_after_it_was_not_talked_over() -> None:
    over = TalkedOver()
    over.answer_begins(10 * S, 3, 1, 0, hears_person=True)
    assert ms(over, 10 * S - 300 * MS) == [], "the voice detection is slow to notice an end"
    over.answer_begins(10 * S, 3, 1, 0, hears_person=True)
    assert ms(over, 10 * S + (LEAST_MS - 1) * MS) == []
    over.answer_begins(10 * S, 3, 1, 0, hears_person=False)
    assert ms(over, 14 * S) == [], "that is a barge-in"


def test_what_counts_is_when_it_was_heard() -> None:
    over = TalkedOver()
    over.answer_begins(10 * S, 3, 2, 500, hears_person=True)
    over.audible(9 * S, 1, 0)
    over.audible(10 * S + 400 * MS, 2, 500)
    assert ms(over, 11 * S) == [600]


def test_speech_whose_end_is_lost_is_told_of_nothing() -> None:
    over = TalkedOver()
    over.answer_begins(10 * S, 3, 1, 0, hears_person=True)
    over.speech_lost()
    assert ms(over, 14 * S) == []
