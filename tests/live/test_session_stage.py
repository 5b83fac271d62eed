"""The session stage as a process: what is said is answered, though it, the service or the visitor goes away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.bus.messages import Audio
from tests.rig.booth import SCRIPT, Booth, holds, recording

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

THINKING = SCRIPT.replace("think_ms: 50", "think_ms: 3000")
GREETING = "Greet the visitor in one short sentence."


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return tmp_path_factory.mktemp("b")  # short: the path of a socket holds 107 bytes


def up(booth: Booth) -> None:
    """Start both, and wait for the line."""
    booth.start("simulator")
    booth.start("session")
    booth.until(lambda: booth.bodies("connection", up=True))


def test_what_was_said_before_the_session_was_up_is_answered_to_the_sample(place: Path) -> None:
    with Booth(place) as booth:
        _, end_t = booth.asks()
        booth.start("session")
        booth.until(lambda: booth.bodies("connection", up=False))
        booth.start("simulator")
        booth.until(booth.answered)
        assert holds(booth.received()[0], recording())
        assert booth.until(lambda: booth.bodies("answered"))[0]["t"] >= end_t
        assert booth.bodies("caption", who="person", final=True)[0]["text"] == "when do you close"
        assert booth.bodies("caption", who="machine", final=True)[0]["text"] == "Goodbye, and enjoy your visit."
        reply = booth.audio("reply")
        assert [audio.at for audio in reply] == list(np.cumsum([0, *(audio.frames for audio in reply)]))[:-1]
        assert {audio.epoch for audio in reply} == {1}
        assert {audio.rate for audio in reply} == {24_000}


def test_killed_in_mid_utterance_the_whole_of_it_is_replayed_and_answered(place: Path) -> None:
    with Booth(place) as booth:
        up(booth)
        speech = recording()
        booth.silence(0.3)
        start_t = booth.begins()
        booth.voice(speech[: speech.size // 640 * 320])
        booth.until(lambda: booth.log("speech_started"))
        booth.kill("session")
        booth.voice(speech[speech.size // 640 * 320 :])
        booth.start("session")
        booth.ends(start_t)
        booth.silence(1.0)
        booth.until(booth.answered)
        assert holds(booth.received()[-1], speech)
        assert {body["turn"] for body in booth.bodies("turn_ended")} == {1}
        assert booth.bodies("visit") == [{"id": 1, "open": True}] * 2


@pytest.mark.parametrize("moment", ["before the answer", "in the answer"])
def test_killed_before_the_answer_was_whole_it_is_asked_for_again(place: Path, moment: str) -> None:
    script = THINKING if moment == "before the answer" else SCRIPT.replace("speed: 20", "speed: 1")
    with Booth(place, script=script) as booth:
        up(booth)
        booth.asks()
        booth.until(lambda: booth.log("turn") if moment == "before the answer" else booth.audio("reply"))
        booth.kill("session")
        booth.start("session")
        booth.until(booth.answered)
        assert holds(booth.received()[-1], recording())
        epochs = [audio.epoch for audio in booth.audio("reply")]
        assert epochs == sorted(epochs)
        if moment == "in the answer":
            assert epochs[-1] > epochs[0]


def test_what_was_answered_is_not_asked_again_after_a_kill(place: Path) -> None:
    with Booth(place) as booth:
        up(booth)
        booth.asks()
        booth.until(booth.answered)
        handle = booth.until(lambda: booth.log("handle")[1:])[0]["handle"]
        booth.until(lambda: handle.encode() in (place / "session.sqlite-wal").read_bytes())
        booth.kill("session")
        booth.start("session")
        booth.until(lambda: len(booth.bodies("connection", up=True)) == 2)
        booth.asks("cold_hearted.wav")
        booth.until(lambda: booth.answered(2))
        assert not holds(booth.received()[-1], recording())
        assert holds(booth.received()[-1], recording("cold_hearted.wav"))
        turns = [entry["text"] for entry in booth.log("turn")]
        assert turns == ["when do you close", "what does it cost"], "it went on, by the handle"


def test_a_question_asked_while_the_service_is_away_is_answered_within_a_second_of_its_return(place: Path) -> None:
    with Booth(place) as booth:
        up(booth)
        booth.asks()
        booth.until(booth.answered)
        booth.kill("simulator")
        down = booth.until(lambda: booth.bodies("connection", up=False))[0]
        assert down["service"] == "simulator"
        booth.asks("cold_hearted.wav")
        booth.until(lambda: len(booth.bodies("connection", up=False)) >= 3)
        states = [body for body in booth.bodies("state") if "no connection" in body["reason"]]
        assert states[-1]["state"] == "degraded"
        assert "refuses connections" in states[-1]["reason"]
        booth.start("simulator")
        back = booth.until(lambda: [e for e in booth.events("state", "simulator") if e.body["state"] == "live"][1:])[0]
        booth.until(lambda: booth.answered(2))
        asked = [event for event in booth.events("connection", "session") if event.body["up"]][-1]
        assert asked.sent - back.sent < 1_200_000_000
        assert holds(booth.received()[-1], recording("cold_hearted.wav"))
        # The new service knows no handle: it was told what was said.
        seeds = [e["message"] for e in booth.log("in") if "clientContent" in e.get("message", {})]
        assert "when do you close" in json.dumps(seeds[-1])
        assert "enjoy your visit" in json.dumps(seeds[-1])


def test_asleep_it_hears_the_next_word_whole(place: Path) -> None:
    with Booth(place, idle_s=0.8) as booth:
        up(booth)
        booth.until(lambda: booth.bodies("connection", up=False, reason="idle"))
        assert booth.until(lambda: booth.bodies("state", state="waiting"))[-1]["reason"].startswith("asleep")
        booth.silence(2.0)
        booth.asks()
        booth.until(booth.answered)
        assert holds(booth.received()[-1], recording())
        assert len(booth.received()) == 2


def test_whoever_speaks_first_is_greeted_in_the_answer_and_never_again(place: Path) -> None:
    with Booth(place, greeting=GREETING) as booth:
        up(booth)
        booth.asks()
        booth.until(booth.answered)
        first = next(entry for entry in booth.log("in") if "setup" not in entry["message"])
        assert GREETING in json.dumps(first), "before any voice"
        booth.kill("session")
        booth.start("session")
        booth.until(lambda: len(booth.bodies("connection", up=True)) == 2)
        booth.asks()
        booth.until(lambda: booth.answered(2))
        assert json.dumps(booth.log("in")).count(GREETING) == 1


def test_whoever_arrives_is_greeted_once_though_the_session_is_killed(place: Path) -> None:
    with Booth(place, script=THINKING, greeting=GREETING) as booth:
        up(booth)
        booth.frontend.event("visitor_arrived", {})
        booth.until(lambda: booth.log("turn"))
        booth.kill("session")
        booth.start("session")
        booth.until(booth.answered)
        assert booth.bodies("turn_ended")[0]["kind"] == "greeting"
        booth.frontend.event("visitor_arrived", {})
        booth.asks()
        booth.until(lambda: booth.answered(2))
        assert [body["kind"] for body in booth.bodies("turn_ended", outcome="answered")] == ["greeting", "speech"]


def test_a_visit_ends_in_silence_and_nothing_of_it_reaches_the_next(place: Path) -> None:
    with Booth(place, visit={"ends_after_s": 2}) as booth:
        up(booth)
        booth.asks()
        booth.until(booth.answered)
        booth.until(lambda: booth.bodies("visit", open=False))
        booth.until(lambda: len(booth.bodies("connection", up=True)) == 2)
        booth.asks("cold_hearted.wav")
        booth.until(lambda: booth.answered(2))
        assert [body["id"] for body in booth.bodies("visit", open=True)] == [1, 2]
        connection = booth.log("open")[-1]["connection"]
        told = json.dumps([e for e in booth.log("in") if e["connection"] == connection])
        assert "when do you close" not in told
        assert "handle" not in told
        assert not holds(booth.received()[-1], recording())


def test_spoken_over_the_answer_is_flushed_and_said_to_be_heard_as_far_as_it_was(place: Path) -> None:
    with Booth(place, script=SCRIPT.replace("speed: 20", "speed: 2")) as booth:
        up(booth)
        booth.hears = False
        booth.asks()
        booth.until(lambda: sum(audio.frames for audio in booth.audio("reply")) > 24_000)
        booth.say_heard(1, 24_000)
        booth.asks("cold_hearted.wav")
        booth.until(booth.answered)
        [flush] = booth.bodies("flush")
        assert flush == {"epoch": 2, "cause": "interrupted"}
        [interrupted] = booth.bodies("interrupted")
        assert "Goodbye, and enjoy your visit.".startswith(interrupted["heard_text"] + " ")
        assert interrupted["heard_text"]
        assert interrupted["heard_text"] not in (place / "session.stderr").read_text(), "a log outlives the visit"
        assert interrupted["by"] == "server"
        outcomes = [body["outcome"] for body in booth.bodies("turn_ended")]
        assert outcomes == ["interrupted", "answered"]
        order = [
            message.epoch if isinstance(message, Audio) else message.name
            for stamp, message in booth.heard
            if stamp.topic in ("event.flush", "audio.reply")
        ]
        assert order == sorted(order, key=[1, "flush", 2].index), "nothing of the old answer after its flush"


def test_a_text_is_answered_and_without_tools_a_call_is_refused(place: Path) -> None:
    tools = [{"function_declarations": [{"name": "get_order"}]}]
    with Booth(place, live={"tools": tools}) as booth:
        up(booth)
        booth.frontend.event("text_in", {"text": "my order"})
        booth.until(booth.answered)
        [ended] = booth.bodies("turn_ended")
        assert (ended["kind"], ended.get("reason")) == ("text", None)
        assert booth.bodies("tool_call")[0]["name"] == "get_order"
        assert "no function" in json.dumps(booth.log("in"))


def test_a_call_goes_to_the_tools_stage_and_its_result_to_the_service(place: Path) -> None:
    tools = [{"function_declarations": [{"name": "get_order"}]}]
    with Booth(place, peers=("tools",), live={"tools": tools}) as booth:
        stage = booth.producer("tools")
        up(booth)
        booth.frontend.event("text_in", {"text": "my order"})
        call = booth.until(lambda: booth.bodies("tool_call"))[0]
        booth.until(
            lambda: (
                stage.pump()
                or stage.event("tool_result", {"id": call["id"], "response": {"is": "here"}})
                or booth.answered()
            )
        )
        assert '"is": "here"' in json.dumps(booth.log("in"))
        stage.close()


def test_answers_in_text_come_as_captions(place: Path) -> None:
    with Booth(place, modalities=["TEXT"]) as booth:
        up(booth)
        booth.frontend.event("text_in", {"text": "hello"})
        booth.until(booth.answered)
        assert booth.bodies("caption", who="machine", final=True)[0]["text"].startswith("Hello, and welcome.")
        assert booth.audio("reply") == []


def test_it_ends_when_the_source_has_ended_and_all_is_answered_and_heard(place: Path) -> None:
    with Booth(place) as booth:
        up(booth)
        booth.silence(0.3)
        start_t = booth.begins()
        booth.voice(recording())
        booth.ends(start_t)  # no silence follows: the service must be told that no more comes
        booth.frontend.event("source_ended", {"t": booth.t}, sticky=True)
        booth.until(lambda: booth.processes["session"].poll() is not None)
        assert booth.processes["session"].returncode == 0
        assert booth.said[-1][1] == {"v": 1, "kind": "bye", "reason": "ended"}
        assert booth.answered()


def test_a_wrong_field_ends_it_with_78_and_its_name(place: Path) -> None:
    with Booth(place, live={"temprature": 1}) as booth:
        assert booth.start("session").wait(20) == 78
        assert "did you mean 'temperature'" in (place / "session.stderr").read_text()


def test_an_ordered_stop_closes_the_line_and_leaves_the_memory(place: Path) -> None:
    with Booth(place) as booth:
        up(booth)
        booth.asks()
        booth.until(booth.answered)
        booth.tell("session", "stop", grace_s=2.0)
        assert booth.processes["session"].wait(5) == 0
        booth.until(lambda: booth.log("closed") or booth.log("close"))
        booth.start("session")
        booth.until(lambda: booth.bodies("visit", id=1, open=True)[1:])


def test_an_unwritable_memory_is_said_and_the_conversation_goes_on(place: Path) -> None:
    (place / "session.sqlite").mkdir()
    with Booth(place) as booth:
        up(booth)
        booth.asks()
        booth.until(booth.answered)
        assert "memory is not kept" in (place / "session.stderr").read_text()
        assert "session.sqlite cannot be used" in booth.bodies("state")[-1]["reason"]
