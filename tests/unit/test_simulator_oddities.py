"""What the service does oddly within a connection that lives, and what differs between its models."""

import base64
import itertools
from pathlib import Path
from typing import Any

import pytest

from pipeline.simulator.fault import Close
from pipeline.simulator.life import Life
from pipeline.simulator.script_file import load_script
from pipeline.simulator.unknown import NEW_FIELD
from tests.rig.live_client import SCRIPT, VOICE, Client, script_life, sentence

pytestmark = pytest.mark.unit

BOTH: dict[str, Any] = {"inputAudioTranscription": {}, "outputAudioTranscription": {}}
HELLO = VOICE.speak("Hello, and welcome.")


def odd(folder: Path, *faults: str, more: str = "", **setup: Any) -> Client:
    lines = "".join(f"  - {fault}\n" for fault in faults)
    return Client(script_life(folder, f"{SCRIPT}{more}faults:\n{lines}"), **(setup or BOTH))


def contents(client: Client) -> list[list[str]]:
    return [sorted(message["serverContent"]) for _, message in client.sent if "serverContent" in message]


def test_an_answer_may_stay_away(tmp_path: Path) -> None:
    client = odd(tmp_path, "{when: turn, nth: 1, answer: {kind: none}}")
    client.speak(sentence())
    client.wait(9000)
    assert contents(client) == [["inputTranscription"]]
    client.speak(sentence())
    client.wait(9000)
    assert client.kinds[-1] == "turnComplete", "the session is well"


def test_an_answer_may_be_empty_or_end_before_it_begins(tmp_path: Path) -> None:
    client = odd(tmp_path, "{when: turn, nth: 1, answer: {kind: empty}}", "{when: turn, nth: 2, answer: {kind: early}}")
    client.type("hello")
    client.wait(5000)
    assert contents(client) == [["generationComplete"], ["turnComplete"]]
    assert client.audio() == b""
    seen = len(contents(client))
    client.type("hello")
    client.wait(5000)
    kinds = [kind for (kind,) in contents(client)[seen:]]
    assert kinds[0] == "turnComplete"
    assert kinds[-1] == "generationComplete"
    assert kinds.count("turnComplete") == 1
    assert client.audio() == HELLO.samples.tobytes()


def test_several_fields_come_in_one_message(tmp_path: Path) -> None:
    client = odd(tmp_path, "{when: turn, answer: {bundled: true}}")
    client.speak(sentence())
    client.wait(9000)
    found = contents(client)
    assert found[0] == ["inputTranscription", "modelTurn", "outputTranscription"]
    assert found[-1] == ["generationComplete", "turnComplete"]
    assert "usageMetadata" in client.sent[-1][1]
    assert client.transcript() == "Last entry is at five."
    client.type("hello")
    client.wait(300)
    client.speak(sentence()[:32000])
    assert ["interrupted", "turnComplete"] in contents(client)


@pytest.mark.parametrize(
    ("answer", "first_s", "last_s"),
    [
        ("speed: burst", 0.2, 0.2),
        ("speed: 0.5", 0.2, 0.2 + 2 * HELLO.seconds),
        ("stall_ms: 4000", 0.2, 4.2 + HELLO.seconds / 3),
    ],
)
def test_audio_comes_at_once_too_slowly_or_with_a_pause(
    tmp_path: Path, answer: str, first_s: float, last_s: float
) -> None:
    client = odd(tmp_path, f"{{when: turn, answer: {{{answer}}}}}")
    client.type("hello")
    client.wait(20_000)
    sent_ms = client.at("modelTurn")
    assert (sent_ms[0] / 1000, sent_ms[-1] / 1000) == pytest.approx((first_s, last_s), abs=0.7)
    assert client.audio() == HELLO.samples.tobytes()
    assert client.at("turnComplete")[0] >= 200 + HELLO.seconds * 1000 - 1


def test_chunks_are_tiny_or_huge(tmp_path: Path) -> None:
    client = odd(tmp_path, "{when: turn, answer: {chunk_bytes: [2, 4, 1048576]}}")
    client.type("hello")
    client.wait(9000)
    parts = [m["serverContent"]["modelTurn"]["parts"][0]["inlineData"] for _, m in client.sent if "modelTurn" in str(m)]
    assert [len(base64.b64decode(part["data"])) for part in parts] == [2, 4, HELLO.samples.nbytes - 6]


