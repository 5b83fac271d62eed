"""Clients without the SDK, and clients that mean no good."""

import asyncio
import base64
import itertools
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from pipeline.simulator import Server, connection

pytestmark = pytest.mark.process

SERVICE = "/ws/google.ai.generativelanguage.{}.GenerativeService.BidiGenerateContent"
SETUP = '{"setup":{"model":"models/gemini-3.8-live"}}'
HELLO = '{"realtimeInput":{"text":"hello"}}'
SCRIPT = "version: 1\ntext: [say: Last entry is at five.]\n"


@asynccontextmanager
async def serving(folder: Path, script: str = SCRIPT, **options: Any) -> AsyncIterator["Place"]:
    (folder / "script.yaml").write_text(script, "utf-8")
    server = Server(folder / "script.yaml", folder / "log.jsonl", certs=folder / "certs", **options)
    try:
        yield Place(server, await server.start(), folder / "log.jsonl")
    finally:
        await server.stop()


class Place:
    def __init__(self, server: Server, url: str, log: Path) -> None:
        self.host = url.removeprefix("https://")
        self.port = int(self.host.rpartition(":")[2])
        self.log = log
        self.tls = ssl.create_default_context(cafile=server.cert)

    def connect(self, path: str, headers: dict[str, str] | None = None) -> connect:
        return connect(f"wss://{self.host}{path}", ssl=self.tls, additional_headers=headers, close_timeout=1)

    def plain(self) -> connect:
        return self.connect(SERVICE.format("v1beta") + "?key=k")

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text("ascii").splitlines()]
        return [line for line in lines if line["event"] == name]


async def answer(ws: ClientConnection, *messages: str | bytes) -> list[dict[str, Any]]:
    """Everything up to the next turnComplete."""
    for message in messages:
        await ws.send(message)
    received: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while not received or not received[-1].get("serverContent", {}).get("turnComplete"):
            frame = await ws.recv()
            assert isinstance(frame, bytes), "the service sends binary frames"
            assert frame.isascii()
            received.append(json.loads(frame))
    return received


def sound(messages: list[dict[str, Any]]) -> bytes:
    parts = [part for m in messages for part in m.get("serverContent", {}).get("modelTurn", {}).get("parts", [])]
    return b"".join(base64.b64decode(part["inlineData"]["data"]) for part in parts)


async def close_of(ws: ClientConnection, *messages: str | bytes) -> tuple[int | None, str | None]:
    """How the server closes after these."""
    try:
        async with asyncio.timeout(10):
            for message in messages:
                await ws.send(message)
            while True:
                await ws.recv()
    except ConnectionClosed:
        return ws.close_code, ws.close_reason


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (SERVICE.format("v1") + "?key=k", {}),
        (SERVICE.format("v1alpha") + "?alt=json&key=k", {}),
        ("/" + SERVICE.format("v1beta"), {"x-goog-api-key": "k"}),
        ("/behind/a/proxy" + SERVICE.format("v1beta"), {"X-Goog-Api-Key": "k"}),
        (SERVICE.format("v1alpha") + "Constrained?access_token=auth_tokens/t", {}),
        (SERVICE.format("v1alpha") + "Constrained", {"Authorization": "Token auth_tokens/t"}),
        ("/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent", {"Authorization": "Bearer ya29"}),
    ],
)
def test_every_door_of_the_service_is_open(tmp_path: Path, path: str, headers: dict[str, str]) -> None:
    async def scene() -> None:
        async with serving(tmp_path) as place:
            async with place.connect(path, headers) as ws:
                await ws.send(SETUP.encode())
                assert json.loads(await ws.recv()) == {"setupComplete": {}}
            assert place.events("open")[0]["path"] == path.partition("?")[0]
            assert "auth_tokens" not in place.log.read_text("ascii"), "credentials are never logged"

    asyncio.run(scene())


def test_who_is_turned_away_and_how(tmp_path: Path) -> None:
    unregistered = "Method doesn't allow unregistered callers (callers without established identity). "
    unregistered += "Please use API Key or other form"

    async def scene() -> None:
        async with serving(tmp_path, SCRIPT + "keys: [good]\n") as place:
            v1 = SERVICE.format("v1")
            for path, headers, expected in (
                (v1, {}, (1008, unregistered)),
                (v1 + "?key=", {}, (1008, unregistered)),
                (v1, {"x-goog-api-key": " "}, (1008, unregistered)),
                (v1 + "?access_token=auth_tokens/t", {}, (1008, unregistered)),
                (v1 + "?key=bad", {}, (1007, "API key not valid. Please pass a valid API key.")),
            ):
                async with place.connect(path, headers) as ws:
                    code, reason = await close_of(ws, SETUP)
                    assert code == expected[0]
                    assert str(reason).startswith(expected[1][:110]), path
            for path in ("/", "/ws/google.ai.generativelanguage.v2.GenerativeService.BidiGenerateContent"):
                with pytest.raises(InvalidStatus) as refused:
                    await place.connect(path).__aenter__()
                assert refused.value.response.status_code == 404

    asyncio.run(scene())


