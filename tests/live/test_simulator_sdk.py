"""The real SDK against the simulator, over TLS, configured by nothing but the environment where that is the point."""

import asyncio
import os
import ssl
import subprocess
import sys
import textwrap
import time
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from pipeline.simulator import Server
from pipeline.simulator.session_setup import DETECTION_KEYS, INPUT_KEYS, SETUP_KEYS

pytestmark = pytest.mark.process

RECORDINGS = Path(__file__).parent.parent / "recordings"
MODEL = "gemini-3.8-live"

TUTORIAL = """
    import asyncio, sys, wave
    from google import genai
    from google.genai import types

    client = genai.Client(http_options={"api_version": "v1beta"})
    config = types.LiveConnectConfig(
        response_modalities=["AUDIO"],
        system_instruction=types.Content(parts=[types.Part(text="You are a concise voice assistant.")]),
        speech_config=types.SpeechConfig(
            voice_config=types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name="Aoede"))
        ),
    )

    async def speak(session):
        with wave.open(sys.argv[1]) as file:
            pcm = file.readframes(file.getnframes()) + bytes(48000)
        for at in range(0, len(pcm), 2048):
            blob = types.Blob(data=pcm[at:at + 2048], mime_type="audio/pcm;rate=16000")
            await session.send_realtime_input(audio=blob)
            await asyncio.sleep(0.064)

    async def main():
        model = "gemini-2.5-flash-preview-native-audio-dialog"
        async with client.aio.live.connect(model=model, config=config) as session:
            await session.send_client_content(
                turns=[types.Content(role="user", parts=[types.Part(text="Say hello.")])], turn_complete=True
            )
            print(sum([len(response.data) async for response in session.receive() if response.data]), flush=True)
            speaking = asyncio.create_task(speak(session))
            print(sum([len(response.data) async for response in session.receive() if response.data]), flush=True)
            await speaking

    asyncio.run(main())
"""


@asynccontextmanager
async def serving(folder: Path, script: str | None = None, **options: Any) -> AsyncIterator[tuple[Server, str]]:
    path = None
    if script is not None:
        path = folder / "script.yaml"
        path.write_text("version: 1\n" + script, "utf-8")
    server = Server(path, folder / "log.jsonl", certs=folder / "certs", **options)
    try:
        yield server, await server.start()
    finally:
        await server.stop()


def client_of(server: Server, url: str, key: str = "any", version: str | None = None) -> genai.Client:
    context = ssl.create_default_context(cafile=server.cert)
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    args = {"ssl": context, "verify": context, "close_timeout": 1}
    options = types.HttpOptions(base_url=url, api_version=version, async_client_args=args)
    return genai.Client(api_key=key, http_options=options)


async def turn(session: Any) -> list[Any]:
    return [message async for message in session.receive()]


def sound(messages: list[Any]) -> int:
    return sum(len(message.data) for message in messages if message.data)


def test_an_unmodified_program_needs_three_variables(tmp_path: Path) -> None:
    async def scene() -> subprocess.CompletedProcess[str]:
        async with serving(tmp_path) as (server, url):
            (tmp_path / "tutorial.py").write_text(textwrap.dedent(TUTORIAL), "utf-8")
            variables = {
                "GOOGLE_GEMINI_BASE_URL": url,
                "SSL_CERT_FILE": str(server.cert),
                "GOOGLE_API_KEY": "dummy",
                "PATH": os.environ["PATH"],
            }
            command = [sys.executable, str(tmp_path / "tutorial.py"), str(RECORDINGS / "made_amiable.wav")]
            return await asyncio.to_thread(
                subprocess.run, command, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=60
            )

    done = asyncio.run(scene())
    assert done.returncode == 0, done.stderr
    greeting, answer = map(int, done.stdout.split())
    assert greeting == 2 * 73376, "Hello, and welcome. What would you like to know?"
    assert answer > 24000 * 2 * 5, "opening hours"


