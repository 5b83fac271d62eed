"""Words come when they like: each goes to its turn, and what is kept is what was heard."""

from __future__ import annotations

import pytest

from pipeline.live import messages as m
from pipeline.live.memory import Said
from tests.rig.talk import SECOND, S, Talk

pytestmark = pytest.mark.unit

WORDS = "one two three four five six seven eight nine ten eleven twelve"


def kept(talk: Talk, turn: int = 1) -> str:
    return next((said.text for said in talk.memory.transcript if (said.turn, said.who) == (turn, "machine")), "")


def asked() -> Talk:
    talk = Talk()
    talk.up()
    talk.asks()
    return talk


def test_sound_that_comes_faster_than_it_is_heard_is_kept_as_far_as_it_was_heard() -> None:
    talk = asked()
    for word in WORDS.split():
        talk.says(SECOND, m.MachineSaid(word + " "))
    talk.says(m.GenerationComplete(), m.TurnComplete())
    before = ""
    for second in range(13):
        talk.hears(1, second * 24_000)
        assert WORDS.startswith(kept(talk))
        assert len(before) <= len(kept(talk)) <= len(WORDS) * second / 10
        before = kept(talk)
    assert before == WORDS


def test_words_that_come_after_the_interruption_are_of_the_answer_that_was_cut() -> None:
    talk = asked()
    talk.says(*[SECOND] * 12, m.MachineSaid("one two "))
    talk.hears(1, 24_000)
    talk.says(m.Interrupted())
    talk.hears(1, 72_000)
    talk.says(m.MachineSaid(WORDS.removeprefix("one two ")), m.TurnComplete())
    heard = kept(talk)
    assert heard
    assert WORDS.startswith(heard)
    assert len(heard) < len(WORDS) / 2
    captions = [body for body in talk.told("caption") if body["who"] == "machine"]
    assert captions[-1]["final"], "nothing is said of it after its last word"


def test_words_that_come_while_the_person_speaks_again_are_of_the_answer_before() -> None:
    talk = asked()
    talk.says(SECOND, m.GenerationComplete(), m.TurnComplete())
    talk.hears(1, 24_000)
    talk.do(talk.core.speech_started(talk.now, talk.now))
    talk.says(m.MachineSaid("At six."))
    assert kept(talk) == "At six."
    assert kept(talk, 2) == ""


def test_words_that_come_long_before_the_sound_are_of_the_answer_that_follows() -> None:
    talk = asked()
    talk.says(m.MachineSaid("At six."))
    talk.wait(2)
    talk.says(SECOND, m.GenerationComplete(), m.TurnComplete())
    talk.hears(1, 24_000)
    assert kept(talk) == "At six."


def test_an_answer_after_a_function_goes_on_in_its_epoch_and_is_heard_as_a_whole() -> None:
    talk = Talk(has_tools=True)
    talk.up()
    talk.asks()
    talk.says(m.MachineSaid("One moment. "), SECOND, m.ToolCall("c1", "f"), m.TurnComplete())
    talk.hears(1, 24_000)
    assert talk.told("turn_ended") == []
    talk.do(talk.core.tool_result(talk.now, "c1", {"ok": True}))
    talk.says(SECOND, m.MachineSaid("It is here."), m.GenerationComplete(), m.TurnComplete())
    assert kept(talk) == "One moment."
    talk.hears(1, 48_000)
    assert kept(talk) == "One moment. It is here."


def test_an_epoch_of_another_life_is_gone_above_and_what_went_below_was_not_heard() -> None:
    talk = asked()
    talk.says(m.MachineSaid("one two three "), *[SECOND] * 2)
    talk.hears(7, 1_000)
    talk.says(m.MachineSaid("four five six"), *[SECOND] * 2, m.GenerationComplete(), m.TurnComplete())
    assert talk.spoken()[-1] == (8, 24_000)
    talk.hears(8, 12_000)
    assert len(kept(talk)) <= 11
    talk.hears(8, 48_000)
    assert kept(talk) == "one two three four five six"
    assert all(isinstance(said, Said) for said in talk.memory.transcript)


def test_an_answer_that_plays_on_under_the_next_question_is_kept_as_far_as_it_is_heard_at_last() -> None:
    talk = asked()
    talk.says(m.MachineSaid(WORDS), *[SECOND] * 12, m.GenerationComplete(), m.TurnComplete())
    talk.hears(1, 24_000)
    talk.asks(0.5)
    talk.hears(1, 96_000)
    half = kept(talk)
    assert 0 < len(half) < len(WORDS)
    talk.says(m.MachineSaid("Yes."), SECOND)
    talk.now += S
    talk.hears(1, 120_000)
    talk.hears(2, 24_000)
    assert WORDS.startswith(kept(talk))
    assert len(kept(talk)) >= len(half)
    assert len(kept(talk)) < len(WORDS)
