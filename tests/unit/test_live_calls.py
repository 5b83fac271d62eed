"""Calls: answered once, over the death of their line, and never for somebody else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.live import effects as fx
from pipeline.live import messages as m
from pipeline.live.calls import DEADLINE_S
from tests.rig.talk import SECOND, S, Talk, sent

pytestmark = pytest.mark.unit


def called(**options: Any) -> Talk:
    """Somebody asked for something that takes a function."""
    talk = Talk(has_tools=True, **options)
    talk.core.tools([{"name": "f", "blocking": True}])
    talk.up()
    talk.asks()
    talk.says(m.PersonSaid("where is it?", True), m.ToolCall("c1", "f", {"n": 1}))
    return talk


def results(talk: Talk, *ids: str) -> list[fx.Effect]:
    return [e for i in ids for e in sent(talk.do(talk.core.tool_result(talk.now, i, {"is": "here"})))]


def test_a_result_that_outlives_its_line_is_told_in_words_with_the_question() -> None:
    talk = called()
    talk.down()
    place = talk.core.uplink.place()
    assert place is not None
    assert place > talk.now - S, "the question is not asked again: its function runs"
    talk.up()
    [text] = results(talk, "c1")
    assert isinstance(text, fx.SendText)
    for part in ('f, called with {"n": 1}', '{"is": "here"}', "where is it?"):
        assert part in text.text
    talk.says(SECOND, m.GenerationComplete(), m.TurnComplete())
    assert [(body["turn"], body["outcome"]) for body in talk.told("turn_ended")] == [(1, "answered")]


@pytest.mark.parametrize(
    ("states", "after_s"),
    [(["failed"], 0.0), (["restarting"], 3.0), (["restarting", "starting", "restarting"], 3.0), (["starting"], 10.0)],
)
def test_a_call_that_nobody_will_run_is_answered_for_while_somebody_waits(states: list[str], after_s: float) -> None:
    talk = called()
    for state in states:
        talk.do(talk.core.tools_stage(talk.now, state))
    talk.done.clear()
    if after_s:
        talk.wait(after_s - 0.1)
        assert sent(talk.done) == []
    talk.wait(0.2)
    [told] = sent(talk.done)
    assert isinstance(told, fx.SendToolResult)
    assert "cannot be run at the moment" in told.response["error"]
    talk.says(SECOND, m.GenerationComplete(), m.TurnComplete())
    talk.done.clear()
    assert results(talk, "c1") == [], "what comes late is taken, and told to nobody"


def test_one_who_is_back_in_time_is_waited_for() -> None:
    talk = called()
    for state in ("restarting", "starting", "primed", "live"):
        talk.do(talk.core.tools_stage(talk.now, state))
        talk.wait(0.8)
    talk.wait(30)
    assert sent(talk.done) == []
    [given] = results(talk, "c1")
    assert isinstance(given, fx.SendToolResult)


def test_a_session_that_comes_while_the_tools_have_failed_waits_for_none() -> None:
    talk = Talk(has_tools=True)
    assert talk.core.functions.wait_until_ns > talk.now
    assert fx.Dial() in talk.do(talk.core.tools_stage(talk.now, "failed"))
    assert talk.core.functions.wait_until_ns == 0


def test_captions_keep_the_words_before_a_function_apart_from_those_behind_it() -> None:
    talk = Talk(has_tools=True)
    talk.up()
    talk.asks()
    talk.says(SECOND, m.MachineSaid("Let me look."), m.ToolCall("c1", "f", {}))
    results(talk, "c1")
    talk.says(m.MachineSaid("It is here."), SECOND, m.GenerationComplete(), m.TurnComplete())
    assert talk.told("caption")[-1] == {"who": "machine", "text": "Let me look. It is here.", "final": True, "turn": 1}


def test_one_that_comes_while_there_is_no_line_waits_for_the_next() -> None:
    talk = called()
    talk.down()
    assert results(talk, "c1") == []
    assert fx.Unstick("tool_call", "c1") in talk.done
    [text] = sent(talk.up())
    assert isinstance(text, fx.SendText)
    assert "where is it?" in text.text


def test_a_session_that_saw_the_call_is_given_its_answer() -> None:
    talk = called()
    talk.says(m.Handle("H", True))
    talk.core.resumption._memory.handle_turn = 99
    talk.down()
    talk.up(resumed=True)
    assert results(talk, "c1") == [fx.SendToolResult("c1", "f", {"is": "here"})]


def test_where_nobody_knows_the_question_it_is_asked_again_and_the_call_is_void() -> None:
    talk = Talk(has_tools=True)
    talk.up()
    talk.asks()
    talk.says(m.ToolCall("c1", "f"))
    assert fx.Tell("tool_cancelled", {"id": "c1"}, log=True) in talk.down()
    talk.up()
    assert results(talk, "c1") == []


def test_a_call_that_is_said_again_is_answered_once_even_after_its_answer() -> None:
    talk = called()
    talk.says(m.ToolCall("c1", "f"))
    assert len(results(talk, "c1", "c1")) == 1
    talk.says(m.ToolCall("c1", "f"))
    assert len(talk.told("tool_call")) == 1
    assert results(talk, "c1") == []


def test_what_the_service_cancels_is_told_to_whoever_runs_it() -> None:
    talk = called()
    talk.says(m.ToolCallsCancelled(("c1",)))
    assert talk.told("tool_cancelled") == [{"id": "c1"}]
    assert results(talk, "c1") == []
    assert not talk.core.turns.turn or not talk.core.turns.turn.tools


def test_a_stage_that_never_answers_is_answered_for() -> None:
    talk = called(ends_after_s=600)
    talk.wait(DEADLINE_S - 1)
    assert sent(talk.done) == []
    talk.wait(2)
    [result] = sent(talk.done)
    assert isinstance(result, fx.SendToolResult)
    assert "no answer" in result.response["error"]


def test_scheduling_is_passed_on_and_a_silent_result_owes_nothing() -> None:
    talk = called()
    effects = talk.do(talk.core.tool_result(talk.now, "c1", {"a": 1}, "SILENT"))
    assert sent(effects) == [fx.SendToolResult("c1", "f", {"a": 1}, "SILENT")]
    talk.says(m.TurnComplete())
    assert not talk.core.turns.open


def test_a_roll_waits_for_a_function_while_it_can() -> None:
    talk = called()
    talk.says(m.GoAway(10.0), m.Handle("H", True))
    talk.wait(8)
    assert not any(isinstance(effect, fx.Renew) for effect in talk.done)
    talk.wait(1.5)
    assert any(isinstance(effect, fx.Renew) for effect in talk.done)


def test_a_visitor_who_leaves_takes_the_calls_along() -> None:
    talk = called()
    effects = talk.do(talk.core.visitor_left(talk.now))
    assert fx.Unstick("tool_call", "c1") in effects
    talk.down()
    assert sent(talk.up()) == []
    assert results(talk, "c1") == []


def test_what_a_killed_session_had_called_is_void_and_its_question_asked_again() -> None:
    talk = called()
    talk.do([fx.Save()])
    after = Talk(talk.killed(), has_tools=True, now=talk.now)
    assert after.told("tool_cancelled") == [{"id": "c1"}]
    assert results(after, "c1") == []


STEPS = st.sampled_from(
    ["call 1", "call 2", "result 1", "result 2", "cancel 1", "up", "down", "handle", "speaks", "ends"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_in_any_order_each_call_is_answered_once_at_most_and_only_to_who_knows_it(steps: list[str]) -> None:
    talk = called()
    knows = {"c1"}
    answered: list[str] = []

    def note(effects: list[fx.Effect]) -> None:
        for effect in sent(effects):
            if isinstance(effect, fx.SendToolResult):
                assert effect.id in knows, "the session on this line never saw that call"
                answered.append(effect.id)
            elif isinstance(effect, fx.SendText) and "has answered" in effect.text:
                answered.append("c" + effect.text.split('"n": ')[1][0])

    for step in steps:
        word, _, number = step.partition(" ")
        up = talk.core.connected
        if word == "call" and up:
            talk.says(m.ToolCall("c" + number, "f", {"n": int(number)}))
            knows.add("c" + number)
        elif word == "result":
            note(talk.do(talk.core.tool_result(talk.now, "c" + number, {"is": "here"})))
        elif word == "cancel" and up:
            talk.says(m.ToolCallsCancelled(("c" + number,)))
        elif word == "down" and up:
            talk.down()
            knows = set()
        elif word == "up" and not up:
            note(talk.up())
        elif word == "handle" and up:
            talk.says(m.Handle("H", True))
        elif word == "speaks" and up:
            talk.says(SECOND)
        elif word == "ends" and up:
            talk.says(m.GenerationComplete(), m.TurnComplete())
    assert len(answered) == len(set(answered))
