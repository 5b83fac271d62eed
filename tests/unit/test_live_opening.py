"""Who may open a paid line, and that nothing of what was said before reaches the service."""

import pytest

from pipeline.live import effects as fx
from pipeline.live import messages as m
from tests.rig.talk import SECOND, Talk

pytestmark = pytest.mark.unit


def test_speech_opens_it_unless_another_must() -> None:
    assert Talk(idle_s=20).core.want.reason is None
    for opens in ("wake", "trigger", "presence"):
        talk = Talk(idle_s=20, opens=opens)
        assert talk.core.want.reason == "untriggered"
        talk.asks()
        assert talk.core.want.reason == "untriggered"
        assert fx.Dial() not in talk.done
        assert not talk.core.turns.open
        assert talk.core.visit.id is None


def test_what_was_said_before_the_trigger_is_never_sent_nor_answered() -> None:
    talk = Talk(idle_s=20, opens="trigger")
    before = talk.asks(2.0)
    talk.wait(5)
    assert fx.Dial() in talk.do(talk.core.triggered(talk.now, "button"))
    talk.up()
    place = talk.core.uplink.place()
    assert place is not None
    assert place >= before


@pytest.mark.parametrize(
    ("opens", "by", "opened"),
    [
        ("trigger", "button", True),
        ("trigger", "wake word alexa", True),
        ("wake", "wake word alexa", True),
        ("wake", "button", False),
        ("presence", "button", False),
    ],
)
def test_each_is_opened_by_its_own(opens: str, by: str, opened: bool) -> None:
    talk = Talk(idle_s=20, opens=opens)
    talk.do(talk.core.triggered(talk.now, by))
    assert (talk.core.want.reason is None) is opened


def test_presence_opens_and_greets_and_only_where_it_may() -> None:
    talk = Talk(idle_s=20, opens="presence", greeting="hello")
    talk.do(talk.core.visitor_arrived(talk.now))
    assert talk.core.want.reason is None
    assert talk.core.turns.open
    talk = Talk(idle_s=20, opens="trigger", greeting="hello")
    talk.do(talk.core.visitor_arrived(talk.now))
    assert talk.core.want.reason == "untriggered"
    assert not talk.core.turns.open


def test_a_wake_word_in_the_middle_of_a_sentence_takes_the_sentence_along() -> None:
    talk = Talk(idle_s=20, opens="wake")
    talk.voice_to(talk.now)
    start = talk.now
    talk.do(talk.core.speech_started(talk.now, start))
    talk.now += 10**9
    talk.voice_to(talk.now)
    effects = talk.do(talk.core.triggered(talk.now, "wake word alexa"))
    assert fx.Dial() in effects
    assert talk.core.turns.open
    place = talk.core.uplink.place()
    assert place is not None
    assert place <= start


def test_it_is_shut_again_when_the_line_sleeps_and_when_the_visitor_leaves() -> None:
    talk = Talk(idle_s=5, opens="trigger")
    talk.do(talk.core.triggered(talk.now, "button"))
    talk.up()
    talk.asks()
    talk.says(SECOND)
    talk.wait(0.2)
    talk.do(talk.core.visitor_left(talk.now))
    talk.wait(0.2)
    assert talk.core.want.reason == "untriggered"

    talk = Talk(idle_s=5, opens="trigger")
    talk.do(talk.core.triggered(talk.now, "button"))
    talk.up()
    talk.wait(6)
    assert fx.HangUp() in talk.done
    assert talk.core.want.reason == "untriggered"


def test_a_visit_that_a_killed_session_left_open_needs_no_second_trigger() -> None:
    talk = Talk(idle_s=20, opens="trigger")
    talk.do(talk.core.triggered(talk.now, "button"))
    talk.up()
    talk.asks()
    again = Talk(talk.killed(), now=talk.now, idle_s=20, opens="trigger")
    assert again.core.want.reason is None


def test_a_typed_text_opens_it() -> None:
    talk = Talk(idle_s=20, opens="wake")
    assert fx.Dial() in talk.do(talk.core.text_in(talk.now, "hello"))
    assert talk.core.want.reason is None


@pytest.mark.parametrize(("opens", "by"), [("trigger", "button"), ("wake", "wake word alexa")])
def test_an_outage_that_outlasts_the_visit_leaves_it_shut_and_the_next_one_is_served(opens: str, by: str) -> None:
    talk = Talk(idle_s=20, ends_after_s=30, opens=opens)
    talk.do(talk.core.triggered(talk.now, by))
    talk.up()
    first = talk.asks()
    talk.down()
    assert talk.core.want.reason is None, "somebody waits: it is dialled"
    talk.wait(40)
    assert [body["open"] for body in talk.told("visit")] == [True, False]
    assert talk.core.want.reason == "untriggered"
    talk.asks()
    assert talk.core.want.reason == "untriggered", "who has not opened it is not sent"
    talk.wait(2)
    assert fx.Dial() in talk.do(talk.core.triggered(talk.now, by))
    begins = talk.now
    talk.asks()
    talk.wait(8)  # the outage goes on
    talk.up()
    place = talk.core.uplink.place()
    assert place is not None
    assert first < begins - 10**9 <= place <= begins, "the whole question, and of nobody else"
    talk.voice_to(talk.now)
    talk.done.clear()
    talk.says(SECOND, m.GenerationComplete(), m.TurnComplete())
    assert [body["outcome"] for body in talk.told("turn_ended")] == ["answered"]
    assert not talk.core.turns.open


def test_a_sleeping_line_that_is_lost_while_it_dials_is_dialled_until_the_question_is_answered() -> None:
    talk = Talk(idle_s=5)
    talk.up()
    talk.wait(6)
    talk.down()
    assert talk.core.want.reason == "idle"
    talk.asks()
    assert fx.Dial() in talk.done
    for _ in range(3):
        talk.wait(4)
        talk.up()
        talk.down()
        assert talk.core.want.reason is None
    talk.up()
    talk.voice_to(talk.now)
    talk.says(SECOND, m.GenerationComplete(), m.TurnComplete())
    assert [body["outcome"] for body in talk.told("turn_ended")] == ["answered"]
