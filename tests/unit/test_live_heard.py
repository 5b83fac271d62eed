"""The transcript is cut where hearing ended: a prefix, at a word, never more than was heard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.live.heard import FASTEST_CHARS_S, RATE, AnswerText

pytestmark = pytest.mark.unit

TEXT = "We are open every day from ten in the morning until six in the evening."


def spoken(text: str = TEXT, seconds: float = 5.0, start_at: int = 1_000) -> AnswerText:
    answer = AnswerText(3, start_at)
    words = text.split(" ")
    for number, word in enumerate(words, 1):
        answer.sound(start_at + int(seconds * RATE * number / len(words)))
        answer.words(" " + word)
    answer.complete = True
    return answer


def test_all_of_it_is_heard_at_its_end_and_not_before() -> None:
    answer = spoken()
    assert answer.heard(answer.end_at) == TEXT
    assert answer.heard(answer.end_at - RATE // 10) == TEXT.rsplit(" ", 1)[0]


def test_an_answer_that_goes_on_after_a_cut_goes_on_with_a_word_of_its_own() -> None:
    answer = spoken("Tickets are")
    answer.cut()
    answer.sound(answer.end_at + RATE)
    answer.words("twelve pounds.")
    assert answer.text == answer.heard(answer.end_at) == "Tickets are twelve pounds."


@pytest.mark.parametrize(
    ("before", "behind", "whole"),
    [
        (["Let me look", " that up."], ["I looked", " it up."], "Let me look that up. I looked it up."),
        (["Let me look that u"], ["p.", "Here it is."], "Let me look that up. Here it is."),
        (["One moment"], ["There is one."], "One moment There is one."),
        (["One moment. "], ["there", "fore"], "One moment. therefore"),
        (["Well"], [", yes."], "Well, yes."),
        ([], ["Three", "."], "Three."),
    ],
)
def test_what_follows_a_function_is_a_sentence_of_its_own(before: list[str], behind: list[str], whole: str) -> None:
    answer = AnswerText(0, 0)
    for piece in before:
        answer.words(piece)
    answer.called()
    for piece in behind:
        answer.words(piece)
    assert answer.text == whole


def test_half_of_it_is_about_half_of_the_words() -> None:
    answer = spoken()
    heard = answer.heard(answer.start_at + 5 * RATE // 2)
    assert TEXT.startswith(heard + " ")
    assert 0.35 < len(heard) / len(TEXT) < 0.55


def test_words_that_run_ahead_of_the_sound_were_not_heard() -> None:
    answer = AnswerText(1, 0)
    answer.words(TEXT)
    answer.sound(RATE)
    assert len(answer.heard(RATE // 2)) <= FASTEST_CHARS_S // 2


def test_words_that_came_before_the_place_was_known_keep_their_order() -> None:
    answer = AnswerText(0, 0)
    answer.words("We are ")
    answer.begins(4, 500)
    answer.sound(500 + RATE)
    answer.words("open.")
    answer.complete = True
    assert (answer.epoch, answer.text) == (4, "We are open.")
    assert answer.heard(500) == ""
    assert answer.heard(500 + RATE) == "We are open."


@given(
    st.lists(st.tuples(st.integers(0, 30_000), st.text("abc d,é\n", max_size=12)), max_size=20),
    st.lists(st.integers(0, 400_000), min_size=1, max_size=10),
    st.booleans(),
)
def test_it_grows_with_hearing_and_is_always_a_prefix_that_ends_at_a_word(
    pieces: list[tuple[int, str]], places: list[int], complete: bool
) -> None:
    answer = AnswerText(1, 100)
    for samples, words in pieces:
        answer.sound(answer.end_at + samples)
        answer.words(words)
    answer.complete = complete
    whole = answer.text.split()
    before: list[str] = []
    for at in sorted(places):
        heard = answer.heard(at).split()
        assert whole[: len(heard)] == heard
        assert len(heard) >= len(before)
        before = heard
    assert answer.heard(100 + 1_000_000).split() == whole or not complete
    assert answer.heard(0) == "" or answer.end_at == 100
