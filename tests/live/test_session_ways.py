"""The ways to the real service, shown against a server of our own: a key, a token, a proxy."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from pipeline.live import gemini
from pipeline.live.failures import LineFailed
from pipeline.live.service import Target
from pipeline.live.setup import Wanted, config
from pipeline.simulator.tls import server_context

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

SECRET = "auth_tokens/SESAMEOPEN42"


@contextlib.asynccontextmanager
async def service(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, closes: str = ""
) -> AsyncIterator[tuple[int, list[tuple[str, dict[str, str]]]]]:
    """Where the environment says that the service is; who came, by which path and headers. `closes`: with 1007 and
    these words, when it is asked for a session."""
    came: list[tuple[str, dict[str, str]]] = []

    async def talk(ws: ServerConnection) -> None:
        assert ws.request is not None
        came.append((ws.request.path, {name.lower(): value for name, value in ws.request.headers.raw_items()}))
        await ws.recv()
        if closes:
            await ws.close(1007, closes)
        else:
            await ws.send(b'{"setupComplete":{}}')
            await ws.wait_closed()

    context, cert = server_context(folder)
    async with serve(talk, "127.0.0.1", 0, ssl=context, close_timeout=0.1) as server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", f"https://127.0.0.1:{port}")
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        yield port, came


@contextlib.asynccontextmanager
async def proxy() -> AsyncIterator[tuple[int, list[str]]]:
    """An HTTP proxy that opens tunnels, and who asked it for one."""
    asked: list[str] = []

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        target.close()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head.split("\r\n")[0])
        host, _, port = head.split()[1].rpartition(":")
        out_reader, out_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(carry(reader, out_writer), carry(out_reader, writer))

    server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()


async def dial(target: Target) -> gemini.Line:
    return await gemini.dial(target, "gemini-3.8-live", config(Wanted("gemini-3.8-live")))


def test_a_token_goes_its_own_way_and_a_key_the_usual_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with service(tmp_path, monkeypatch) as (_, came):
            plain = Target("gemini", "127.0.0.1", key="k", key_from="GOOGLE_API_KEY")
            for target in (plain, replace(plain, key=SECRET, api_version="v1alpha")):
                line = await dial(target)
                await line.close()
            (key_path, key_headers), (token_path, token_headers) = came
            assert key_path.endswith("v1beta.GenerativeService.BidiGenerateContent")
            assert key_headers["x-goog-api-key"] == "k"
            assert token_path.endswith("v1alpha.GenerativeService.BidiGenerateContentConstrained")
            assert token_headers["authorization"] == f"Token {SECRET}"

    asyncio.run(scenario())


def test_a_key_that_is_repeated_in_a_refusal_is_taken_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with service(tmp_path, monkeypatch, closes=f"API key not valid: {SECRET}") as _:
            with pytest.raises(LineFailed) as caught:
                await dial(Target("gemini", "127.0.0.1", key=SECRET, key_from="token_command", api_version="v1alpha"))
            assert caught.value.failure.kind == "key"
            assert "check token_command" in str(caught.value)
            assert SECRET not in str(caught.value)
            assert caught.value.__cause__ is None
            assert caught.value.__suppress_context__

    asyncio.run(scenario())


def test_a_proxy_of_the_machine_is_gone_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        async with service(tmp_path, monkeypatch) as (port, came), proxy() as (proxy_port, asked):
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy_port}")
            line = await dial(Target("gemini", "here", key="k"))
            await line.close()
            assert asked == [f"CONNECT 127.0.0.1:{port} HTTP/1.1"]
            assert len(came) == 1

    asyncio.run(scenario())
