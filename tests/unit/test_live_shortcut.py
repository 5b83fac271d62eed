"""The shorter way of sound: exactly what the SDK would have said, or None."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from google.genai import types

from pipeline.live import gemini, shortcut
from pipeline.live.messages import Speech
from pipeline.live.parse import incoming

pytestmark = pytest.mark.unit

PCM = bytes(range(256)) * 4


def message(data: str, kind: str = "audio/pcm;rate=24000", **more: Any) -> bytes:
    turn = {"parts": [{"inlineData": {"mimeType": kind, "data": data}}], "role": "model"}
    return json.dumps({"serverContent": {"modelTurn": turn}, **more}).encode()


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_sound_is_read_in_either_alphabet_as_the_sdk_reads_it(encode: Any) -> None:
    raw = message(encode(PCM).decode())
    assert shortcut.sound_in(raw) == (Speech(PCM, 24_000),)
    parsed = types.LiveServerMessage._from_response(response=json.loads(raw), kwargs={})
    assert incoming(parsed) == (Speech(PCM, 24_000),)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b'"inlineData"',
        b'{"inlineData"',
        message("AAA"),
        message("AA!A"),
        message("AAAA", kind="image/png"),
        message("AAAA", usageMetadata={"totalTokenCount": 1}),
        b'{"serverContent":{"modelTurn":{"parts":[]},"x":"\\"inlineData\\""}}',
        b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm"}}]}}}',
        b'{"serverContent":{"modelTurn":{"parts":[{"text":"a"},{"inlineData":{"mimeType":"audio/pcm","data":""}}]}}}',
        b'{"serverContent":{"interrupted":true,"modelTurn":{"parts":[{"inlineData":{}}]}}}',
    ],
)
def test_all_else_is_the_sdks_to_read(raw: bytes) -> None:
    assert shortcut.sound_in(raw) is None


def test_a_block_of_voice_is_written_as_the_sdk_writes_it() -> None:
    async def both() -> tuple[str, str]:
        client = gemini.genai.Client(api_key="none", vertexai=False)
        paper = shortcut.Nobody()
        session = gemini.live.AsyncSession(client._api_client, paper)  # type: ignore[arg-type]
        words = await gemini._words_around_voice(session)
        assert words is not None
        await session.send_realtime_input(audio=types.Blob(data=PCM, mime_type=gemini.AUDIO_TYPE))
        return shortcut.message_of(words, PCM), paper.taken

    ours, theirs = asyncio.run(both())
    assert ours == theirs


def test_words_without_the_block_are_no_words() -> None:
    assert shortcut.words_around('{"realtime_input": {"audio": "0xFB"}}') is None


class Socket:
    """Says what it was given, then is closed."""

    def __init__(self, *messages: bytes) -> None:
        self.messages = list(messages)
        self.name = "socket"

    async def recv(self, decode: bool | None = None) -> bytes:
        if not self.messages:
            raise gemini.websockets.ConnectionClosedOK(None, None)
        return self.messages.pop(0)


def test_what_was_looked_at_is_received_unless_dropped() -> None:
    async def talk() -> None:
        ahead = shortcut.Ahead(Socket(b"1", b"2", b"3"))
        assert await ahead.look() == await ahead.look() == b"1"
        assert await ahead.recv() == b"1"
        assert await ahead.look() == b"2"
        ahead.drop()
        assert await ahead.recv(decode=False) == b"3"
        assert await ahead.look() is None
        with pytest.raises(gemini.websockets.ConnectionClosed):
            await ahead.recv()
        assert ahead.name == "socket"

    asyncio.run(talk())