def test_every_field_of_a_turn_reaches_the_sdk(tmp_path: Path) -> None:
    config = {
        "response_modalities": ["AUDIO"],
        "input_audio_transcription": {},
        "output_audio_transcription": {},
        "session_resumption": {},
        "temperature": 0.7,
        "context_window_compression": {"sliding_window": {}},
        "proactivity": {"proactive_audio": True},
        "realtime_input_config": {
            "automatic_activity_detection": {"silence_duration_ms": 200, "prefix_padding_ms": 20}
        },
    }

    async def scene() -> list[Any]:
        async with (
            serving(tmp_path, "spoken: [{heard: when do you close, say: Last entry is at five.}]") as (server, url),
            client_of(server, url).aio.live.connect(model=MODEL, config=config) as session,
        ):
            with wave.open(str(RECORDINGS / "not_ill_disposed.wav")) as file:
                pcm = file.readframes(file.getnframes()) + bytes(32000)
            for at in range(0, len(pcm), 3200):
                blob = types.Blob(data=pcm[at : at + 3200], mime_type="audio/pcm;rate=16000")
                await session.send_realtime_input(audio=blob)
            return await turn(session)

    messages = asyncio.run(scene())
    contents = [message.server_content for message in messages if message.server_content]
    said = "".join(content.output_transcription.text for content in contents if content.output_transcription)
    heard = "".join(content.input_transcription.text for content in contents if content.input_transcription)
    assert (heard, said) == ("when do you close", "Last entry is at five.")
    assert contents[-2].generation_complete
    assert contents[-1].turn_complete
    usage = messages[-1].usage_metadata
    assert {detail.modality.value for detail in usage.prompt_tokens_details} == {"AUDIO"}
    assert usage.response_token_count == 44
    assert messages[0].session_resumption_update.resumable
    assert not messages[1].session_resumption_update.resumable, "withheld while it generates"


def test_a_function_call_is_answered_and_user_data_is_not_recased(tmp_path: Path) -> None:
    order = types.FunctionDeclaration(
        name="get_order_status",
        description="Look up an order.",
        parameters=types.Schema(type=types.Type.OBJECT, properties={"order_id": types.Schema(type=types.Type.STRING)}),
    )

    async def scene() -> tuple[Any, list[Any]]:
        config = types.LiveConnectConfig(
            response_modalities=[types.Modality.AUDIO],
            output_audio_transcription=types.AudioTranscriptionConfig(),
            tools=[types.Tool(function_declarations=[order])],
        )
        async with (
            serving(tmp_path) as (server, url),
            client_of(server, url).aio.live.connect(model=MODEL, config=config) as session,
        ):
            await session.send_realtime_input(text="where is order 1234")
            call = next([m async for m in until_call(session)][-1].function_calls.__iter__())
            response = {"delivery_state": "at the front desk"}
            await session.send_tool_response(
                function_responses=[types.FunctionResponse(id=call.id, name=call.name, response=response)]
            )
            return call, await turn(session)

    async def until_call(session: Any) -> AsyncIterator[Any]:
        async for message in session.receive():
            if message.tool_call:
                yield message.tool_call
                return

    call, messages = asyncio.run(scene())
    assert (call.name, call.args) == ("get_order_status", {"order_id": "1234"})
    contents = [message.server_content for message in messages if message.server_content]
    said = "".join(content.output_transcription.text for content in contents if content.output_transcription)
    assert said == "I looked it up. at the front desk"


def test_closes_come_as_the_sdk_reports_the_services(tmp_path: Path) -> None:
    script = """
keys: [good]
faults: [{when: answer, after_ms: 100, close: {code: 1011, reason: Internal error encountered.}}]
"""

    async def scene() -> list[tuple[int, str]]:
        seen = []
        async with serving(tmp_path, script) as (server, url):
            for key, model in (("bad", MODEL), ("good", "claire"), ("good", MODEL)):
                client = client_of(server, url, key)
                try:
                    async with client.aio.live.connect(model=model, config={}) as session:
                        await session.send_realtime_input(text="hello")
                        await turn(session)
                except errors.APIError as error:
                    seen.append((error.code, str(error.details)))
        return seen

    assert asyncio.run(scene()) == [
        (1007, "API key not valid. Please pass a valid API key."),
        (1008, "models/claire is not found for API version v1, or is not supported for bidiGenerateContent."),
        (1011, "Internal error encountered."),
    ]


