"""Turns open once and end once, whatever the service says in between."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.live.turns import STALL_S, WAITING_INPUTS, Began, Change, Ended, FirstAudio, Spoke, Started, Turns

pytestmark = pytest.mark.unit

MS = 1_000_000
S = 1_000_000_000


def kinds(changes: list[Change]) -> list[str]:
    return [type(change).__name__ for change in changes]


def ended(changes: list[Change]) -> Ended:
    return next(change for change in changes if isinstance(change, Ended))


def answering() -> Turns:
    turns = Turns()
    turns.speech_started(0)
    turns.speech_ended(1 * S, 1 * S)
    turns.output(2 * S, sound=True)
    return turns


def test_a_spoken_turn_from_its_first_word_to_its_end() -> None:
    turns = Turns(7)
    [started] = turns.speech_started(0)
    assert isinstance(started, Started)
    assert (started.turn.id, started.turn.kind) == (7, "speech")
    assert turns.speech_ended(1300 * MS, 1000 * MS) == []
    began, spoke, first = turns.output(1800 * MS, sound=True)
    assert isinstance(began, Began)
    assert isinstance(spoke, Spoke)
    assert spoke.new_input
    assert isinstance(first, FirstAudio)
    assert first.since_speech_end_ms == 800
    assert turns.output(1900 * MS, sound=True) == []
    turns.generation_complete(2000 * MS)
    end = ended(turns.turn_complete(5 * S))
    assert (end.outcome, end.after_ms) == ("answered", 3200)
    assert not turns.open


def test_the_latency_is_told_when_the_local_detection_has_caught_up_with_a_faster_service() -> None:
    turns = Turns()
    turns.speech_started(0)
    assert kinds(turns.output(1200 * MS, sound=True)) == ["Began", "Spoke"]
    [first] = turns.speech_ended(1320 * MS, 1000 * MS)
    assert isinstance(first, FirstAudio)
    assert first.since_speech_end_ms == 200


def test_pauses_within_a_question_make_one_turn() -> None:
    turns = Turns()
    turns.speech_started(0)
    turns.speech_ended(S, S)
    assert turns.speech_started(2 * S) == []
    assert turns.turn is not None
    assert turns.turn.speech_open


def test_spoken_over_the_turn_ends_and_the_next_one_opens_and_the_owed_turn_complete_ends_nothing() -> None:
    turns = answering()
    assert turns.speech_started(3 * S) == []
    changes = turns.interrupted(3200 * MS)
    assert kinds(changes) == ["Ended", "Started"]
    assert (ended(changes).outcome, ended(changes).after_ms) == ("interrupted", 1200)
    assert turns.turn_complete(3201 * MS) == []
    turns.speech_ended(4 * S, 4 * S)
    assert kinds(turns.output(5 * S, sound=True)) == ["Began", "Spoke", "FirstAudio"]
    assert ended(turns.turn_complete(6 * S)).outcome == "answered"


def test_an_interrupted_without_any_answer_ends_nothing_nor_does_its_turn_complete() -> None:
    turns = Turns()
    turns.speech_started(0)
    assert turns.interrupted(1) == []
    assert turns.turn_complete(2) == []
    assert turns.open


def test_an_interrupted_without_its_turn_complete_does_not_swallow_the_one_of_the_next_answer() -> None:
    turns = Turns()
    turns.speech_started(0)
    turns.interrupted(1)
    turns.speech_ended(S, S)
    turns.output(2 * S, sound=True)
    assert ended(turns.turn_complete(3 * S)).outcome == "answered"


def test_a_turn_complete_while_the_person_still_speaks_is_early_and_ignored() -> None:
    turns = Turns()
    turns.speech_started(0)
    assert turns.turn_complete(1) == []
    assert turns.open


def test_an_empty_turn_complete_ends_the_turn_empty() -> None:
    turns = Turns()
    turns.speech_started(0)
    turns.speech_ended(S, S)
    assert ended(turns.turn_complete(2 * S, reason="NEED_MORE_INPUT")).outcome == "empty"


def test_output_that_nobody_asked_for_opens_a_turn() -> None:
    turns = Turns()
    assert kinds(turns.output(0, sound=True)) == ["Started", "Began", "Spoke", "FirstAudio"]


def test_an_interaction_that_goes_on_keeps_its_turn() -> None:
    turns = answering()
    assert turns.turn_complete(3 * S, goes_on=True) == []
    turns.output(4 * S, sound=True)
    assert ended(turns.turn_complete(5 * S)).outcome == "answered"


@pytest.mark.parametrize("completes_at_the_call", [True, False])
def test_a_tool_call_keeps_the_turn_open_until_its_result_was_spoken_of(completes_at_the_call: bool) -> None:
    turns = Turns()
    turns.speech_started(0)
    turns.speech_ended(S, S)
    assert kinds(turns.tool_called(2 * S, "c1")) == ["Began"]
    if completes_at_the_call:
        assert turns.turn_complete(2 * S) == []
    turns.tool_settled(3 * S, "c1", answered=True)
    spoke = next(change for change in turns.output(4 * S, sound=True) if isinstance(change, Spoke))
    assert spoke.new_input, "the answer before may still play"
    assert ended(turns.turn_complete(5 * S)).outcome == "answered"


def test_what_is_said_of_a_result_after_its_turn_answers_no_new_input() -> None:
    turns = answering()
    turns.tool_called(3 * S, "c1")
    turns.interrupted(4 * S)
    turns.turn_complete(4 * S)
    turns.tool_settled(5 * S, "c1", answered=True)
    spoke = next(change for change in turns.output(6 * S, sound=True) if isinstance(change, Spoke))
    assert not spoke.new_input


def test_a_line_lost_in_mid_answer_leaves_the_turn_to_be_answered_anew() -> None:
    turns = answering()
    assert turns.lost(3 * S) == []
    assert kinds(turns.output(4 * S, sound=True)) == ["Began", "Spoke"]


def test_a_line_lost_after_the_whole_answer_ends_the_turn() -> None:
    turns = answering()
    turns.generation_complete(3 * S)
    assert ended(turns.lost(4 * S)).outcome == "answered"


def test_a_text_waits_for_the_answer_under_way_and_is_kept() -> None:
    turns = answering()
    assert turns.text_sent(3 * S, "hello") == []
    changes = turns.interrupted(4 * S)
    assert turns.turn is not None
    assert (turns.turn.kind, turns.turn.text) == ("text", "hello")
    assert kinds(changes) == ["Ended", "Started"]


def test_no_more_inputs_wait_than_there_is_room_for() -> None:
    turns = answering()
    for number in range(WAITING_INPUTS + 3):
        turns.text_sent(3 * S, str(number))
    assert len(turns.waiting) == WAITING_INPUTS
    assert turns.dropped == 3
    assert turns.waiting[0].text == "3"


def test_a_question_without_any_answer_ends_empty_but_not_while_the_line_is_down() -> None:
    turns = Turns()
    turns.speech_started(0)
    turns.speech_ended(S, S)
    for second in range(60):
        assert turns.tick(second * S, connected=False, playing=False) == []
    assert turns.tick(60 * S, connected=True, playing=False) == []
    assert ended(turns.tick(int((60 + STALL_S) * S), connected=True, playing=False)).outcome == "empty"


def test_an_answer_whose_turn_complete_never_comes_ends_after_it_was_heard() -> None:
    turns = answering()
    assert turns.tick(100 * S, connected=True, playing=True) == []
    assert ended(turns.tick(int((101 + STALL_S) * S), connected=True, playing=False)).outcome == "answered"


STEPS: list[tuple[str, Callable[[Turns, int], list[Change] | None]]] = [
    ("speech_started", lambda turns, now: turns.speech_started(now)),
    ("speech_ended", lambda turns, now: turns.speech_ended(now, now - 300 * MS)),
    ("text", lambda turns, now: turns.text_sent(now, "t")),
    ("greeting", lambda turns, now: turns.text_sent(now, "g", "greeting")),
    ("sound", lambda turns, now: turns.output(now, sound=True)),
    ("words", lambda turns, now: turns.output(now)),
    ("call", lambda turns, now: turns.tool_called(now, "c")),
    ("result", lambda turns, now: turns.tool_settled(now, "c", answered=True)),
    ("cancel", lambda turns, now: turns.tool_settled(now, "c", answered=False)),
    ("interrupted", lambda turns, now: turns.interrupted(now)),
    ("generated", lambda turns, now: turns.generation_complete(now)),
    ("complete", lambda turns, now: turns.turn_complete(now)),
    ("goes on", lambda turns, now: turns.turn_complete(now, goes_on=True)),
    ("lost", lambda turns, now: turns.lost(now)),
    ("tick", lambda turns, now: turns.tick(now, connected=True, playing=False)),
    ("tick down", lambda turns, now: turns.tick(now, connected=False, playing=True)),
    ("abandon", lambda turns, now: turns.abandon(now)),
]


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 4_000)), max_size=80))
def test_in_any_order_each_turn_opens_once_ends_once_and_in_the_end_all_is_quiet(
    steps: list[tuple[tuple[str, Callable[[Turns, int], list[Change] | None]], int]],
) -> None:
    turns = Turns()
    now, told, open_now = 0, set[int](), None
    newest = 0
    for (_, step), wait_ms in steps:
        now += wait_ms * MS
        for change in step(turns, now) or []:
            turn = change.turn
            if isinstance(change, Started):
                assert open_now is None
                assert turn.id == newest + 1
                open_now = newest = turn.id
                continue
            assert turn.id == open_now, "only the open turn changes"
            if isinstance(change, FirstAudio):
                assert turn.id not in told
                told.add(turn.id)
            if isinstance(change, Ended):
                assert change.after_ms >= 0
                assert (turn.spoke_ns is None) or turn.id in told
                open_now = None
        assert (turns.turn.id if turns.turn is not None else None) == open_now
        assert len(turns.waiting) <= WAITING_INPUTS
        assert turns.turn is not None or not turns.waiting
    if turns.turn is not None:
        turns.tool_settled(now, "c", answered=False)
    for _ in range(30 * (WAITING_INPUTS + 2)):
        now += 5 * S
        turns.tick(now, connected=True, playing=False)
        if turns.turn is not None and turns.turn.tools:
            turns.tool_settled(now, "c", answered=False)
    assert not turns.open
