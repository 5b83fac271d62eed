"""Handles, faults, and the order of messages under any order of events."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.simulator.fault import Close
from pipeline.simulator.life import Life
from pipeline.simulator.memory import HANDLE_LIFE_S, HANDLES_KEPT, Handles, Memory, Session
from pipeline.simulator.refusal import Refused
from pipeline.simulator.script import Limits
from pipeline.simulator.script_file import load_script
from tests.rig.live_client import SCRIPT, VOICE, Client, script_life, sentence

pytestmark = pytest.mark.unit


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return script_life(tmp_path, SCRIPT)


def test_a_handle_brings_the_conversation_back_as_it_was(life: Life) -> None:
    first = Client(life, sessionResumption={}, inputAudioTranscription={})
    assert first.kinds == ["setupComplete", "handle"]
    first.type("my name is Ann")
    first.wait(5000)
    assert first.kinds[2] == "no handle"
    kept = first.handle
    first.speak(sentence())
    first.wait(5000)
    assert first.transcript("inputTranscription") == "when do you close"
    early = Client(life, 19_000, sessionResumption={"handle": kept})
    assert early.closed == Close(1011, "Internal error encountered."), "its old connection is open"
    first.leave()
    again = Client(
        life, 20_000, sessionResumption={"handle": kept}, inputAudioTranscription={}, outputAudioTranscription={}
    )
    assert next(note.fields for note in again.notes if note.event == "setup")["turns"] == 1
    again.speak(sentence())
    again.wait(5000)
    assert again.transcript("inputTranscription") == "when do you close", "what came after the handle is forgotten"
    again.type("again")
    again.wait(9000)
    assert again.transcript().endswith("This is what I heard you say. when do you close")


def test_handles_that_cannot_be_resumed(life: Life) -> None:
    client = Client(life, sessionResumption={"handle": "never issued"})
    assert client.closed == Close(1007, "Invalid session handle")
    handles, session = Handles(), Session(1)
    old = handles.issue(session, Memory(), 0)
    for begins_ns, code, words in (
        (0, 1011, "Internal error encountered."),
        (HANDLE_LIFE_NS + 1, 1008, "BidiGenerateContent session not found"),
    ):
        with pytest.raises(Refused) as refused:
            handles.resume(old, begins_ns)
        assert (refused.value.code, refused.value.reason) == (code, words)
    session.open = False
    assert handles.resume(old, HANDLE_LIFE_NS) == (session, Memory())
    session.open = False
    for _ in range(HANDLES_KEPT):
        handles.issue(session, Memory(), 0)
    with pytest.raises(Refused):
        handles.resume(old, 0)


HANDLE_LIFE_NS = round(HANDLE_LIFE_S * 1e9)

FAULTS = """
faults:
  - {when: answer, nth: 1, after_ms: 150, close: {code: 1011, reason: "Internal error encountered."}}
  - {when: connect, nth: 2, close: {code: 1006}}
  - {when: setup, nth: 2, after_ms: 100, go_away_ms: 9500}
"""


def test_faults_strike_at_their_moment(tmp_path: Path) -> None:
    life = script_life(tmp_path, SCRIPT + FAULTS)
    first = Client(life, more={})
    first.type("hello")
    first.wait(9000)
    assert first.closed == Close(1011, "Internal error encountered.")
    assert 0 < len(first.audio()) < VOICE.speak("Hello, and welcome.").samples.nbytes
    second = Client(life)
    second.wait(0)
    assert second.closed == Close(1006, "")
    third = Client(life, more={})
    third.wait(99)
    assert third.kinds == ["setupComplete"]
    third.wait(1)
    assert third.sent[-1][1] == {"goAway": {"timeLeft": "9.5s"}}
    third.type("hello")
    third.wait(9499)
    assert third.kinds[-1] == "turnComplete"
    third.wait(1)
    assert third.closed == Close(1008, "The operation was aborted.")


STEPS = st.one_of(
    st.tuples(st.just("wait"), st.integers(0, 3000)),
    st.tuples(st.just("speak"), st.integers(0, 90_000)),
    st.tuples(st.just("type"), st.sampled_from(["hello", "order 5", "nothing", "again"])),
    st.tuples(st.just("result"), st.sampled_from(["", "SILENT", "INTERRUPT"])),
    st.tuples(st.just("pause"), st.none()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=12), st.booleans(), st.booleans())
def test_any_order_of_events_keeps_the_services_order(steps: list[Any], nonblocking: bool, interruptible: bool) -> None:
    behavior = {"behavior": "NON_BLOCKING"} if nonblocking else {}
    client = Client(
        Life(replace(load_script(None), limits=Limits(connection_s=None, audio_s=None))),
        tools=[{"functionDeclarations": [{"name": "get_order_status", **behavior}]}],
        realtimeInputConfig={
            "activityHandling": "START_OF_ACTIVITY_INTERRUPTS" if interruptible else "NO_INTERRUPTION"
        },
    )
    for kind, value in steps:
        if kind == "wait":
            client.wait(value)
        elif kind == "speak":
            client.speak(sentence()[: value // 2 * 2], 3200)
        elif kind == "type":
            client.type(value)
        elif kind == "pause":
            client.say(realtimeInput={"audioStreamEnd": True})
        else:
            answer_calls(client, value)
    client.say(realtimeInput={"audioStreamEnd": True})
    client.wait(120_000)
    for _ in steps:  # what was typed meanwhile waits its turn, and may call again
        answer_calls(client, "")
        client.wait(120_000)
    assert client.closed is None
    assert client.core.next_due_ns is None
    hold_the_order(client)


def answer_calls(client: Client, scheduling: str) -> None:
    for _, message in list(client.sent):
        for call in message.get("toolCall", {}).get("functionCalls", []):
            response = {"id": call["id"], "response": {"ok": 1}, "scheduling": scheduling}
            client.say(toolResponse={"functionResponses": [response]})


def hold_the_order(client: Client) -> None:
    """Audio, generationComplete, turnComplete; or audio, interrupted, turnComplete."""
    contents = [message["serverContent"] for _, message in client.sent if "serverContent" in message]
    generated = open_turn = False
    for content, follows in itertools.pairwise([*contents, {}]):
        if "modelTurn" in content:
            assert not generated
            open_turn = True
        elif "generationComplete" in content:
            assert not generated
            generated = open_turn = True
        elif "interrupted" in content:
            assert follows == {"turnComplete": True}
        elif "turnComplete" in content:
            generated = open_turn = False
    assert not open_turn, "every answer ends with turnComplete"