def test_unknown_fields_come_at_every_level(tmp_path: Path) -> None:
    client = odd(tmp_path, "{when: setup, unknown_fields: true}", sessionResumption={})
    client.type("hello")
    client.wait(9000)
    messages = [message for _, message in client.sent[1:]]
    assert all(NEW_FIELD.items() <= message.items() for message in messages)
    audio = next(message for message in messages if "modelTurn" in str(message))
    part = audio["serverContent"]["modelTurn"]["parts"][0]
    assert NEW_FIELD.items() <= part["inlineData"].items()
    complete = next(message for message in messages if "turnComplete" in str(message))
    assert complete["serverContent"]["turnCompleteReason"] == "REASON_OF_TOMORROW"
    assert client.audio() == HELLO.samples.tobytes()


@pytest.mark.parametrize("place", ["none", "content", "root"])
def test_the_interaction_status_stands_where_the_script_says(tmp_path: Path, place: str) -> None:
    client = Client(script_life(tmp_path, f"{SCRIPT}interaction_status: {place}\n"), **TOOLS)
    client.type("order 5")
    client.wait(5000)
    call = client.sent[-1][1]
    client.say(toolResponse={"functionResponses": [{"id": "function-call-1", "response": {}}]})
    client.wait(5000)
    complete = client.sent[-1][1]
    found = {
        "content": (call.get("serverContent", {}), complete["serverContent"]),
        "root": (call, complete),
        "none": ({}, {}),
    }
    assert [each.get("interactionStatus") for each in found[place]] == (
        [None, None] if place == "none" else ["REQUIRES_ACTION", "IDLE"]
    )
    assert str([message for _, message in client.sent]).count("interactionStatus") == (0 if place == "none" else 2)


TOOLS = {"tools": [{"functionDeclarations": [{"name": "get_order_status", "behavior": "BLOCKING"}]}]}


def calls(client: Client) -> list[dict[str, Any]]:
    return [m["toolCall"]["functionCalls"][0] for _, m in client.sent if "toolCall" in m]


def test_a_call_is_repeated_and_answered_once(tmp_path: Path) -> None:
    client = odd(tmp_path, "{when: tool, after_ms: 50, tool: repeated}", **TOOLS)
    client.type("order 5")
    client.wait(5000)
    first, second = calls(client)
    assert first == second
    for _ in range(2):
        client.say(toolResponse={"functionResponses": [{"id": first["id"], "response": {"status": "shipped"}}]})
    client.wait(9000)
    assert client.kinds.count("turnComplete") == 1
    assert [note.fields["text"] for note in client.notes if note.event == "note"] == [
        f"no call {first['id']} is open; its result is ignored"
    ]


def test_a_call_is_cancelled(tmp_path: Path) -> None:
    client = odd(tmp_path, "{when: tool, after_ms: 300, tool: cancelled}", sessionResumption={}, **TOOLS)
    client.type("order 5")
    client.wait(9000)
    assert client.kinds[-5:] == ["toolCall", "toolCallCancellation", "interrupted", "turnComplete", "handle"]
    assert client.sent[-4][1]["toolCallCancellation"]["ids"] == [calls(client)[0]["id"]]
    client.type("hello")
    client.wait(9000)
    assert client.kinds[-2:] == ["turnComplete", "handle"]


def burst(client: Client, pcm: bytes) -> None:
    """Everything at one moment."""
    for at in range(0, len(pcm), 3200):
        data = base64.b64encode(pcm[at : at + 3200]).decode()
        client.say(realtimeInput={"audio": {"data": data, "mimeType": "audio/pcm;rate=16000"}})


@pytest.mark.parametrize("bursts", ["heard", "ignored"])
@pytest.mark.parametrize("told", [False, True])
def test_a_burst_may_be_heard_only_when_its_end_is_said(tmp_path: Path, bursts: str, told: bool) -> None:
    client = Client(script_life(tmp_path, f"{SCRIPT}bursts: {bursts}\n"), **BOTH)
    client.speak(bytes(32000))
    client.wait(2000)
    burst(client, sentence())
    if told:
        client.say(realtimeInput={"audioStreamEnd": True})
    client.speak(bytes(64000))
    client.wait(9000)
    answered = bursts == "heard" or told
    assert client.kinds.count("turnComplete") == answered
    client.speak(sentence())
    client.wait(9000)
    assert client.kinds.count("turnComplete") == answered + 1, "what is said live is heard in any case"


