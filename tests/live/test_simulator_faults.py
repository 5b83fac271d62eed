"""Faults of the network, of TLS and of HTTP, as a raw client and the unmodified SDK see them."""

import asyncio
import base64
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from pipeline.simulator import Server

pytestmark = pytest.mark.process

PATH = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=k"
SETUP = '{"setup":{"model":"models/gemini-3.8-live","sessionResumption":{}}}'
HELLO = '{"realtimeInput":{"text":"hello"}}'
SCRIPT = "version: 1\nthink_ms: 20\nspeed: 20\ntext: [say: Last entry is at five.]\n"


class Place:
    def __init__(self, server: Server, url: str) -> None:
        self.server, self.url = server, url
        self.tls = ssl.create_default_context(cafile=server.cert)

    def connect(self, **more: Any) -> connect:
        return connect(self.url.replace("https", "wss") + PATH, ssl=self.tls, close_timeout=0.5, **more)

    async def http(self, method: str, path: str, body: str = "") -> tuple[int, Any]:
        """Status and JSON of a plain request."""

        def ask() -> tuple[int, Any]:
            request = urllib.request.Request(self.url + path, body.encode() or None, method=method)
            opener = urllib.request.build_opener(
                urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.tls)
            )
            try:
                with opener.open(request, timeout=5) as response:
                    return response.status, json.load(response)
            except urllib.error.HTTPError as error:
                return error.code, json.load(error)

        return await asyncio.to_thread(ask)

    def sdk(self) -> genai.Client:
        args: dict[str, Any] = {"ssl": self.tls, "open_timeout": 2, "close_timeout": 0.5, "proxy": None}
        options = types.HttpOptions(base_url=self.url, api_version="v1beta", async_client_args=args)
        return genai.Client(api_key="k", vertexai=False, http_options=options)


@asynccontextmanager
async def serving(folder: Path, *faults: str, more: str = "", script: str = SCRIPT) -> AsyncIterator[Place]:
    lines = "faults:\n" + "".join(f"  - {fault}\n" for fault in faults) if faults else ""
    (folder / "script.yaml").write_text(script + more + lines)
    server = Server(folder / "script.yaml", folder / "log.jsonl", certs=folder / "certs")
    try:
        yield Place(server, await server.start())
    finally:
        await server.stop()


async def until(ws: ClientConnection, key: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            message: dict[str, Any] = json.loads(await ws.recv())
            if key in json.dumps(message):
                return message


async def closed(ws: ClientConnection) -> tuple[int | None, str | None]:
    try:
        async with asyncio.timeout(10):
            while True:
                await ws.recv()
    except ConnectionClosed:
        return ws.close_code, ws.close_reason


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("refused", ""),
        ("expired", "certificate has expired"),
        ("not_yet_valid", "certificate is not yet valid"),
        ("untrusted", "CERTIFICATE_VERIFY_FAILED"),
    ],
)
def test_tls_fails_once(tmp_path: Path, how: str, words: str) -> None:
    async def scene() -> None:
        async with serving(tmp_path, f"{{when: dial, nth: 1, tls: {how}}}") as place:
            with pytest.raises((ssl.SSLError, ConnectionError)) as error:
                await place.connect()
            assert words in str(error.value)
            async with place.connect() as ws:
                await ws.send(SETUP)
                await until(ws, "setupComplete")

    asyncio.run(scene())


def test_a_quota_or_a_bad_key_is_said_at_the_upgrade(tmp_path: Path) -> None:
    async def scene() -> None:
        statuses = [429, 401, 403, 503, 418]
        faults = [f"{{when: dial, nth: {at}, http: {{status: {status}}}}}" for at, status in enumerate(statuses, 1)]
        async with serving(tmp_path, *faults, '{when: dial, nth: 6, http: {status: 500, body: "<html>"}}') as place:
            for status in statuses:
                with pytest.raises(InvalidStatus) as refused:
                    await place.connect()
                assert refused.value.response.status_code == status
                assert json.loads(refused.value.response.body or b"")["error"]["code"] == status
            with pytest.raises(InvalidStatus) as refused:
                async with place.sdk().aio.live.connect(model="gemini-3.8-live", config={}):
                    pass
            assert refused.value.response.body == b"<html>"

    asyncio.run(scene())


