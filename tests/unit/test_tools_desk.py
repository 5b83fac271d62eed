"""Calls in, answers out, with no clock but the test's: every call is answered once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tools.catalogue import ANNOUNCE, Catalogue, Tool, understood
from pipeline.tools.desk import OPEN_CALLS, Answer, Desk, Drop, Run
from pipeline.tools.filler import ANSWER_S, Filler
from pipeline.tools.options import Function, How, Server

pytestmark = pytest.mark.unit
S = 1_000_000_000
MS = 1_000_000
FIND = Tool(
    "find",
    "Find it.",
    {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]},
    How(),
    0,
)
ARGS = {"number": "17"}


def desk(how: How = How(), **more: Any) -> Desk:  # noqa: B008  frozen
    return Desk(8.0, tools={"find": replace(FIND, how=how)}, **more)


def test_a_call_is_run_and_answered() -> None:
    it = desk()
    (run,) = it.called(0, "a", "find", ARGS)
    assert isinstance(run, Run)
    assert (run.id, run.args) == ("a", ARGS)
    (answer,) = it.came(S, "a", {"answer": "a", "result": 3})
    assert isinstance(answer, Answer)
    assert (answer.response, answer.ok) == ({"result": 3}, True)
    assert not it.open
    assert it.came(S, "a", {"answer": "a", "result": 3}) == []


def test_said_twice_it_is_run_once_and_has_the_same_answer() -> None:
    it = desk()
    it.called(0, "a", "find", ARGS)
    assert it.called(1, "a", "find", ARGS) == []
    it.came(2, "a", {"result": 3})
    (again,) = it.called(3, "a", "find", ARGS)
    assert isinstance(again, Answer)
    assert again.response == {"result": 3}
    assert again.again
    assert isinstance(it.called(61 * S, "a", "find", ARGS)[0], Run), "by then it is another one"


def test_one_id_with_other_arguments_is_another_call() -> None:
    it = desk()
    it.called(0, "a", "find", ARGS)
    drop, run = it.called(1, "a", "find", {"number": "18"})
    assert isinstance(drop, Drop)
    assert isinstance(run, Run)
    it.came(2, "a", {"result": 3})
    assert isinstance(it.called(3, "a", "find", ARGS)[0], Run)


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("fnid", ARGS, "there is no function 'fnid' on this machine; there are: find"),
        ("find", {}, "wrong arguments for find: number: is missing"),
        ("find", {"number": "1", "x": 1}, "wrong arguments for find: x: unknown argument; known: number"),
        ("find", {"number": "1" * 70_000}, "the arguments have more than 60000 characters"),
    ],
)
def test_what_cannot_be_run_is_answered(name: str, args: dict[str, Any], words: str) -> None:
    it = desk()
    (answer,) = it.called(0, "a", name, args)
    assert isinstance(answer, Answer)
    assert answer.response == {"error": words}
    assert not it.open


def test_the_deadline_answers_and_ends_it() -> None:
    it = desk(How(deadline_s=2.0))
    it.called(0, "a", "find", ARGS)
    assert it.tick(2 * S - 1) == []
    answer, drop = it.tick(2 * S)
    assert isinstance(answer, Answer)
    assert answer.response == {"error": "find did not answer within 2 s"}
    assert drop == Drop("a", it.tools["find"], late=True)
    assert it.came(3 * S, "a", {"result": 3}) == [], "too late"


def test_how_a_process_ended_is_the_answer() -> None:
    it = desk()
    it.called(0, "a", "find", ARGS)
    (answer,) = it.came(1, "a", {"error": "", "ended": "ended its process by SIGSEGV"})
    assert isinstance(answer, Answer)
    assert answer.response == {"error": "find ended its process by SIGSEGV before it had an answer"}


def test_a_cancelled_call_is_ended_and_not_answered() -> None:
    it = desk()
    it.called(0, "a", "find", ARGS)
    assert it.cancelled("a") == [Drop("a", it.tools["find"])]
    assert it.cancelled("a") == []
    assert it.came(1, "a", {"result": 3}) == []
    assert it.tick(100 * S) == []


def test_whoever_leaves_takes_their_calls_and_answers_along() -> None:
    it = desk()
    it.called(0, "a", "find", ARGS)
    it.came(1, "a", {"result": 3})
    it.called(2, "b", "find", ARGS)
    assert it.left() == [Drop("b", it.tools["find"])]
    assert isinstance(it.called(3, "a", "find", ARGS)[0], Run), "the next visitor's own"


def test_equal_calls_are_answered_from_the_cache_for_a_while() -> None:
    it = desk(How(cache_s=10))
    it.called(0, "a", "find", ARGS)
    it.came(1, "a", {"result": 3})
    (kept,) = it.called(9 * S, "b", "find", dict(ARGS))
    assert isinstance(kept, Answer)
    assert kept.ok
    assert isinstance(it.called(9 * S, "c", "find", {"number": "18"})[0], Run)
    assert isinstance(it.called(11 * S, "d", "find", ARGS)[0], Run)
    it.came(11 * S, "d", {"error": "no"})
    assert isinstance(it.called(22 * S, "e", "find", ARGS)[0], Run), "an error is not kept"


def test_a_call_that_a_killed_stage_had_begun_is_repeated_only_if_it_may_be() -> None:
    (answer,) = desk(begun={"a"}).called(0, "a", "find", ARGS)
    assert isinstance(answer, Answer)
    assert "nobody knows whether find was done" in answer.response["error"]
    assert isinstance(desk(begun={"b"}).called(0, "a", "find", ARGS)[0], Run), "it was never begun"
    assert isinstance(desk(How(idempotent=True), begun={"a"}).called(0, "a", "find", ARGS)[0], Run)


def test_more_calls_than_can_be_under_way_are_refused() -> None:
    it = desk()
    for number in range(OPEN_CALLS):
        assert isinstance(it.called(0, str(number), "find", ARGS)[0], Run)
    (answer,) = it.called(0, "more", "find", ARGS)
    assert isinstance(answer, Answer)
    assert "16 calls are under way" in answer.response["error"]
    assert len(it.open) == OPEN_CALLS


def test_a_function_of_a_server_that_has_not_spoken_yet_is_waited_for() -> None:
    it = Desk(8.0, complete=False)
    assert it.called(0, "a", "find", ARGS) == []
    assert it.called(0, "b", "other", {}) == []
    run, answer = it.changed(S, {"find": FIND}, True)
    assert isinstance(run, Run)
    assert isinstance(answer, Answer)
    assert "no function 'other'" in answer.response["error"]
    late = Desk(8.0, complete=False)
    late.called(0, "a", "find", ARGS)
    assert isinstance(late.tick(8 * S)[0], Answer)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["call", "wrong", "unknown", "result", "error", "ended", "cancel", "wait"]),
        st.integers(0, 5),
        st.integers(0, 5),
    ),
    max_size=60,
)


@given(EVENTS)
def test_every_call_is_answered_exactly_once_whatever_happens(events: list[tuple[str, int, int]]) -> None:
    it, now_ns = desk(), 0
    waiting: set[str] = set()
    for what, number, seconds in events:
        call_id = str(number)
        now_ns += 1
        if what == "call":
            waiting.add(call_id)
            effects = it.called(now_ns, call_id, "find", ARGS)
        elif what in ("wrong", "unknown"):
            waiting.add(call_id)
            effects = it.called(now_ns, call_id, "find" if what == "wrong" else "nothing", {})
        elif what == "cancel":
            waiting.discard(call_id)
            effects = it.cancelled(call_id)
        elif what == "wait":
            now_ns += seconds * S
            effects = it.tick(now_ns)
        else:
            effects = it.came(now_ns, call_id, {"result": 1} if what == "result" else {what: "so"})
        for effect in effects:
            if isinstance(effect, Answer):
                assert effect.id in waiting, "twice, or never asked"
                waiting.discard(effect.id)
    for effect in it.tick(now_ns + 10 * S):
        if isinstance(effect, Answer):
            waiting.discard(effect.id)
    assert not waiting


# The catalogue


def test_functions_and_servers_are_declared_in_order_and_names_are_taken_once() -> None:
    offers = [{"name": "find", "description": "d", "parameters": {"$schema": "x", "type": "object"}},
              {"name": "look", "description": "d", "parameters": {"type": "object"}},
              {"name": "a b", "description": "d", "parameters": {"type": "object"}}]  # fmt: skip
    it = Catalogue(
        [Function(use="shop:find", announce=True, blocking=True)],
        {"orders": Server(command=["x"]), "other": Server(command=["x"], prefix="other_", only=["find", "gone"])},
    )
    it.loaded([{"name": "find", "description": "Find it.", "parameters": {"type": "object"}}])
    assert not it.complete
    it.offered("other", offers)
    it.offered("orders", offers)
    assert it.complete
    assert [each["name"] for each in it.declarations] == ["find", "look", "other_find"]
    assert it.declarations[0]["description"] == f"Find it.\n{ANNOUNCE}"
    assert it.declarations[0]["blocking"] is True
    assert it.tools["other_find"].place == ("other", "find")
    assert it.problems == (
        "orders: there is a function find already; give the server a `prefix`",
        "orders: the service takes no function of the name 'a b'",
        "the server other does not offer gone",
    )
    it.offered("orders", None, "it ended")
    assert "look" in it.tools, "it is coming back"
    assert it.problems[0] == "the server orders is away: it ended"


def test_a_schema_of_a_server_is_declared_without_what_the_service_does_not_know() -> None:
    given = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"pattern": {"type": "string", "pattern": "^x", "default": "x"}, "kind": {"const": "a"}},
        "required": ["pattern"],
        "patternProperties": {"x": {}},
        "anyOf": [{"required": ["kind"], "not": {}}],
    }
    assert understood(given) == {
        "type": "object",
        "properties": {"pattern": {"type": "string"}, "kind": {"enum": ["a"]}},
        "required": ["pattern"],
        "anyOf": [{"required": ["kind"]}],
    }


# The filler


def test_it_begins_after_a_while_and_ends_when_the_answer_sounds() -> None:
    it = Filler(900)
    it.began(0, "a")
    assert it.tick(899 * MS) is None
    assert it.tick(900 * MS) == "play"
    it.ended(2 * S, "a", answer_follows=True)
    assert it.tick(2 * S) is None, "the model has not begun to speak"
    it.machine(3 * S, sounding=True)
    assert it.tick(3 * S) == "stop"
    assert not it.waiting


def test_an_answer_that_does_not_come_is_not_promised_for_ever() -> None:
    it = Filler(900)
    it.began(0, "a")
    it.tick(S)
    it.ended(2 * S, "a", answer_follows=True)
    assert it.tick(int((2 + ANSWER_S) * S)) is None
    assert it.tick(int((2.1 + ANSWER_S) * S)) == "stop"


@pytest.mark.parametrize("end", ["cancelled", "line down", "silent"])
def test_it_ends_with_the_call_when_no_answer_follows(end: str) -> None:
    it = Filler(900)
    it.began(0, "a")
    assert it.tick(S) == "play"
    if end == "line down":
        it.nobody_waits()
    else:
        it.ended(S, "a", answer_follows=False)
    assert it.tick(S) == "stop"


def test_a_quick_function_is_not_filled_for() -> None:
    it = Filler(900)
    it.began(0, "a")
    it.ended(100 * MS, "a", answer_follows=True)
    assert it.tick(2 * S) is None


def test_nobody_is_talked_over() -> None:
    it = Filler(900)
    it.machine(0, sounding=True)
    it.began(0, "a")
    for ms in range(0, 2000, 100):
        it.machine(ms * MS, sounding=True)
        assert it.tick(ms * MS) is None
    it.machine(2 * S, sounding=False)
    assert it.tick(2800 * MS) is None
    assert it.tick(2900 * MS) == "play"
    it.person(3 * S, speaking=True)
    assert it.tick(3 * S) == "stop"
    it.person(4 * S, speaking=False)
    assert it.tick(4800 * MS) is None
    assert it.tick(4900 * MS) == "play"


def test_a_playback_that_went_silent_without_a_word_is_not_waited_for() -> None:
    it = Filler(900)
    it.machine(0, sounding=True)
    it.began(0, "a")
    assert it.tick(S) is None
    assert it.tick(S + 1 * MS) is None
    assert it.tick(2 * S) == "play"