def test_usage_counts_a_turn_or_the_session_and_names_modalities(tmp_path: Path) -> None:
    counted: dict[str, list[dict[str, Any]]] = {}
    for usage in ("turn", "cumulative", "none"):
        life = script_life(tmp_path, f"{SCRIPT}usage: {usage}\n")
        client = Client(life, sessionResumption={})
        for _ in range(2):
            client.type("hello")
            client.wait(5000)
        client.leave()
        again = Client(life, 20_000, sessionResumption={"handle": client.handle})
        again.type("hello")
        again.wait(5000)
        messages = [message for _, message in (*client.sent, *again.sent)]
        counted[usage] = [message["usageMetadata"] for message in messages if "usageMetadata" in message]
    assert counted["none"] == []
    turns, sums = ([each["responseTokenCount"] for each in counted[name]] for name in ("turn", "cumulative"))
    assert turns == [turns[0]] * 3
    assert sums == [turns[0], 2 * turns[0], 3 * turns[0]]
    prompts = [each["promptTokenCount"] for each in counted["turn"]]
    assert prompts[0] < prompts[1] < prompts[2], "the whole context is billed each turn"
    assert {each["modality"] for each in counted["turn"][2]["promptTokensDetails"]} == {"AUDIO", "TEXT"}


def test_the_cloud_platform_counts_candidates(tmp_path: Path) -> None:
    from pipeline.simulator.billing import Bill
    from pipeline.simulator.memory import Session
    from pipeline.simulator.usage import Tokens

    said = Bill("turn", vertex=True).message(Session(1), Tokens(TEXT=1), Tokens(AUDIO=2))["usageMetadata"]
    assert said["candidatesTokenCount"] == 2
    assert said["candidatesTokensDetails"] == [{"modality": "AUDIO", "tokenCount": 2}]
    assert "responseTokenCount" not in said


def test_compression_lets_the_oldest_go_and_the_session_live(tmp_path: Path) -> None:
    life = script_life(tmp_path, SCRIPT + "limits: {context_tokens: 100}\n")
    compression = {"triggerTokens": "60", "slidingWindow": {"targetTokens": 30}}
    client = Client(life, contextWindowCompression=compression)
    held = []
    for _ in range(8):
        client.type("hello")
        client.wait(5000)
        held.append(client.sent[-1][1]["usageMetadata"]["promptTokenCount"])
    assert client.closed is None
    assert max(held) <= 62
    assert any(after < before for before, after in itertools.pairwise(held))
    for wrong in ({"slidingWindow": {"targetTokens": 10}, "triggerTokens": 5}, {"sliding": {}}):
        assert Client(life, contextWindowCompression=wrong).closed.code == 1007  # type: ignore[union-attr]
    idle = Client(life, contextWindowCompression={"triggerTokens": 60})
    idle.wait(900_000)
    assert idle.closed is not None, "without a sliding window nothing is compressed"


def test_sessions_and_handles_outlive_the_server(tmp_path: Path) -> None:
    def life() -> Life:
        script = script_life(tmp_path, SCRIPT).script
        return Life(script, state=tmp_path / "kept" / "state.jsonl")

    first = Client(life(), sessionResumption={})
    early = first.handle
    first.type("my name is Ann")
    first.wait(5000)
    wedged = Client(first.core._life, 6000, sessionResumption={})
    with open(tmp_path / "kept" / "state.jsonl", "a") as file:
        file.write('{"torn": ')
    second = Client(life(), sessionResumption={"handle": first.handle}, outputAudioTranscription={})
    assert second.closed is None, "a killed server holds no connection open"
    second.type("again")
    second.wait(9000)
    assert second.transcript() == "This is what I heard you say. my name is Ann"
    assert second.core._session is not None
    assert second.core._session.number == 1
    assert Client(life(), sessionResumption={"handle": early}).closed is None
    fresh = Client(life(), sessionResumption={})
    assert fresh.core._session is not None
    assert fresh.core._session.number > 2
    assert wedged.handle in (tmp_path / "kept" / "state.jsonl").read_text()
    assert (tmp_path / "kept" / "state.jsonl").stat().st_mode & 0o777 == 0o600