def test_it_never_upgrades_never_sets_up_or_hangs_up_at_once(tmp_path: Path) -> None:
    faults = (
        "{when: dial, nth: 1, silent: true}",
        "{when: dial, nth: 2, close: cut}",
        "{when: connect, nth: 1, silent: true}",
        "{when: connect, nth: 2, close: internal}",
        "{when: connect, nth: 3, close: cut}",
    )

    async def scene() -> None:
        async with serving(tmp_path, *faults) as place:
            with pytest.raises(TimeoutError):
                await place.connect(open_timeout=0.3)
            with pytest.raises((ConnectionError, InvalidMessage)):
                await place.connect()
            async with place.connect() as ws:
                await ws.send(SETUP)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(ws.recv(), 0.3)
                await asyncio.wait_for(await ws.ping(), 2)
            for code in (1011, 1006):
                with pytest.raises((errors.APIError, ConnectionClosed)) as error:
                    async with place.sdk().aio.live.connect(model="gemini-3.8-live", config={}):
                        pass
                # Found already by sending the setup, it is no error of the SDK's.
                assert not isinstance(error.value, errors.APIError) or error.value.code == code
            async with place.sdk().aio.live.connect(model="gemini-3.8-live", config={}) as session:
                assert session.setup_complete is not None

    asyncio.run(scene())


def test_a_frame_is_torn(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path, "{when: answer, close: torn}") as place:
            async with place.connect() as ws:
                await ws.send(SETUP)
                await ws.send(HELLO)
                assert await closed(ws) == (1006, "")
            async with place.sdk().aio.live.connect(model="gemini-3.8-live", config={}) as session:
                await session.send_realtime_input(text="hello")
                with pytest.raises(errors.APIError) as error:
                    async for _ in session.receive():
                        pass
                assert error.value.code == 1006

    asyncio.run(scene())


def test_pongs_are_late_or_never_come(tmp_path: Path) -> None:
    faults = ("{when: setup, nth: 1, pongs_ms: 300}", "{when: setup, nth: 2, pongs_ms: never}")

    async def scene() -> None:
        async with serving(tmp_path, *faults) as place, place.connect() as late, place.connect() as never:
            for ws in (late, never):
                await ws.send(SETUP)
                await until(ws, "newHandle")
            begun = time.monotonic()
            await asyncio.wait_for(await late.ping(), 5)
            assert time.monotonic() - begun > 0.29
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(await never.ping(), 0.5)
            await never.send(HELLO)
            await until(never, "turnComplete")

    asyncio.run(scene())


def test_a_frozen_connection_loses_nothing(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path, "{when: setup, nth: 1, freeze_ms: 400}") as place, place.connect() as ws:
            begun = time.monotonic()
            await ws.send(SETUP)
            await ws.send(HELLO)
            await until(ws, "turnComplete")
            assert time.monotonic() - begun > 0.39

    asyncio.run(scene())


def test_a_client_that_leaves_in_a_freeze_troubles_nobody(tmp_path: Path) -> None:
    troubles: list[Any] = []

    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
        async with serving(tmp_path) as place:
            ws = await place.connect()
            await ws.send(SETUP)
            await until(ws, "setupComplete")
            place.server.fault("{when: now, freeze_ms: 200}")
            await asyncio.sleep(0)  # it freezes
            await ws.send(HELLO)
            ws.transport.close()
            await asyncio.sleep(0.3)  # the thaw
            async with place.connect() as ws:
                await ws.send(SETUP)
                await until(ws, "setupComplete")

    asyncio.run(scene())
    assert not troubles


@pytest.mark.parametrize("how", ["refused", "silent"])
def test_an_outage_and_the_return(tmp_path: Path, how: str) -> None:
    async def scene() -> None:
        async with serving(tmp_path) as place, place.connect() as ws:
            await ws.send(SETUP)
            handle = (await until(ws, "newHandle"))["sessionResumptionUpdate"]["newHandle"]
            reply = await place.http("POST", "/_faults", f"{{when: now, outage: {{ms: 900, how: {how}}}}}")
            assert reply[1]["planned"] == 1
            if how == "refused":
                assert await closed(ws) == (1006, "")
            else:
                ws.transport.abort()
            begun = time.monotonic()
            while True:
                try:
                    again = await place.connect(open_timeout=0.2)
                    break
                except {"refused": ConnectionRefusedError, "silent": TimeoutError}[how]:
                    await asyncio.sleep(0.02)
            assert 0.5 < time.monotonic() - begun < 5
            await again.send(
                json.dumps({"setup": {"model": "models/gemini-x", "sessionResumption": {"handle": handle}}})
            )
            await until(again, "setupComplete")
            await again.close()

    asyncio.run(scene())