def test_a_raw_client_in_snake_case_bytes_and_url_safe_base64(tmp_path: Path) -> None:
    pcm = bytes(range(256)) * 10

    async def scene() -> None:
        async with serving(tmp_path, audio=tmp_path / "audio") as place:
            async with place.plain() as ws:
                blob = {"data": base64.urlsafe_b64encode(pcm).decode().rstrip("="), "mime_type": "audio/pcm"}
                await ws.send(SETUP)
                await ws.send(json.dumps({"realtime_input": {"media_chunks": [blob, blob]}}).encode())
                received = await answer(
                    ws, '{"client_content":{"turns":{"parts":[{"text":"hi"}]},"turn_complete":true}}'
                )
            assert len(sound(received)) == 2 * 41984
            sent = [e["message"]["serverContent"]["audio"] for e in place.events("out") if "audio" in str(e["message"])]
            assert sent[0]["first"] == 0
            assert all(after["first"] == before["last"] + 1 for before, after in itertools.pairwise(sent))
            assert sent[-1]["last"] == 41983
            arrived = [
                e["message"]["realtimeInput"]["audio"] for e in place.events("in") if "audio" in str(e["message"])
            ]
            assert [(audio["first"], audio["last"], audio["bytes"]) for audio in arrived] == [
                (0, 1279, 2560),
                (1280, 2559, 2560),
            ]
            kept = tmp_path / "audio" / place.events("open")[0]["audio"]
            assert kept.read_bytes() == pcm * 2
            offsets = [json.loads(line) for line in kept.with_suffix(".jsonl").read_text("ascii").splitlines()]
            assert [(each["first"], each["samples"], each["rate"]) for each in offsets] == [
                (0, 1280, 16000),
                (1280, 1280, 16000),
            ]

    asyncio.run(scene())


GARBAGE: list[str | bytes] = ["", "hello", b"\x00\xff" * 50, "[1,2]", '{"a":' * 5000, "{}" * 3, '{"unknown":1}']


def test_garbage_ends_its_own_connection_only(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path) as place, place.plain() as witness:
            await witness.send(SETUP)
            for garbage in GARBAGE:
                async with place.plain() as ws:
                    assert (await close_of(ws, SETUP, garbage))[0] == 1007, garbage
                async with place.plain() as ws:
                    assert (await close_of(ws, garbage))[0] == 1007, garbage
            async with place.plain() as ws:
                assert (await close_of(ws, SETUP, "x" * (9 << 20)))[0] == 1009
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(os.urandom(4096))
            await asyncio.wait_for(reader.read(), 5)
            writer.close()
            assert len(sound(await answer(witness, HELLO))) == 2 * 41984

    asyncio.run(scene())


def test_silent_and_killed_clients_cost_the_others_nothing(tmp_path: Path) -> None:
    killed = f"""
import asyncio, os, ssl, sys
from websockets.asyncio.client import connect
async def main():
    tls = ssl.create_default_context(cafile=sys.argv[2])
    async with connect(sys.argv[1], ssl=tls) as ws:
        await ws.send({SETUP!r})
        await ws.send({HELLO!r})
        for _ in range(4):
            await ws.recv()
        print("talking", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""

    async def scene() -> None:
        async with serving(tmp_path) as place:
            half_open = [socket.create_connection(("127.0.0.1", place.port)) for _ in range(20)]
            url = f"wss://{place.host}{SERVICE.format('v1beta')}?key=k"
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", killed, url, str(tmp_path / "certs" / "cert.pem"), stdout=subprocess.PIPE
            )
            assert process.stdout is not None
            assert await process.stdout.readline() == b"talking\n"
            process.kill()
            await process.wait()
            async with asyncio.timeout(5):
                while not place.events("close"):
                    await asyncio.sleep(0.02)
            assert place.events("close")[0]["code"] == 1006
            async with place.plain() as ws:
                assert len(sound(await answer(ws, SETUP, HELLO))) == 2 * 41984
            for each in half_open:
                each.close()

    asyncio.run(scene())


def test_a_client_that_never_reads_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "OUTBOX_BYTES", 1 << 20)
    script = "version: 1\nspeed: 1000\nthink_ms: 0\ntext: [say: " + "Last entry is at five. " * 30 + "]\n"

    async def scene() -> None:
        async with serving(tmp_path, script) as place, place.plain() as witness:
            await witness.send(SETUP)
            greedy = await place.plain()
            await greedy.send(SETUP)
            greedy.transport.pause_reading()
            async with asyncio.timeout(30):
                while not place.events("refused"):
                    await greedy.send(HELLO)
                    await asyncio.sleep(0.1)
            assert "does not read" in place.events("refused")[0]["why"]
            greedy.transport.abort()
            await witness.send(HELLO)
            assert json.loads(await witness.recv()) == {"setupComplete": {}}
            assert "modelTurn" in json.loads(await witness.recv())["serverContent"]

    asyncio.run(scene())


def test_a_flood_from_one_client_does_not_silence_another(tmp_path: Path) -> None:
    blob = {"data": base64.b64encode(bytes(64_000)).decode(), "mimeType": "audio/pcm;rate=16000"}
    flood = json.dumps({"realtimeInput": {"audio": blob}})

    async def scene() -> None:
        async with serving(tmp_path) as place, place.plain() as loud, place.plain() as calm:
            await loud.send(SETUP)

            async def shout() -> None:
                while True:
                    await loud.send(flood)

            shouting = asyncio.create_task(shout())
            received = await answer(calm, SETUP, HELLO)
            shouting.cancel()
            assert len(sound(received)) == 2 * 41984

    asyncio.run(scene())


def test_stop_says_goodbye(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path) as place:
            ws = await place.plain()
            await ws.send(SETUP)
            await ws.recv()
        assert await close_of(ws) == (1001, "")
        assert place.events("stopped")
        assert place.events("close")[0]["by"] == "server"

    asyncio.run(scene())
