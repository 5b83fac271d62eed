"""Our options and the SDK's own fields become one configuration; a wrong one is named with the nearest right one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.live import gemini
from pipeline.live.effects import State, Tell
from pipeline.live.failures import LineFailed
from pipeline.live.news import News
from pipeline.live.pauses import PAUSE_NS
from pipeline.live.service import has_key, standing_in, target
from pipeline.live.setup import (
    ServerVad,
    Wanted,
    check_turns,
    config,
    instruction,
    leaves_turns_to_the_service,
    pause_ns,
    takes_history_first,
)

pytestmark = pytest.mark.unit

ALL = Wanted(
    model="gemini-3.8-live",
    voice="Aoede",
    instruction="Be brief.",
    language="en-GB",
    server_vad=ServerVad("high", "low", 20, 400),
    live={"temperature": 0.7},
)


def test_every_option_reaches_its_field_and_the_sdk_takes_them_all() -> None:
    fields = config(ALL, handle="h", history_first=True)
    gemini.check(fields)
    assert fields == {
        "response_modalities": ["AUDIO"],
        "session_resumption": {"handle": "h"},
        "system_instruction": "Be brief.",
        "speech_config": {
            "voice_config": {"prebuilt_voice_config": {"voice_name": "Aoede"}},
            "language_code": "en-GB",
        },
        "output_audio_transcription": {},
        "input_audio_transcription": {"language_codes": ["en-GB"]},
        "realtime_input_config": {
            "automatic_activity_detection": {
                "start_of_speech_sensitivity": "START_SENSITIVITY_HIGH",
                "end_of_speech_sensitivity": "END_SENSITIVITY_LOW",
                "prefix_padding_ms": 20,
                "silence_duration_ms": 400,
            }
        },
        "history_config": {"initial_history_in_client_content": True},
        "temperature": 0.7,
    }


def test_text_alone_needs_no_voice_and_a_fresh_session_no_handle() -> None:
    fields = config(Wanted("m", "Aoede", modalities=["TEXT"], input_transcription=False))
    assert fields == {"response_modalities": ["TEXT"], "session_resumption": {}}
    gemini.check(fields)


def test_live_is_laid_over_the_options_in_either_spelling_and_null_removes() -> None:
    live = {"speechConfig": {"languageCode": None}, "history_config": {"initialHistoryInClientContent": False}}
    fields = config(Wanted("m", "Aoede", language="en-GB", live=live), history_first=True)
    assert fields["speech_config"] == {"voice_config": {"prebuilt_voice_config": {"voice_name": "Aoede"}}}
    assert not takes_history_first(fields)


DISABLED = {"realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}}}


def test_turns_that_the_client_would_have_to_detect_are_found_out() -> None:
    assert leaves_turns_to_the_service(config(ALL))
    assert not leaves_turns_to_the_service(config(Wanted("m", live=DISABLED)))
    fields = config(Wanted("m", turn_detection="client"))
    gemini.check(fields)
    assert not leaves_turns_to_the_service(fields)


@pytest.mark.parametrize(
    ("wanted", "key"),
    [
        (Wanted("m", live=DISABLED), "turn_detection: client"),
        (Wanted("m", turn_detection="client", live={"realtime_input_config": None}), "expected true"),
        (Wanted("m", turn_detection="client", server_vad=ServerVad(silence_duration_ms=9)), "client_vad"),
    ],
)
def test_options_that_disagree_about_who_detects_turns_are_named(wanted: Wanted, key: str) -> None:
    with pytest.raises(ValueError, match=key):
        check_turns(wanted, config(wanted))


def test_those_that_agree_pass() -> None:
    for wanted in (ALL, Wanted("m"), Wanted("m", turn_detection="client")):
        check_turns(wanted, config(wanted))
    check_turns(client := Wanted("m", turn_detection="client", live=DISABLED), config(client))


def test_silence_is_sent_until_the_service_has_taken_the_turn_for_over() -> None:
    assert pause_ns(config(ALL)) == PAUSE_NS
    assert pause_ns(config(Wanted("m", server_vad=ServerVad(silence_duration_ms=2000)))) > 2_000_000_000


def test_the_instruction_is_text_and_file(tmp_path: Path) -> None:
    (tmp_path / "i.md").write_text("Be kind.\n")
    assert instruction("Be brief.", tmp_path / "i.md") == "Be brief.\n\nBe kind."
    assert instruction("Be brief.", None) == "Be brief."


def test_the_case_of_a_persons_own_data_is_left_alone() -> None:
    tools = [{"functionDeclarations": [{"name": "getIt", "parameters": {"type": "OBJECT"}}]}]
    fields = config(Wanted("m", live={"tools": tools, "labels": {"shopFloor": "a"}}))
    assert (fields["tools"], fields["labels"]) == (tools, {"shopFloor": "a"})
    gemini.check(fields)


@pytest.mark.parametrize(
    ("live", "key", "near"),
    [
        ({"temprature": 1}, "temprature", "temperature"),
        ({"speech_config": {"voice_confg": {}}}, "speech_config.voice_confg", "voice_config"),
        ({"speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceNam": "x"}}}}, "voice_nam", "voice_name"),
        ({"system_instruction": {"part": []}}, "system_instruction.part", "parts"),
        ({"temperature": "hot"}, "temperature", "number"),
        ({"realtime_input_config": {"activity_handling": "NO_INTERUPTION"}}, "activity_handling", "NO_INTERRUPTION"),
        ({"tools": [{"functionDeclarations": [{"nam": "x"}]}]}, "tools.functionDeclarations.0.nam", "unknown field"),
    ],
)
def test_a_wrong_field_is_named_with_the_nearest_right_one(live: dict[str, Any], key: str, near: str) -> None:
    with pytest.raises(gemini.BadField) as caught:
        gemini.check(config(Wanted("m", live=live)))
    assert key in str(caught.value)
    assert near in str(caught.value)


def test_the_stage_can_be_described_without_the_sdk() -> None:
    script = "import sys, pipeline.stages.session, pipeline.stages.simulator; print('google.genai' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_a_key_or_vertex_makes_the_real_service_reachable() -> None:
    assert has_key({"GEMINI_API_KEY": "k"})
    assert has_key({"GOOGLE_GENAI_USE_VERTEXAI": "True"})
    assert not has_key({"GOOGLE_API_KEY": " ", "GOOGLE_GENAI_USE_VERTEXAI": "no"})


def test_whoever_hears_the_simulator_is_told_exactly_what_to_do() -> None:
    assert standing_in("gemini", {}) == ("", "")
    words, remedy = standing_in("simulator", {})
    assert "neither GOOGLE_API_KEY nor GEMINI_API_KEY is set" in words
    for what in ("`auto`", "key_file", "GOOGLE_API_KEY", "reload"):
        assert what in remedy
    assert "GOOGLE_API_KEY" not in "".join(standing_in("simulator", {"GOOGLE_API_KEY": "k"}))
    [told, _, state] = News("simulator", "", (words, remedy)).up(0, resumed=False)
    assert isinstance(told, Tell)
    assert isinstance(state, State)
    assert told.body["remedy"] == remedy
    assert state.reason == f"{words}; {remedy}"


def test_without_a_key_gemini_is_waited_for_and_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(LineFailed) as caught:
        target("gemini", {}, tmp_path)
    assert caught.value.failure.kind == "key"
    assert not caught.value.failure.fatal


def test_the_simulator_is_where_its_file_says(tmp_path: Path) -> None:
    with pytest.raises(LineFailed, match="has not started"):
        target("simulator", {}, tmp_path)
    file = tmp_path / "simulator.json"
    file.write_text("{")
    with pytest.raises(LineFailed, match=str(file)):
        target("simulator", {}, tmp_path)
    file.write_text(json.dumps({"url": "https://127.0.0.1:5", "cert": "/c.pem"}))
    found = target("simulator", {"GOOGLE_API_KEY": "k"}, tmp_path)
    assert (found.url, str(found.cert), found.where) == ("https://127.0.0.1:5", "/c.pem", "127.0.0.1:5")
