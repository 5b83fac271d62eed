"""Turn-taking with time as an argument: nothing here waits, and every instant is exact."""

import base64
import json
from pathlib import Path

import pytest

from pipeline.simulator.fault import Close
from pipeline.simulator.life import Life
from tests.rig.live_client import SCRIPT, VOICE, Client, script_life, sentence

pytestmark = pytest.mark.unit

MANUAL = {"realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}}}
TOOLS = {"tools": [{"functionDeclarations": [{"name": "get_order_status", "behavior": "BLOCKING"}]}]}


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return script_life(tmp_path, SCRIPT)


def test_a_typed_turn_from_setup_to_turn_complete(life: Life) -> None:
    client = Client(life, outputAudioTranscription={}, systemInstruction={"parts": [{"text": "Be brief."}]})
    assert client.kinds == ["setupComplete"]
    client.wait(1000)
    client.type("Say hello.")
    client.wait(5000)
    assert client.kinds[0] == "setupComplete"
    assert client.kinds[-2:] == ["generationComplete", "turnComplete"]
    speech = VOICE.speak("Hello, and welcome.")
    assert client.audio() == speech.samples.tobytes()
    assert client.transcript() == "Hello, and welcome."
    assert client.at("modelTurn")[0] == 1200
    assert client.at("turnComplete")[0] == pytest.approx(1200 + speech.seconds * 1000, abs=0.01)
    assert client.at("generationComplete")[0] == client.at("modelTurn")[-1]
    assert client.at("generationComplete")[0] < 1200 + speech.seconds * 1000 / 2
    usage = client.sent[-1][1]["usageMetadata"]
    assert usage["promptTokensDetails"] == [{"modality": "TEXT", "tokenCount": 6}]
    assert usage["responseTokensDetails"] == [{"modality": "AUDIO", "tokenCount": round(speech.seconds * 25 + 0.5)}]
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + usage["responseTokenCount"]


def test_audio_leaves_in_the_services_sizes_faster_than_real_time(life: Life) -> None:
    client = Client(life, more={})
    client.type("hello")
    client.wait(3000)
    sizes = [len(json.dumps(m)) for _, m in client.sent if "inlineData" in json.dumps(m)]
    parts = [m["serverContent"]["modelTurn"]["parts"][0]["inlineData"] for _, m in client.sent if "modelTurn" in str(m)]
    assert [len(base64.b64decode(part["data"])) for part in parts][:4] == [2400, 7680, 9600, 15360]
    assert {part["mimeType"] for part in parts} == {"audio/pcm;rate=24000"}
    assert len(sizes) == len(parts)
    assert "outputTranscription" not in client.kinds


def test_a_spoken_turn_is_heard_transcribed_and_answered(life: Life) -> None:
    client = Client(life, inputAudioTranscription={}, outputAudioTranscription={})
    pcm = sentence()
    client.speak(pcm)
    client.wait(4000)
    assert client.transcript("inputTranscription") == "when do you close"
    assert client.transcript() == "Last entry is at five."
    assert client.pcm == pcm
    ended = next(note for note in client.notes if note.event == "speech_ended")
    answered_ms = client.at("modelTurn")[0]
    assert answered_ms == pytest.approx(ended.fields["sample"] / 16 + 500 + 200, abs=20)
    client.speak(sentence())
    client.wait(4000)
    assert client.transcript("inputTranscription") == "when do you close[speech, 3.2 s]"
    assert client.transcript().endswith("Goodbye, and enjoy your visit.")


def test_speaking_over_it_interrupts_and_nothing_stale_follows(life: Life) -> None:
    client = Client(life, outputAudioTranscription={}, sessionResumption={})
    client.type("hello")
    client.wait(300)
    before = len(client.audio())
    client.speak(sentence()[:32000])
    kinds = client.kinds
    assert kinds[-3:] == ["interrupted", "turnComplete", "handle"]
    assert "generationComplete" not in kinds or kinds.index("generationComplete") < kinds.index("interrupted")
    whole = VOICE.speak("Hello, and welcome.").samples.nbytes
    assert before <= len(client.audio()) <= whole
    sent = len(client.audio())
    client.wait(100)
    assert len(client.audio()) == sent


def test_interrupted_while_playing_is_the_same(life: Life) -> None:
    client = Client(life, more={})
    client.type("hello")
    client.wait(900)
    assert client.kinds[-1] == "generationComplete"
    client.speak(sentence()[:16000])
    assert client.kinds[-2:] == ["interrupted", "turnComplete"]


def test_speech_that_goes_on_before_the_answer_is_one_turn(life: Life) -> None:
    client = Client(life, inputAudioTranscription={})
    client.speak(sentence(silence_s=0.45))
    client.speak(sentence("not_ill_disposed.wav")[8000:])
    client.wait(4000)
    assert client.kinds.count("turnComplete") == 1
    assert client.transcript("inputTranscription") == "when do you close"
    assert "interrupted" not in client.kinds
    turn = [note for note in client.notes if note.event == "turn"][-1]
    assert turn.fields["seconds"] > 5


def test_no_interruption_lets_it_finish_and_then_answers(life: Life) -> None:
    client = Client(life, realtimeInputConfig={"activityHandling": "NO_INTERRUPTION"})
    client.type("hello")
    client.wait(250)
    client.speak(sentence())
    client.wait(6000)
    assert "interrupted" not in client.kinds
    assert client.kinds.count("turnComplete") == 2


def test_manual_activity(life: Life) -> None:
    client = Client(life, inputAudioTranscription={}, **MANUAL)
    client.say(realtimeInput={"activityStart": {}})
    client.speak(sentence(silence_s=0))
    client.wait(2000)
    assert client.kinds == ["setupComplete"]
    client.say(realtimeInput={"activityEnd": {}})
    client.wait(3000)
    assert client.kinds[-1] == "turnComplete"
    client.speak(sentence(silence_s=0))  # a microphone that is never closed: between two activities nobody hears it
    client.wait(3000)
    assert client.kinds.count("turnComplete") == 1
    client.say(realtimeInput={"activityStart": {}})
    client.speak(bytes(32_000))
    client.say(realtimeInput={"activityEnd": {}})
    assert [note.fields["seconds"] for note in client.notes if note.event == "speech_ended"][-1] == 1.0


def test_a_text_in_an_activity_is_answered_once_when_that_ends(life: Life) -> None:
    client = Client(life, **MANUAL)
    client.say(realtimeInput={"activityStart": {}})
    client.say(realtimeInput={"text": "hello"})
    client.wait(3000)
    assert client.kinds == ["setupComplete"]
    client.say(realtimeInput={"activityEnd": {}})
    client.wait(9000)
    assert client.kinds.count("turnComplete") == 1
    assert client.kinds.count("generationComplete") == 1


def test_activity_signals_need_manual_mode(life: Life) -> None:
    client = Client(life, more={})
    client.say(realtimeInput={"activityStart": {}})
    words = "Explicit activity control is not supported when automatic activity detection is enabled."
    assert client.closed == Close(1007, words)


def test_the_end_of_the_stream_ends_speech(life: Life) -> None:
    client = Client(life, more={})
    client.speak(sentence(silence_s=0))
    client.wait(3000)
    assert client.kinds == ["setupComplete"]
    client.say(realtimeInput={"audioStreamEnd": True})
    client.wait(200)
    assert client.kinds[-1] == "modelTurn"


def test_a_function_call_and_its_result(life: Life) -> None:
    client = Client(life, outputAudioTranscription={}, **TOOLS)
    client.type("Where is order 77?")
    client.wait(4000)
    assert client.kinds[-1] == "toolCall"
    assert "generationComplete" not in client.kinds
    call = client.sent[-1][1]["toolCall"]["functionCalls"][0]
    assert (call["name"], call["args"]) == ("get_order_status", {"order_id": "77"})
    result = {"id": call["id"], "name": call["name"], "response": {"status": "shipped on_Monday"}}
    client.say(tool_response={"function_responses": [result]})
    client.wait(9000)
    assert client.kinds[-1] == "turnComplete"
    assert client.transcript() == "One moment, I will look that up.I looked it up. shipped on_Monday"
    client.say(tool_response={"function_responses": [result]})
    assert client.closed is None
    assert "is ignored" in client.notes[-1].fields["text"]


def test_speaking_over_a_call_cancels_it(life: Life) -> None:
    client = Client(life, **TOOLS)
    client.type("order 1")
    client.wait(4000)
    client.speak(sentence()[:16000])
    assert client.kinds[-3:] == ["toolCallCancellation", "interrupted", "turnComplete"]
    assert client.sent[-3][1]["toolCallCancellation"]["ids"] == [
        client.sent[-4][1]["toolCall"]["functionCalls"][0]["id"]
    ]


@pytest.mark.parametrize("scheduling", ["WHEN_IDLE", "INTERRUPT", "SILENT"])
def test_a_result_that_comes_while_the_model_speaks_of_something_else(life: Life, scheduling: str) -> None:
    declared = {"functionDeclarations": [{"name": "get_order_status", "behavior": "NON_BLOCKING"}]}
    client = Client(life, outputAudioTranscription={}, tools=[declared])
    client.type("order 1")
    client.wait(4000)
    call = client.sent[-1][1]["toolCall"]["functionCalls"][0]
    client.type("hello")
    client.wait(300)
    assert "toolCallCancellation" not in client.kinds
    response = {"id": call["id"], "response": {"status": "lost"}, "scheduling": scheduling}
    client.say(toolResponse={"functionResponses": response})
    client.wait(9000)
    assert ("interrupted" in client.kinds) == (scheduling == "INTERRUPT")
    assert client.transcript().endswith("lost") == (scheduling != "SILENT")


def test_a_2_5_model_ends_its_turn_at_the_call(life: Life) -> None:
    client = Client(life, model="models/gemini-2.5-flash-native-audio", **TOOLS)
    client.type("order 1")
    client.wait(4000)
    assert client.kinds[-2:] == ["toolCall", "turnComplete"]


def test_history_is_not_answered_and_text_alone_waits(life: Life) -> None:
    client = Client(life, outputAudioTranscription={}, historyConfig={"initialHistoryInClientContent": True})
    turns = [
        {"role": "user", "parts": [{"text": "my name is Ann"}]},
        {"role": "model", "parts": [{"text": "Hello Ann"}]},
    ]
    client.say(clientContent={"turns": turns, "turnComplete": True})
    client.wait(1000)
    assert client.kinds == ["setupComplete"]
    client.say(clientContent={"turns": [{"role": "user", "parts": [{"text": "say it"}]}], "turnComplete": False})
    client.wait(1000)
    assert client.kinds == ["setupComplete"]
    client.type("again")
    client.wait(9000)
    assert client.transcript() == "This is what I heard you say. my name is Ann"


@pytest.mark.parametrize("asked", [["TEXT"], "text"])
def test_text_answers_for_text_sessions(life: Life, asked: str | list[str]) -> None:
    client = Client(life, generationConfig={"responseModalities": asked})
    client.say(realtimeInput={"text": "hello"}, clientContent=None)
    client.wait(1000)
    assert client.kinds == ["setupComplete", "modelTurn", "generationComplete", "turnComplete"]
    assert client.audio() == b""
    assert client.sent[-1][1]["usageMetadata"]["responseTokensDetails"][0]["modality"] == "TEXT"


def test_an_empty_answer_is_an_empty_turn(life: Life) -> None:
    client = Client(life, more={})
    client.type("nothing")
    client.wait(200)
    assert client.kinds == ["setupComplete", "generationComplete", "turnComplete"]


def test_the_first_spoken_answer_of_its_life_says_what_it_is(life: Life) -> None:
    life.notice_due = True
    for expected in (
        "This is the simulator on this machine, not the real service. Hello, and welcome.",
        "Hello, and welcome.",
    ):
        client = Client(life, outputAudioTranscription={})
        client.type("hello")
        client.wait(9000)
        assert client.transcript() == expected


def test_images_are_no_sound_and_a_missing_rate_is_noted(life: Life) -> None:
    client = Client(life, more={})
    client.say(realtimeInput={"mediaChunks": [{"data": "_9g=", "mimeType": "image/jpeg"}]})
    client.say(realtimeInput={"mediaChunks": [{"data": "AAE=", "mimeType": "audio/pcm"}]})
    assert client.closed is None
    assert client.pcm == b"\x00\x01"
    assert [note.fields["text"] for note in client.notes if note.event == "note"] == [
        "audio without a rate is taken for 16000 Hz; write audio/pcm;rate=16000"
    ]


def test_a_context_update_changes_the_tools(life: Life) -> None:
    client = Client(life, **TOOLS)
    client.say(contextUpdate={"tools": {"tools": []}})
    client.type("order 1")
    client.wait(4000)
    assert "toolCall" not in client.kinds
