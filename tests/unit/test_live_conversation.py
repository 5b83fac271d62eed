"""The rules that need more than one part: epochs and turns, coverage and replay, visits and what a line is told."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.live import effects as fx
from pipeline.live import messages as m
from pipeline.live.kept import Block
from pipeline.live.memory import Memory, Said
from pipeline.live.uplink import PREROLL_NS
from tests.rig.talk import MS, SECOND, S, Talk, sent

pytestmark = pytest.mark.unit


def test_a_spoken_turn_is_told_spoken_and_covers_what_was_asked() -> None:
    talk = Talk()
    talk.up()
    end = talk.asks()
    talk.wait(0.5)
    talk.says(m.PersonSaid("When do you close?", True), m.MachineSaid("At six."), SECOND, SECOND)
    talk.says(m.GenerationComplete(), m.TurnComplete())
    assert talk.spoken() == [(1, 0), (1, 24_000)]
    assert [body["outcome"] for body in talk.told("turn_ended")] == ["answered"]
    assert talk.told("answered")[0]["t"] >= end
    assert talk.told("first_audio")[0]["since_speech_end_ms"] == 803
    assert [(body["who"], body["text"], body["final"]) for body in talk.told("caption")] == [
        ("person", "When do you close?", True),
        ("machine", "At six.", False),
        ("machine", "At six.", True),
    ]
    assert talk.memory.transcript[0] == Said(1, "person", "When do you close?")


def test_interrupted_flushes_first_and_is_told_with_what_was_heard() -> None:
    talk = Talk()
    talk.up()
    talk.asks()
    words = "one two three four five six seven eight"
    talk.says(m.MachineSaid(words), *[SECOND] * 4, m.GenerationComplete())
    talk.hears(1, 24_000)
    talk.now += S
    effects = talk.says(m.Interrupted(), m.TurnComplete())
    assert effects[0] == fx.Tell("flush", {"epoch": 2, "cause": "interrupted"}, sticky=True)
    assert talk.told("interrupted") == [], "playback has not said yet where it cut"
    talk.hears(1, 48_000)
    [interrupted] = talk.told("interrupted")
    assert interrupted["by"] == "server"
    assert interrupted["after_ms"] > 1_000
    assert words.startswith(interrupted["heard_text"] + " ")
    assert 0 < len(interrupted["heard_text"]) < len(words) * 0.6
    assert talk.memory.transcript[-1] == Said(1, "machine", interrupted["heard_text"])
    talk.says(SECOND)
    assert talk.spoken()[-1] == (2, 0)


def test_an_interruption_that_playback_never_reports_is_told_all_the_same() -> None:
    talk = Talk()
    talk.up()
    talk.asks()
    talk.says(SECOND)
    talk.hears(1, 100)
    talk.says(m.Interrupted())
    talk.wait(0.4)
    assert len(talk.told("interrupted")) == 1


def test_an_answer_to_a_new_question_silences_the_old_one_and_one_after_silence_does_not() -> None:
    talk = Talk()
    talk.up()
    talk.asks()
    talk.says(*[SECOND] * 3, m.TurnComplete())
    talk.asks(0.3)
    talk.says(SECOND, m.TurnComplete())
    assert talk.told("flush") == [{"epoch": 2, "cause": "new_answer"}]
    talk.hears(2, 24_000)
    talk.asks(0.3)
    talk.says(SECOND)
    assert talk.spoken()[-1] == (2, 24_000)
    assert len(talk.told("flush")) == 1


def test_without_a_tools_stage_every_call_is_refused_at_once() -> None:
    talk = Talk()
    talk.up()
    talk.asks()
    [result] = sent(talk.says(m.ToolCall("c1", "get_it", {"a": 1})))
    assert isinstance(result, fx.SendToolResult)
    assert (result.id, result.name) == ("c1", "get_it")
    assert "get_it" in result.response["error"]
    talk.says(SECOND, m.TurnComplete())
    assert talk.told("turn_ended")[0]["outcome"] == "answered"


def test_a_call_is_published_until_its_result_came_and_is_answered_once() -> None:
    talk = Talk(has_tools=True)
    talk.up()
    talk.asks()
    effects = talk.says(m.ToolCall("c1", "f"), m.ToolCall("c1", "f"))
    [call] = [effect for effect in effects if isinstance(effect, fx.Tell) and effect.name == "tool_call"]
    assert (call.sticky, call.key) == (True, "c1")
    result = talk.do(talk.core.tool_result(talk.now, "c1", {"ok": True}))
    assert fx.Unstick("tool_call", "c1") in result
    assert sent(result) == [fx.SendToolResult("c1", "f", {"ok": True})]
    assert sent(talk.do(talk.core.tool_result(talk.now, "c1", {"ok": True}))) == []


def test_calls_end_with_their_cancellation_and_with_their_line() -> None:
    talk = Talk(has_tools=True)
    talk.up()
    talk.asks()
    talk.says(m.ToolCall("c1", "f"), m.ToolCall("c2", "f"))
    assert fx.Unstick("tool_call", "c1") in talk.says(m.ToolCallsCancelled(("c1", "c9")))
    assert fx.Unstick("tool_call", "c2") in talk.down()
    assert sent(talk.do(talk.core.tool_result(talk.now, "c2", {}))) == []


def test_a_question_asked_while_the_line_is_away_is_given_to_the_next_one() -> None:
    talk = Talk()
    talk.up()
    talk.voice_to(talk.now)
    talk.asks()
    talk.says(SECOND, m.TurnComplete())
    talk.wait(1)
    talk.down()
    start = talk.now
    talk.asks()
    talk.wait(8)
    assert len(talk.told("turn_ended")) == 1, "a question is not given up while nobody can answer it"
    talk.up()
    assert talk.core.uplink.place() == start - PREROLL_NS


def test_an_answer_cut_by_the_loss_of_the_line_is_asked_for_again_a_whole_one_is_not() -> None:
    talk = Talk(Memory(answered_t=99 * S))
    talk.up()
    talk.voice_to(talk.now)
    start = talk.now
    talk.asks()
    talk.says(SECOND)
    talk.down()
    assert talk.told("turn_ended") == []
    assert talk.core.uplink.place() == start - PREROLL_NS
    talk.up()
    talk.voice_to(talk.now + S)
    talk.says(SECOND, m.GenerationComplete())
    talk.down()
    assert [body["outcome"] for body in talk.told("turn_ended")] == ["answered"]


def test_a_fresh_line_is_told_the_transcript_as_heard_and_a_resumed_one_nothing() -> None:
    talk = Talk(greeting="Greet them.")
    assert sent(talk.up()) == [fx.SendContext((("user", "Greet them."),))]
    talk.asks()
    talk.says(m.PersonSaid("Hello?", True), m.MachineSaid("Welcome to the museum."), SECOND)
    talk.says(m.Handle("H1", True), m.GenerationComplete(), m.TurnComplete())
    talk.hears(1, 24_000)
    talk.down()
    assert talk.core.resumption.handle == "H1"
    assert sent(talk.up(resumed=True)) == []
    talk.down()
    assert sent(talk.up()) == [fx.SendContext((("user", "Hello?"), ("model", "Welcome to the museum.")))]
    assert talk.memory.handle is None


def test_a_handle_older_than_the_last_turn_is_not_used() -> None:
    talk = Talk()
    talk.up()
    talk.asks()
    talk.says(SECOND, m.Handle("H1", True), m.TurnComplete())
    talk.says(m.Handle("", False))
    assert talk.core.resumption.handle == "H1"
    talk.asks()
    talk.says(m.MachineSaid("yes"), SECOND, m.TurnComplete())
    assert talk.core.resumption.handle is None


def test_a_text_that_the_lost_line_did_not_answer_is_given_to_the_next() -> None:
    talk = Talk()
    talk.do(talk.core.text_in(talk.now, "hello"))
    assert sent(talk.done) == []
    assert sent(talk.up()) == [fx.SendText("hello")]
    talk.down()
    assert sent(talk.up()) == [fx.SendText("hello")]
    talk.says(SECOND, m.TurnComplete())
    talk.down()
    assert fx.SendText("hello") not in sent(talk.up())


def test_whoever_arrives_is_greeted_once_and_a_visit_ends_in_silence() -> None:
    talk = Talk(greeting="Greet them.", ends_after_s=60)
    talk.up()
    effects = talk.do(talk.core.visitor_arrived(talk.now))
    assert sent(effects) == [fx.SendText("Greet them.")]
    assert talk.told("turn_started") == [{"turn": 1, "kind": "greeting"}]
    talk.says(SECOND, m.GenerationComplete(), m.TurnComplete())
    talk.hears(1, 24_000)
    assert sent(talk.do(talk.core.visitor_arrived(talk.now))) == []
    talk.asks()
    talk.says(m.PersonSaid("my secret", True), SECOND, m.TurnComplete())
    talk.hears(1, 48_000)
    talk.wait(59)
    assert talk.told("visit") == [{"id": 1, "open": True}]
    talk.wait(2)
    assert talk.told("visit")[-1] == {"id": 1, "open": False}
    assert any(isinstance(effect, fx.Renew) for effect in talk.done)
    talk.down()
    assert "secret" not in json.dumps(dataclasses.asdict(talk.memory))
    assert sent(talk.up()) == [fx.SendContext((("user", "Greet them."),))]
    assert sent(talk.do(talk.core.visitor_arrived(talk.now))) == [fx.SendText("Greet them.")]
    assert talk.told("visit")[-1] == {"id": 2, "open": True}


def test_a_late_transcript_of_the_visitor_before_is_told_to_nobody() -> None:
    talk = Talk()
    talk.up()
    talk.asks()
    talk.says(SECOND, m.TurnComplete())
    talk.hears(1, 24_000)
    talk.wait(61)
    talk.says(m.PersonSaid("my secret"), m.MachineSaid("your secret"))
    talk.down()
    talk.up()
    talk.asks()
    talk.says(SECOND, m.TurnComplete())
    assert not any("secret" in body["text"] for body in talk.told("caption"))


def test_speech_whose_end_nobody_will_say_holds_neither_turn_nor_visit() -> None:
    talk = Talk()
    talk.up()
    talk.do(talk.core.speech_started(talk.now, talk.now))
    talk.voice_to(talk.now + S)
    talk.core.speech_lost(talk.now)
    talk.says(SECOND, m.TurnComplete())
    talk.hears(1, 24_000)
    assert not talk.core.turns.open
    talk.wait(61)
    assert talk.told("visit")[-1]["open"] is False


def test_a_killed_session_is_followed_by_one_that_goes_on() -> None:
    talk = Talk(greeting="Greet them.")
    talk.up()
    talk.asks()
    talk.says(m.PersonSaid("one", True), m.MachineSaid("a"), SECOND, m.GenerationComplete(), m.TurnComplete())
    answered_t = talk.memory.answered_t
    talk.hears(1, 24_000)
    talk.asks()
    talk.says(SECOND)  # killed here, in mid-answer
    after = Talk(talk.killed(), greeting="Greet them.")
    assert after.told("visit") == [{"id": 1, "open": True}]
    place = after.core.uplink.place()
    assert answered_t is not None
    assert place is not None
    assert answered_t - 300 * MS <= place <= answered_t, "all since the last answer, and from before the question began"
    assert sent(after.up()) == [fx.SendContext((("user", "one"), ("model", "a")))]
    after.voice_to(after.now)
    after.says(SECOND, m.TurnComplete())
    assert after.spoken() == [(2, 0)]
    assert after.told("turn_started") == [], "it was told before the kill"
    assert after.told("turn_ended")[0]["turn"] == 2


def test_an_answer_that_was_whole_when_the_session_died_is_not_given_again() -> None:
    talk = Talk()
    talk.up()
    end = talk.asks()
    talk.says(m.PersonSaid("one", True), m.MachineSaid("a long answer"), *[SECOND] * 5, m.GenerationComplete())
    talk.hears(1, 24_000)  # killed here: playback holds the rest, and says it to its end
    after = Talk(talk.killed())
    assert after.told("turn_ended") == [{"turn": 1, "kind": "speech", "outcome": "answered", "reason": "taken over"}]
    assert after.told("answered")[0]["t"] >= end
    assert [(body["who"], body["text"], body["final"]) for body in after.told("caption")] == [
        ("person", "one", True),
        ("machine", "a long answer", True),
    ]
    assert sent(after.up()) == [fx.SendContext((("user", "one"), ("model", "a long answer")))]
    place = after.core.uplink.place()
    assert place is not None
    assert place >= end, "the question is not asked again"
    assert after.told("flush") == [], "what plays, plays on"
    after.hears(1, 26_400)
    after.wait(5)
    assert after.told("turn_started") == [], "playback lives and plays it"


def test_an_answer_whose_playback_died_with_the_session_is_asked_for_again() -> None:
    talk = Talk()
    talk.up()
    talk.asks()
    talk.says(m.PersonSaid("one", True), m.MachineSaid("a long answer"), SECOND)
    talk.hears(1, 2_400)
    talk.says(*[SECOND] * 4, m.GenerationComplete())
    after = Talk(talk.killed())
    after.up()
    after.done.clear()
    after.wait(5)
    (again,) = [effect.text for effect in sent(after.done) if isinstance(effect, fx.SendText)]
    assert '"one"' in again
    assert '"a long answer"' in again
    assert [body["kind"] for body in after.told("turn_started")] == ["text"]


def test_a_session_that_comes_back_after_the_visit_knows_nothing_of_it() -> None:
    talk = Talk()
    talk.up()
    talk.asks()
    talk.says(m.PersonSaid("one", True), SECOND, m.TurnComplete())
    talk.memory.active_ns = 39 * S
    after = Talk(talk.memory)
    assert after.told("visit") == [{"id": 1, "open": False}]
    assert sent(after.up()) == []


def test_answers_in_text_are_captions() -> None:
    talk = Talk()
    talk.up()
    talk.asks()
    talk.says(m.Text("thinking", True), m.Text("At "), m.Text("six."), m.GenerationComplete(), m.TurnComplete())
    captions = [(body["text"], body["final"]) for body in talk.told("caption")]
    assert captions == [("At", False), ("At six.", False), ("At six.", True)]
    assert talk.memory.transcript == [Said(1, "machine", "At six.")]
    assert talk.told("turn_ended")[0]["outcome"] == "answered"


def test_half_a_sample_waits_for_its_other_half() -> None:
    talk = Talk()
    talk.up()
    talk.says(m.Speech(b"\1\0\2"), m.Speech(b"\0\3\0"))
    assert [effect.pcm for effect in talk.done if isinstance(effect, fx.Speak)] == [b"\1\0", b"\2\0\3\0"]
    assert talk.spoken() == [(1, 0), (1, 1)]


def test_sound_of_another_rate_keeps_its_place_in_24_khz() -> None:
    talk = Talk()
    talk.up()
    talk.says(m.Speech(bytes(320), 16_000), SECOND)
    assert talk.spoken() == [(1, 0), (1, 240)]


def test_a_go_away_rolls_in_a_gap_or_just_before_its_time_is_over() -> None:
    talk = Talk()
    talk.up()
    talk.asks()
    talk.says(SECOND, m.GoAway(50.0))
    talk.wait(5)
    talk.says(SECOND)
    assert not any(isinstance(effect, fx.Renew) for effect in talk.done)
    talk.says(m.TurnComplete())
    talk.hears(1, 48_000)
    talk.wait(1)
    assert not any(isinstance(effect, fx.Renew) for effect in talk.done), "a handle that knows the turn may come yet"
    talk.wait(3)
    assert fx.Renew("the service will hang up") in talk.done
    talk.done.clear()
    talk.asks()
    talk.says(m.GoAway(10.0))
    for _ in range(9):
        talk.says(SECOND)
        talk.wait(1)
    assert fx.Renew("the service will hang up") in talk.done


def test_it_is_at_rest_when_the_source_has_ended_and_all_is_answered_and_heard() -> None:
    talk = Talk()
    talk.up()
    talk.asks()
    talk.core.uplink.source_over()
    talk.core.uplink.take()
    talk.wait(2)
    assert not talk.core.at_rest(talk.now)
    talk.says(SECOND, m.TurnComplete())
    talk.wait(2)
    assert not talk.core.at_rest(talk.now), "not heard yet"
    talk.hears(1, 24_000)
    talk.wait(0.1)
    assert talk.core.at_rest(talk.now)


VALUES = st.sampled_from(
    [
        SECOND,
        m.Speech(b"\1"),
        m.Interrupted(),
        m.Text("w "),
        m.Text("t", True),
        m.OtherPart("image/png"),
        m.PersonSaid("hello "),
        m.PersonSaid("he", interim=True),
        m.PersonSaid("hello", True),
        m.MachineSaid("word "),
        m.ToolCall("c1", "f"),
        m.ToolCall("c2", "f"),
        m.ToolCallsCancelled(("c1",)),
        m.GenerationComplete(),
        m.TurnComplete(),
        m.TurnComplete("X", True),
        m.Idle(),
        m.WaitingForInput(),
        m.Usage(total=3),
        m.GoAway(3.0),
        m.Handle("H", True),
        m.Handle("", False),
        m.VoiceActivity("start"),
        m.Grounding(("q",)),
    ]
)
STEPS = st.one_of(
    st.tuples(st.just("says"), VALUES),
    st.tuples(st.sampled_from(["up", "down", "asks", "starts", "ends", "text", "arrives", "kill"]), st.none()),
    st.tuples(st.just("hears"), st.floats(0, 1)),
    st.tuples(st.just("result"), st.sampled_from(["c1", "c2", "c3"])),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 12.0, 70.0])),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=50), st.booleans())
def test_in_any_order_the_rules_hold(steps: list[tuple[str, Any]], has_tools: bool) -> None:
    talk = Talk(greeting="Greet.", has_tools=has_tools)
    for step, value in steps:
        core = talk.core
        if step == "says" and core.connected:
            talk.says(value)
        elif step == "up" and not core.connected:
            talk.up(resumed=core.resumption.handle is not None)
        elif step == "down" and core.connected:
            talk.down()
        elif step == "asks":
            talk.asks()
        elif step == "starts":
            talk.do(core.speech_started(talk.now, talk.now))
        elif step == "ends":
            talk.do(core.speech_ended(talk.now, talk.now, None))
        elif step == "text":
            talk.do(core.text_in(talk.now, "text"))
        elif step == "arrives":
            talk.do(core.visitor_arrived(talk.now))
        elif step == "hears":
            talk.hears(core.downlink.epochs.epoch, int(value * core.downlink.epochs.at))
        elif step == "result":
            talk.do(core.tool_result(talk.now, value, {}))
        elif step == "wait":
            talk.wait(value)
        elif step == "kill":
            now, done = talk.now, talk.done
            talk = Talk(talk.killed(), greeting="Greet.", has_tools=has_tools)
            talk.now, talk.done = now, done + talk.done
    check(talk.done)


def check(done: list[fx.Effect]) -> None:
    epoch = at = newest = answered_t = 0
    open_turns: set[int] = set()
    sticky: set[str] = set()
    for effect in done:
        match effect:
            case fx.Speak():
                assert effect.epoch >= epoch
                assert effect.at == (at if effect.epoch == epoch else 0), "no hole, and each epoch begins at 0"
                epoch, at = effect.epoch, effect.at + len(effect.pcm) // 2
            case fx.Tell("flush", body):
                assert body["epoch"] > epoch
                epoch, at = body["epoch"], 0
            case fx.Tell("turn_started", body):
                assert body["turn"] > newest
                newest = body["turn"]
                open_turns.add(newest)
            case fx.Tell("turn_ended", body):
                open_turns.remove(body["turn"])
            case fx.Tell("answered", body):
                assert body["t"] > answered_t
                answered_t = body["t"]
            case fx.Tell("tool_call", body, sticky=True):
                sticky.add(body["id"])
            case fx.Unstick("tool_call", key):
                sticky.discard(key)
            case fx.SendToolResult(call_id):
                assert call_id not in sticky, "what is answered is no more published"
    assert len(open_turns) <= 1


def test_a_long_visit_is_told_to_a_fresh_line_in_its_newest_part_and_that_is_said() -> None:
    talk = Talk(Memory(visit=1, active_ns=100 * S, left_out=7, transcript=[Said(9, "person", "And then?")]))
    effects = talk.up()
    assert fx.SendContext((("user", "And then?"),)) in effects
    [note] = [effect for effect in effects if isinstance(effect, fx.Note)]
    assert note.fields == {"left_out": 7}


@pytest.mark.parametrize("heard", [False, True])
def test_a_service_that_falls_silent_is_left_though_a_block_of_voice_is_always_on_its_way(heard: bool) -> None:
    talk = Talk()
    talk.up()
    talk.says(m.Handle("h", True))
    talk.asks()
    if heard:
        talk.says(m.PersonSaid("When do you close?", True))
    renewed: list[str] = []
    for _ in range(100):
        talk.voice_to(talk.now)
        talk.core.voice(talk.now, Block(talk.now, bytes(640)))
        talk.now += 100 * MS
        renewed += [effect.reason for effect in talk.do(talk.core.tick(talk.now)) if isinstance(effect, fx.Renew)]
    assert len(renewed) == 1
    assert (talk.core.resumption.handle is None) == heard, "a session that hears and does not speak will not speak"


def test_texts_that_waited_for_a_line_are_answered_one_after_the_other() -> None:
    talk = Talk()
    for text in ("first", "second"):
        talk.do(talk.core.text_in(talk.now, text))
    assert sent(talk.up()) == [fx.SendText("first")]
    talk.wait(0.2)
    talk.says(m.MachineSaid("One."), SECOND, m.GenerationComplete(), m.TurnComplete())
    talk.done.clear()
    talk.hears(1, 24_000)
    talk.wait(1.5)
    assert sent(talk.done) == [fx.SendText("second")]
    talk.says(m.MachineSaid("Two."), SECOND, m.GenerationComplete(), m.TurnComplete())
    assert [body["outcome"] for body in talk.told("turn_ended")] == ["answered"]
    assert not talk.core.turns.open


def test_texts_given_before_an_answer_begins_share_it() -> None:
    talk = Talk()
    talk.up()
    for text in ("first", "second"):
        assert sent(talk.do(talk.core.text_in(talk.now, text))) == [fx.SendText(text)]
    talk.says(m.MachineSaid("Both."), SECOND, m.GenerationComplete(), m.TurnComplete())
    assert [body["outcome"] for body in talk.told("turn_ended")] == ["answered", "answered"]
    assert not talk.core.turns.open, "nothing is owed that would be asked again"


def test_what_was_typed_while_no_line_was_there_outlives_a_kill_and_is_answered_in_its_order() -> None:
    talk = Talk()
    for number, text in enumerate(("first", "second", "third")):
        talk.do(talk.core.text_in(talk.now, text, f"n{number}"))
    after = Talk(talk.killed(), now=talk.now + S)
    after.do(after.core.text_in(after.now, "third", "n2"))  # told again by who keeps it for a session that comes late
    after.do(after.core.text_in(after.now, "fourth", "n3"))
    asked = sent(after.up())
    for _ in range(4):
        after.says(m.MachineSaid("So."), SECOND, m.GenerationComplete(), m.TurnComplete())
        after.done.clear()
        after.hears(after.core.downlink.epochs.epoch, after.core.downlink.epochs.at)
        after.wait(1.5)
        asked += sent(after.done)
    assert asked == [fx.SendText(text) for text in ("first", "second", "third", "fourth")]
    assert not after.core.turns.open
    last = Talk(after.killed(), now=after.now + S)
    assert not last.core.turns.open, "nothing is asked again"


def test_what_a_visitor_typed_is_not_answered_to_the_next() -> None:
    talk = Talk()
    for text in ("first", "second"):
        talk.do(talk.core.text_in(talk.now, text, text))
    talk.do(talk.core.visitor_left(talk.now))
    after = Talk(talk.killed(), now=talk.now + S)
    after.do(after.core.text_in(after.now, "second", "second"))
    assert sent(after.up()) == []
    assert "second" not in talk.saved.replace('"texts_taken": ["first", "second"]', "")


def test_an_end_of_speech_that_comes_after_its_answer_has_begun_opens_no_turn() -> None:
    talk = Talk()
    talk.up()
    start_t = talk.now
    talk.do(talk.core.speech_started(talk.now, start_t))
    talk.now += S
    talk.voice_to(talk.now)
    end_t = talk.now - 100 * MS
    talk.wait(1.5)  # the microphone is gone
    talk.says(SECOND)
    talk.do(talk.core.speech_ended(talk.now, end_t, start_t))  # and back
    talk.says(m.GenerationComplete(), m.TurnComplete())
    assert [body["outcome"] for body in talk.told("turn_ended")] == ["answered"]
    assert not talk.core.turns.open, "nobody waits for anything"


def test_a_text_and_a_question_that_waited_together_share_the_answer() -> None:
    talk = Talk()
    talk.up()
    talk.down()
    talk.do(talk.core.text_in(talk.now, "hello"))
    end_t = talk.asks()
    talk.wait(1)
    assert sent(talk.up()) == [fx.SendText("hello")]
    talk.voice_to(talk.now)
    talk.says(SECOND, m.GenerationComplete(), m.TurnComplete())
    assert [(body["kind"], body["outcome"]) for body in talk.told("turn_ended")] == [
        ("text", "answered"),
        ("speech", "answered"),
    ]
    assert talk.told("answered")[-1]["t"] >= end_t, "nobody asks it again"


def test_a_question_is_not_given_up_before_its_line_was_changed_though_this_machine_stood_still() -> None:
    talk = Talk()
    talk.up()
    talk.asks()
    talk.wait(4)
    talk.core.voice(talk.now, Block(talk.core.uplink.seen_t or 0, bytes(4 * 32_000)))  # all at once: it was away
    talk.do(talk.core.tick(talk.now))
    talk.voice_to(talk.now)
    talk.wait(9)
    assert not talk.told("turn_ended")
    assert [each for each in talk.done if isinstance(each, fx.Renew)]


def test_what_was_told_of_questions_in_an_outage_outlives_a_kill() -> None:
    talk = Talk()
    talk.up()
    talk.voice_to(talk.now)
    talk.down()
    spoken = []
    for _ in range(2):
        begins = talk.now
        spoken.append((begins, talk.asks()))
        talk.wait(3)
    after = Talk(talk.killed(), now=talk.now + S)
    assert after.memory.told == spoken
    assert after.core.uplink.quiet
    after.voice_to(after.now)
    after.up()
    after.voice_to(after.now)
    after.says(SECOND, m.GenerationComplete(), m.TurnComplete())
    assert after.memory.told == []
