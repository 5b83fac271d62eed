"""Every field of the service's messages, as the SDK gives them, becomes a value of ours in the order to act on it."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from google import genai
from google.genai import live

from pipeline.live import messages as m
from pipeline.live.parse import UNSAID_S, incoming, rate_of, seconds

pytestmark = pytest.mark.unit

PCM = b"\x01\x00\x02\x00"
AUDIO = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": base64.b64encode(PCM).decode()}}

GROUNDING = {"webSearchQueries": ["x"], "groundingChunks": [{"web": {"uri": "u"}}]}


class Wire:
    """A WebSocket that says one message."""

    def __init__(self, message: dict[str, Any]) -> None:
        self._message = message

    async def recv(self, decode: bool = True) -> bytes:
        return json.dumps(self._message).encode()


def values(message: dict[str, Any]) -> tuple[m.Incoming, ...]:
    client = genai.Client(api_key="none", vertexai=False)
    session = live.AsyncSession(client._api_client, Wire(message))  # type: ignore[arg-type]
    return incoming(asyncio.run(anext(session.receive())))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({}, ()),
        ({"serverContent": {"modelTurn": {"parts": [AUDIO]}}}, (m.Speech(PCM, 24_000),)),
        ({"serverContent": {"modelTurn": {"parts": [{"text": "t", "thought": True}]}}}, (m.Text("t", True),)),
        ({"serverContent": {"modelTurn": {"parts": [{"text": "t"}, AUDIO]}}}, (m.Text("t"), m.Speech(PCM))),
        (
            {"serverContent": {"modelTurn": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}}},
            (m.OtherPart("image/png"),),
        ),
        (
            {"serverContent": {"modelTurn": {"parts": [{"executableCode": {"code": "1", "language": "PYTHON"}}]}}},
            (m.OtherPart("executable_code"),),
        ),
        ({"serverContent": {"inputTranscription": {"text": "hi ", "finished": True}}}, (m.PersonSaid("hi ", True),)),
        ({"serverContent": {"interimInputTranscription": {"text": "h"}}}, (m.PersonSaid("h", interim=True),)),
        ({"serverContent": {"outputTranscription": {"text": "yes"}}}, (m.MachineSaid("yes"),)),
        ({"serverContent": {"interrupted": True}}, (m.Interrupted(),)),
        ({"serverContent": {"generationComplete": True}}, (m.GenerationComplete(),)),
        ({"serverContent": {"waitingForInput": True}}, (m.WaitingForInput(),)),
        ({"serverContent": {"interactionStatus": "IDLE"}}, (m.Idle(),)),
        (
            {"serverContent": {"turnComplete": True, "turnCompleteReason": "NEED_MORE_INPUT"}},
            (m.TurnComplete("NEED_MORE_INPUT"),),
        ),
        (
            {"serverContent": {"turnComplete": True, "interactionStatus": "REQUIRES_ACTION"}},
            (m.TurnComplete("", True),),
        ),
        ({"serverContent": {"turnComplete": True, "turnCompleteReason": "NEW_ONE"}}, (m.TurnComplete("NEW_ONE"),)),
        (
            {"toolCall": {"functionCalls": [{"id": "1", "name": "f", "args": {"aB": 1}}, {"id": "2", "name": "g"}]}},
            (m.ToolCall("1", "f", {"aB": 1}), m.ToolCall("2", "g")),
        ),
        ({"toolCallCancellation": {"ids": ["1", "2"]}}, (m.ToolCallsCancelled(("1", "2")),)),
        ({"goAway": {"timeLeft": "9.5s"}}, (m.GoAway(9.5),)),
        ({"goAway": {"timeLeft": "0s"}}, (m.GoAway(0),)),
        ({"goAway": {}}, (m.GoAway(UNSAID_S),)),
        ({"goAway": {"timeLeft": "soon"}}, (m.GoAway(UNSAID_S),)),
        ({"sessionResumptionUpdate": {"newHandle": "H", "resumable": True}}, (m.Handle("H", True),)),
        ({"sessionResumptionUpdate": {}}, (m.Handle("", False),)),
        ({"voiceActivity": {"type": "ACTIVITY_START", "audioOffset": "1.2s"}}, (m.VoiceActivity("start", 1.2),)),
        (
            {"voiceActivityDetectionSignal": {"vadSignalType": "VAD_SIGNAL_TYPE_EOS"}},
            (m.VoiceActivity("end"),),
        ),
        (
            {"serverContent": {"groundingMetadata": GROUNDING}},
            (m.Grounding(("x",), ("u",)),),
        ),
    ],
)  # fmt: skip
def test_each_field(message: dict[str, Any], expected: tuple[m.Incoming, ...]) -> None:
    assert values(message) == expected


def test_usage_with_details_that_do_not_sum() -> None:
    message = {
        "usageMetadata": {
            "promptTokenCount": 522,
            "responseTokenCount": 42,
            "thoughtsTokenCount": 136,
            "totalTokenCount": 564,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 332}, {"modality": "AUDIO", "tokenCount": 165}],
            "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 42}],
        }
    }
    [usage] = values(message)
    assert usage == m.Usage(522, 42, 136, 0, 564, {"text": 332, "audio": 165}, {"audio": 42})


def test_several_fields_in_one_message_come_in_the_order_to_act_on_them() -> None:
    content = {
        "turnComplete": True,
        "generationComplete": True,
        "modelTurn": {"parts": [AUDIO]},
        "outputTranscription": {"text": "a"},
        "interrupted": True,
    }
    message = {"usageMetadata": {"totalTokenCount": 1}, "serverContent": content}
    assert [type(value).__name__ for value in values(message)] == [
        "Interrupted",
        "Speech",
        "MachineSaid",
        "Usage",
        "GenerationComplete",
        "TurnComplete",
    ]


@pytest.mark.parametrize(("text", "expected"), [("50s", 50.0), ("0.25s", 0.25), ("7", 7.0), ("", None), ("soon", None)])
def test_durations(text: str, expected: float | None) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("kind", "rate"), [("audio/pcm;rate=16000", 16_000), ("audio/pcm", 24_000), ("audio/pcm;rate=0", 24_000)]
)
def test_rates(kind: str, rate: int) -> None:
    assert rate_of(kind) == rate
