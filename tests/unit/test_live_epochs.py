"""When speech must no longer be heard: the rules of the epoch, one by one and in any order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.live.epochs import ROUNDING, STALE_S, Epochs

pytestmark = pytest.mark.unit

S = 1_000_000_000


def speaking(samples: int = 24_000, heard: int = 6_000) -> Epochs:
    epochs = Epochs(above=4)
    epochs.place(samples)
    epochs.heard(5, heard)
    return epochs


def test_a_session_starts_above_what_was_used_and_above_what_playback_heard() -> None:
    epochs = Epochs(above=4)
    assert epochs.epoch == 5
    assert epochs.heard(9, 100)
    assert (epochs.epoch, epochs.at) == (10, 0)
    assert not epochs.heard(9, 200)


def test_playback_that_heard_more_of_the_same_epoch_than_was_sent_speaks_of_another_life() -> None:
    epochs = Epochs(above=4)
    assert not epochs.heard(5, ROUNDING)
    assert epochs.heard(5, ROUNDING + 1)
    assert epochs.epoch == 6


def test_interrupted_raises_only_if_something_is_unheard() -> None:
    epochs = speaking()
    assert epochs.interrupted()
    assert (epochs.epoch, epochs.at, epochs.unheard) == (6, 0, 0)
    assert not epochs.interrupted()
    assert epochs.epoch == 6


def test_an_answer_to_new_input_silences_the_old_one_while_that_still_plays() -> None:
    epochs = speaking()
    assert epochs.answer_begins(new_input=True)
    assert epochs.place(10) == 0


def test_an_answer_after_all_was_heard_is_appended() -> None:
    epochs = speaking(heard=24_000)
    assert not epochs.answer_begins(new_input=True)
    assert (epochs.epoch, epochs.place(10)) == (5, 24_000)


def test_speech_that_goes_on_after_a_tool_is_appended() -> None:
    epochs = speaking()
    assert not epochs.answer_begins(new_input=False)
    assert epochs.epoch == 5


def test_after_a_local_flush_the_old_generation_is_dropped_and_its_interrupted_does_not_raise_again() -> None:
    epochs = speaking()
    assert epochs.barge_in(0)
    assert not epochs.accepts(1 * S)
    epochs.place(100)  # whatever was sent meanwhile
    assert not epochs.interrupted()
    assert epochs.accepts(1 * S)
    assert epochs.epoch == 6


def test_a_local_flush_that_the_service_never_notices_ends_by_time() -> None:
    epochs = speaking()
    epochs.barge_in(0)
    assert not epochs.accepts(int(STALE_S * S) - 1)
    assert epochs.accepts(int(STALE_S * S))


def test_a_local_flush_ends_with_the_turn() -> None:
    epochs = speaking()
    epochs.barge_in(0)
    epochs.turn_complete()
    assert epochs.accepts(1)


STEPS = st.one_of(
    st.tuples(st.just("place"), st.integers(1, 5_000)),
    st.tuples(st.just("heard"), st.integers(0, 8_000)),
    st.tuples(st.just("late heard"), st.integers(0, 8_000)),
    st.tuples(st.just("foreign heard"), st.integers(0, 3)),
    st.tuples(st.just("interrupted"), st.just(0)),
    st.tuples(st.just("barge_in"), st.just(0)),
    st.tuples(st.just("begins"), st.booleans()),
    st.tuples(st.just("complete"), st.just(0)),
)


@given(st.lists(STEPS, max_size=60))
def test_in_any_order_epochs_only_rise_places_have_no_holes_and_a_raise_has_a_cause(
    steps: list[tuple[str, int]],
) -> None:
    epochs = Epochs()
    now = 0
    for step, value in steps:
        now += S // 10
        epoch, at, unheard = epochs.epoch, epochs.at, epochs.unheard
        raised = False
        if step == "place" and epochs.accepts(now):
            assert epochs.place(value) == at
            assert epochs.at == at + value
        elif step == "heard":
            epochs.heard(epoch, min(value, at))
            assert epochs.epoch == epoch
        elif step == "late heard":
            assert not epochs.heard(epoch - 1, value)
        elif step == "foreign heard":
            assert epochs.heard(epoch + 1 + value, 0)
            assert epochs.epoch == epoch + 2 + value
            continue
        elif step == "interrupted":
            raised = epochs.interrupted()
        elif step == "barge_in":
            raised = epochs.barge_in(now)
        elif step == "begins":
            raised = epochs.answer_begins(bool(value))
            assert raised <= bool(value)
        else:
            epochs.turn_complete()
        assert epochs.epoch == epoch + raised
        if raised:
            assert unheard > 0
            assert (epochs.at, epochs.unheard) == (0, 0)
