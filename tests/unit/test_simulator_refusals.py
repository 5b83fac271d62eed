"""What the simulator turns away, in the service's own codes and words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.simulator.conversation import SETUP_DEADLINE_NS
from pipeline.simulator.fault import Close
from pipeline.simulator.life import Life
from pipeline.simulator.script_file import load_script
from tests.rig.live_client import MODEL, MS, SCRIPT, Client, script_life

pytestmark = pytest.mark.unit


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return script_life(tmp_path, SCRIPT)


BAD_SETUPS: list[tuple[dict[str, Any], int, str, str]] = [
    ({}, 1007, "Request contains an invalid argument.", "model is missing"),
    ({"model": 7}, 1007, "Request contains an invalid argument.", "model must be a string"),
    (
        {"model": "models/other"},
        1008,
        "models/other is not found for API version v1beta, or is not supported for",
        "models",
    ),
    ({**MODEL, "tool": []}, 1007, "Unknown name \"tool\" at 'setup': Cannot find field.", "tool"),
    (
        {**MODEL, "generation_config": {"response_modalities": ["TEXT", "AUDIO"]}},
        1007,
        "invalid argument",
        "one of them",
    ),
    ({**MODEL, "tools": [{"functionDeclarations": [{}]}]}, 1007, "invalid argument", "name of its own"),
    ({**MODEL, "systemInstruction": {"parts": 3}}, 1007, "invalid argument", "parts must be a list"),
    ({**MODEL, "realtimeInputConfig": {"activityHandling": "NEVER"}}, 1007, "invalid argument", "activityHandling"),
    (
        {**MODEL, "realtimeInputConfig": {"automaticActivityDetection": {"silenceDurationMs": -1}}},
        1007,
        "invalid argument",
        "silenceDurationMs",
    ),
]


@pytest.mark.parametrize(("setup", "code", "reason", "why"), BAD_SETUPS)
def test_bad_setups(life: Life, setup: dict[str, Any], code: int, reason: str, why: str) -> None:
    client = Client(life)
    client.say(setup=setup)
    assert client.closed is not None
    assert client.closed.code == code
    assert reason in client.closed.reason
    assert why in client.why
    assert client.sent == []


@pytest.mark.parametrize(
    "message",
    [
        {"setup": MODEL},
        {"realtimeInput": {"audio": {"data": "AAA=", "mimeType": "audio/wav"}}},
        {"realtimeInput": {"audio": {"data": "AAA="}}},
        {"realtimeInput": {"audio": {"data": "?", "mimeType": "audio/pcm;rate=16000"}}},
        {"realtimeInput": {"video": {"data": "AAA=", "mimeType": "audio/pcm"}}},
        {"realtimeInput": {"sound": {}}},
        {"realtimeInput": [1]},
        {"clientContent": {"turns": 7}},
        {"clientContent": {"turnComplete": "yes"}},
        {"clientContent": {}, "realtimeInput": {}},
        {"toolResponse": {"functionResponses": [{"name": "f"}]}},
        {"unknown": {}},
    ],
)
def test_messages_that_end_the_connection(life: Life, message: dict[str, Any]) -> None:
    client = Client(life, more={})
    client.say(**message)
    assert client.closed is not None
    assert client.closed.code == 1007
    assert client.why
    client.type("hello")
    client.wait(60_000)
    assert client.kinds == ["setupComplete"]


def test_setup_comes_first_and_in_time(life: Life) -> None:
    client = Client(life)
    client.type("hello")
    assert client.closed == Close(1007, "Request contains an invalid argument.")
    slow = Client(life)
    slow.wait(SETUP_DEADLINE_NS / MS)
    assert slow.closed == Close(1011, "Deadline expired before operation could complete.")


BLOB = {"data": "AAAA", "mimeType": "audio/pcm;rate=16000"}
RIGHT: list[dict[str, Any]] = [
    {
        "setup": {
            **MODEL,
            "generationConfig": {"responseModalities": ["AUDIO"]},
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "tools": [{"functionDeclarations": [{"name": "f", "behavior": "NON_BLOCKING"}]}],
            "sessionResumption": {"handle": ""},
            "inputAudioTranscription": {},
            "realtimeInputConfig": {
                "automaticActivityDetection": {"disabled": False, "silenceDurationMs": 100, "prefixPaddingMs": "20"},
                "activityHandling": "NO_INTERRUPTION",
                "turnCoverage": "TURN_INCLUDES_ALL_INPUT",
            },
            "historyConfig": {"initialHistoryInClientContent": False},
        }
    },
    {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "hello"}]}], "turnComplete": True}},
    {"realtimeInput": {"audio": BLOB, "video": {**BLOB, "mimeType": "image/png"}, "mediaChunks": [BLOB], "text": "hi"}},
    {"realtimeInput": {"audioStreamEnd": True}},
    {"toolResponse": {"functionResponses": [{"id": "x", "response": {}, "scheduling": "", "willContinue": False}]}},
    {"contextUpdate": {"systemInstruction": {"parts": [{"text": "x"}]}, "tools": {"tools": []}}},
]
WRONG: list[Any] = [
    None,
    True,
    1,
    -1,
    1e300,
    "x",
    "",
    [],
    {},
    [None],
    [[]],
    [{}],
    {"parts": 1},
    {"data": None},
    "AUDIO",
]


def spoiled(value: Any) -> Iterator[Any]:
    """`value` with any one part of it replaced by something wrong."""
    yield from WRONG
    if isinstance(value, dict):
        for key, item in value.items():
            yield from ({**value, key: other} for other in spoiled(item))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from ([*value[:at], other, *value[at + 1 :]] for other in spoiled(item))


@pytest.mark.parametrize("right", RIGHT, ids=lambda right: next(iter(right)))
def test_no_spoiled_message_breaks_the_conversation(right: dict[str, Any]) -> None:
    life = Life(load_script(None))
    name = next(iter(right))
    for body in spoiled(right[name]):
        client = Client(life, **({} if name == "setup" else {"plain": True}))
        client.do(client.core.receive({name: body}, client.now_ns))
        for _ in range(2):  # the first one may be taken for history
            client.type("hello")
            client.wait(300)
        if client.closed is None:
            assert "modelTurn" in client.kinds, body
        else:
            assert client.closed.code in (1007, 1008), body
            assert client.closed.reason
            assert client.why