def test_an_outage_on_a_schedule(tmp_path: Path) -> None:
    async def scene() -> None:
        outage = "{when: start, after_ms: 200, outage: {ms: 300}}"
        async with serving(tmp_path, outage) as place, place.connect() as ws:
            assert await closed(ws) == (1006, "")
            with pytest.raises(ConnectionRefusedError):
                await place.connect()

    asyncio.run(scene())


def test_faults_are_posted_and_moments_counted(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path) as place, place.connect() as one, place.connect() as two:
            for ws in (one, two):
                await ws.send(SETUP)
                await until(ws, "newHandle")
            reply = await place.http("POST", "/_faults", '{"when": "now", "close": "quota"}')
            assert reply[0] == 200
            for ws in (one, two):
                assert await closed(ws) == (
                    1011, "You exceeded your current quota, please check your plan and billing details.",
                )  # fmt: skip
            assert (await place.http("GET", "/_faults"))[1]["moments"]["setup"] == 2
            wrong = await place.http("POST", "/_faults", "when: now\nclose: qota")
            assert wrong[0] == 400
            assert wrong[1]["error"]["message"] == "POST /_faults:2: close: did you mean `quota`?"
            await place.http("POST", "/_faults", "{when: setup, nth: 1, close: deadline}")
            async with place.connect() as ws:
                await ws.send(SETUP)
                assert (await closed(ws))[0] == 1011

    asyncio.run(scene())


def test_other_interfaces_of_the_service_answer_that_they_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with serving(tmp_path) as place:
            monkeypatch.setenv("SSL_CERT_FILE", str(place.server.cert))
            with pytest.raises(errors.ServerError) as refused:
                await place.sdk().aio.models.generate_content(model="gemini-3.8", contents="hello " * 10_000)
            assert refused.value.code == 501
            assert "speaks the Live API alone" in str(refused.value.message)
            assert (await place.http("GET", "/v1beta/models"))[1]["error"]["status"] == "NOT_FOUND"
            assert (await place.http("GET", PATH))[0] == 426
            assert (await place.http("DELETE", "/_faults"))[0] == 405

    asyncio.run(scene())


def test_a_session_is_resumed_by_the_sdk_once_its_old_connection_is_closed(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path) as place:
            connected = place.sdk().aio.live.connect
            fresh: types.LiveConnectConfigDict = {
                "session_resumption": {},
                "response_modalities": [types.Modality.AUDIO],
            }
            async with connected(model="gemini-3.8-live", config=fresh) as session:
                await session.send_realtime_input(audio=types.Blob(data=bytes(640), mime_type="audio/pcm;rate=16000"))
                update = await anext(session.receive())
                assert update.session_resumption_update is not None
                handle = update.session_resumption_update.new_handle
                resume: types.LiveConnectConfigDict = {"session_resumption": {"handle": handle}}
                with pytest.raises(errors.APIError) as refused:
                    async with connected(model="gemini-3.8-live", config=resume):
                        pass
                assert (refused.value.code, refused.value.details) == (1011, "Internal error encountered.")
            async with connected(model="gemini-3.8-live", config=resume) as session:
                assert session.setup_complete is not None

    asyncio.run(scene())


def test_a_client_that_dies_frees_its_session(tmp_path: Path) -> None:
    pcm = base64.b64encode(bytes(6400)).decode()

    async def scene() -> None:
        async with serving(tmp_path) as place:
            ws = await place.connect()
            await ws.send(SETUP)
            handle = (await until(ws, "newHandle"))["sessionResumptionUpdate"]["newHandle"]
            for _ in range(200):
                await ws.send(
                    json.dumps({"realtimeInput": {"audio": {"data": pcm, "mimeType": "audio/pcm;rate=16000"}}})
                )
            ws.transport.abort()
            resume = json.dumps({"setup": {"model": "models/gemini-x", "sessionResumption": {"handle": handle}}})
            async with asyncio.timeout(5):
                while True:
                    async with place.connect() as again:
                        await again.send(resume)
                        try:
                            assert "setupComplete" in json.loads(await again.recv())
                            return
                        except ConnectionClosed:
                            assert again.close_code == 1011, "until what the dead one sent is read"