def test_without_a_state_file_handles_die_with_the_server(tmp_path: Path) -> None:
    client = Client(script_life(tmp_path, SCRIPT), sessionResumption={})
    again = Client(script_life(tmp_path, SCRIPT), sessionResumption={"handle": client.handle})
    assert again.closed == Close(1007, "Invalid session handle")


def refused(model: str, **setup: Any) -> str | None:
    """Why a setup is turned away; None if it is not."""
    client = Client(Life(load_script(None)), model=model, **setup)
    return None if client.closed is None else client.why


LIVE, DEEP = "models/gemini-3.8-live", "models/gemini-3.8-live-extended-thinking"
OLDER, OLDEST = "models/gemini-3.1-flash-live-preview", "models/gemini-2.5-flash-native-audio-preview-12-2025"


@pytest.mark.parametrize(
    ("model", "setup", "why"),
    [
        (LIVE, {"generationConfig": {"thinkingConfig": {"thinking_level": "LOW"}}}, "thinkingLevel"),
        (DEEP, {"generationConfig": {"thinkingConfig": {"thinking_level": "MINIMAL"}}}, "thinks LOW"),
        (DEEP, {"generationConfig": {"thinkingConfig": {"thinking_level": "HIGH"}}}, None),
        (OLDER, {"generationConfig": {"thinkingConfig": {"thinking_level": "MINIMAL"}}}, None),
        (LIVE, {"generationConfig": {"enableAffectiveDialog": True}}, "enableAffectiveDialog"),
        (OLDEST, {"generationConfig": {"enableAffectiveDialog": True}}, None),
        (LIVE, {"proactivity": {"proactiveAudio": False}}, "proactiveAudio"),
        (LIVE, {"proactivity": {"proactiveAudio": True}}, None),
        (LIVE, {"generationConfig": {"temperatur": 1}}, "temperatur"),
    ],
)
def test_models_refuse_what_they_do_not_have(model: str, setup: dict[str, Any], why: str | None) -> None:
    found = refused(model, **setup)
    assert found == why or (why is not None and why in str(found))


@pytest.mark.parametrize(
    ("model", "behavior", "talks_on"),
    [
        (LIVE, None, True),
        (LIVE, "BLOCKING", False),
        (DEEP, None, True),
        (DEEP, "BLOCKING", None),
        (OLDER, "NON_BLOCKING", False),
        (OLDEST, None, False),
        (OLDEST, "NON_BLOCKING", True),
        (LIVE, "SOMETIMES", None),
    ],
)
def test_models_differ_in_whether_they_talk_on_while_a_function_runs(
    model: str, behavior: str | None, talks_on: bool | None
) -> None:
    declared = {"name": "get_order_status"} | ({"behavior": behavior} if behavior else {})
    client = Client(Life(load_script(None)), model=model, tools=[{"functionDeclarations": [declared]}])
    if talks_on is None:
        assert client.closed is not None
        return
    client.type("Where is order 5?")
    client.wait(9000)
    assert "toolCall" in client.kinds
    client.type("hello")
    client.wait(9000)
    assert ("toolCallCancellation" in client.kinds) == (not talks_on)


def test_what_manual_detection_does_not_take(tmp_path: Path) -> None:
    manual = {"realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}}}
    life = script_life(tmp_path, SCRIPT)
    for wrong in (
        {"audioStreamEnd": True},
        {"activityEnd": {}},
        {"activityStart": {}, "activityEnd": 5},
    ):
        client = Client(life, **manual)
        client.say(realtimeInput=wrong)
        assert client.closed is not None, wrong
        assert client.closed.code == 1007
    client = Client(life, **manual)
    client.say(realtimeInput={"activityStart": {}})
    client.say(realtimeInput={"activityStart": {}})
    assert client.closed is not None
    client = Client(life, more={})
    client.say(realtimeInput={"activityStart": {}})
    assert client.closed is not None
    assert client.closed.reason.startswith("Explicit activity control is not supported")
