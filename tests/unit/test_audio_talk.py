"""When the machine sounds, from news that comes late."""

import pytest

from pipeline.audio.talk import Talk

pytestmark = pytest.mark.unit

MS, NS = 1_000_000, 1_000_000_000


def test_it_sounds_in_its_stretches_and_not_between_or_before() -> None:
    talk = Talk()
    assert not talk.at(0)
    for n in range(50):
        talk.played(10 * NS + n * 20 * MS, 480, 24_000)
    talk.played(20 * NS, 24_000, 24_000)
    for t, sounds in ((9 * NS, False), (10 * NS, True), (10 * NS + 999 * MS, True), (15 * NS, False), (20 * NS, True)):
        assert talk.at(t) is sounds, t
    assert talk.end_ns == 21 * NS


def test_news_is_waited_for_while_there_is_more_to_say_but_not_of_the_dead() -> None:
    talk = Talk()
    talk.sounding(NS)
    assert talk.at(NS + 100 * MS)
    assert not talk.at(NS - 100 * MS), "what was said before the answer began is not said over it"
    assert not talk.coming(NS + 600 * MS)
    talk.played(NS, 24_000, 24_000)
    assert talk.coming(2 * NS + 400 * MS)
    talk.unfinished = False
    assert not talk.at(2 * NS)


def test_a_pause_between_words_belongs_to_the_talk() -> None:
    talk = Talk()
    talk.played(NS, 2_400, 24_000)
    talk.played(NS + 200 * MS, 2_400, 24_000)
    assert talk.at(NS + 150 * MS)