async def turn_by_sdk(place: Place, config: types.LiveConnectConfigDict, said: str = "hello") -> dict[str, Any]:
    """What an unmodified program makes of one turn."""
    found: dict[str, Any] = {"audio": 0, "heard": "", "words": "", "calls": [], "cancelled": [], "turns": 0}
    async with (
        asyncio.timeout(15),
        place.sdk().aio.live.connect(model="gemini-3.8-live", config=config) as session,
    ):
        await session.send_realtime_input(text=said)
        while not found["turns"]:
            async for message in session.receive():
                found["audio"] += len(message.data or b"")
                content = message.server_content
                if content and content.output_transcription:
                    found["words"] += content.output_transcription.text or ""
                if content and content.interrupted:
                    found["interrupted"] = True
                if content and content.turn_complete:
                    found["turns"] += 1
                    found["reason"] = content.turn_complete_reason
                if message.tool_call:
                    found["calls"] += [call.id for call in message.tool_call.function_calls or []]
                if message.tool_call_cancellation:
                    found["cancelled"] += message.tool_call_cancellation.ids or []
                if message.usage_metadata:
                    found["usage"] = message.usage_metadata.total_token_count
    return found


@pytest.mark.parametrize(
    "fault",
    [
        "{when: turn, answer: {bundled: true}}",
        "{when: turn, answer: {speed: burst, chunk_bytes: [2, 4, 960]}}",
        "{when: turn, answer: {speed: burst, chunk_bytes: [2400, 96000]}}",
        "{when: setup, unknown_fields: true}",
        "{when: setup, send: [{serverContent: {}}, {}]}",
    ],
)
def test_the_sdk_gets_the_whole_answer_however_oddly_it_comes(tmp_path: Path, fault: str) -> None:
    async def scene() -> None:
        async with serving(tmp_path, fault) as place:
            found = await turn_by_sdk(
                place, {"output_audio_transcription": {}, "response_modalities": [types.Modality.AUDIO]}
            )
            assert (found["audio"], found["words"]) == (83_968, "Last entry is at five.")
            assert found["usage"] > 0
            if "unknown_fields" in fault:
                assert found["reason"] == "REASON_OF_TOMORROW"

    asyncio.run(scene())


def test_the_sdk_gets_an_empty_turn_and_one_that_ends_too_early(tmp_path: Path) -> None:
    faults = ("{when: turn, nth: 1, answer: {kind: empty}}", "{when: turn, nth: 2, answer: {kind: early}}")

    async def scene() -> None:
        async with serving(tmp_path, *faults) as place:
            for _ in faults:
                assert (await turn_by_sdk(place, {}))["audio"] == 0, "the turn was over before any sound came"

    asyncio.run(scene())


def test_the_sdk_sees_a_call_repeated_and_cancelled(tmp_path: Path) -> None:
    more = "text: [{match: order, call: {function: '*'}, say: a}]\n"
    faults = ("{when: tool, tool: repeated}", "{when: tool, after_ms: 50, tool: cancelled}")
    declared = types.FunctionDeclaration(name="get_order_status", behavior=types.Behavior.BLOCKING)

    async def scene() -> None:
        (tmp_path / "orders").mkdir()
        async with serving(tmp_path / "orders", *faults, more=more, script=SCRIPT.partition("text:")[0]) as place:
            tools = [types.Tool(function_declarations=[declared])]
            found = await turn_by_sdk(place, {"tools": tools}, "where is my order")
            assert found["calls"] == ["function-call-1"] * 2
            assert found["cancelled"] == ["function-call-1"]
            assert found["interrupted"]

    asyncio.run(scene())


def test_a_wedged_session_as_the_sdk_sees_it(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path, "{when: turn, nth: 1, wedged: true}") as place:
            wedged = asyncio.create_task(turn_by_sdk(place, {}))
            while not (await place.http("GET", "/_faults"))[1]["moments"].get("turn"):
                await asyncio.sleep(0.02)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wedged, 0.5)
            assert (await turn_by_sdk(place, {}))["audio"] == 83_968, "a fresh session is well"

    asyncio.run(scene())