def test_go_away_then_resume_on_a_new_connection(tmp_path: Path) -> None:
    script = """
spoken: [{say: Last entry is at five.}]
text: [{match: again, say: "{previous}"}, {say: "Hello, and welcome."}]
faults: [{when: turn, nth: 1, go_away_ms: 3000}]
"""

    async def scene() -> tuple[str | None, int, str]:
        left, handle = None, None
        async with serving(tmp_path, script) as (server, url):
            client = client_of(server, url)
            config: dict[str, Any] = {"session_resumption": {}, "output_audio_transcription": {}}
            code = 0
            async with client.aio.live.connect(model=MODEL, config=config) as session:
                await session.send_realtime_input(text="remember the lighthouse")
                try:
                    while True:
                        async for message in session.receive():
                            left = message.go_away.time_left if message.go_away else left
                            update = message.session_resumption_update
                            handle = update.new_handle if update and update.resumable else handle
                except errors.APIError as error:
                    code = error.code
            config["session_resumption"] = {"handle": handle}
            async with client.aio.live.connect(model=MODEL, config=config) as session:
                await session.send_realtime_input(text="again")
                contents = [message.server_content for message in await turn(session) if message.server_content]
                said = "".join(c.output_transcription.text for c in contents if c.output_transcription)
            return left, code, said

    left, code, said = asyncio.run(scene())
    assert (left, code) == ("3s", 1008)
    assert said == "remember the lighthouse"


def test_a_token_that_was_made_here_opens_a_session(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path, "text: [say: Last entry is at five.]\n") as (server, url):
            token = await client_of(server, url, version="v1alpha").aio.auth_tokens.create(config={"uses": 1})
            holder = client_of(server, url, str(token.name), "v1alpha")
            async with holder.aio.live.connect(model=MODEL, config={}) as session:
                await session.send_realtime_input(text="hello")
                assert sound(await turn(session))

    asyncio.run(scene())


def test_many_sessions_at_once_are_independent(tmp_path: Path) -> None:
    async def one(client: genai.Client) -> tuple[int, float]:
        async with client.aio.live.connect(model=MODEL, config={}) as session:
            begun = time.monotonic()
            await session.send_realtime_input(text="hello")
            first, size = 0.0, 0
            async for message in session.receive():
                if message.data:
                    first = first or time.monotonic() - begun
                    size += len(message.data)
            return size, first

    async def scene() -> list[tuple[int, float]]:
        async with serving(tmp_path, "text: [say: 'Hello, and welcome.']") as (server, url):
            client = client_of(server, url)
            return list(await asyncio.gather(*(one(client) for _ in range(24))))

    results = asyncio.run(scene())
    assert {size for size, _ in results} == {2 * 33792}
    assert sorted(first for _, first in results)[12] < 1.5


def test_the_notice_is_said_once(tmp_path: Path) -> None:
    async def scene() -> list[str]:
        said = []
        async with serving(tmp_path, "text: [{say: Last entry is at five.}]", notice=True) as (server, url):
            client = client_of(server, url)
            for _ in range(2):
                async with client.aio.live.connect(model=MODEL, config={"output_audio_transcription": {}}) as session:
                    await session.send_realtime_input(text="hello")
                    contents = [message.server_content for message in await turn(session) if message.server_content]
                    said.append("".join(c.output_transcription.text for c in contents if c.output_transcription))
        return said

    notice = "This is the simulator on this machine, not the real service. "
    assert asyncio.run(scene()) == [notice + "Last entry is at five.", "Last entry is at five."]


def test_every_setting_that_the_sdk_can_send_is_known() -> None:
    def aliases(model: Any) -> set[str]:
        return {field.alias or name for name, field in model.model_fields.items()}

    assert aliases(types.LiveClientSetup) <= SETUP_KEYS
    assert aliases(types.RealtimeInputConfig) <= INPUT_KEYS
    assert aliases(types.AutomaticActivityDetection) <= DETECTION_KEYS
