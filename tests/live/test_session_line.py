"""One connection through the real SDK: what it gives, how each of its ends is told, that nothing waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from pipeline.live import gemini
from pipeline.live import messages as m
from pipeline.live.failures import LineFailed
from pipeline.live.service import Target
from pipeline.live.setup import Wanted, config
from pipeline.simulator import Server
from pipeline.simulator.tls import server_context

pytestmark = pytest.mark.process

WANTED = Wanted("gemini-3.8-live", "Aoede", "Be brief.", "en-GB")
SCRIPT = 'version: 1\ntext:\n  - {match: order, call: {function: "*"}, say: "{result}"}\n  - say: Hello, and welcome.\n'


@contextlib.asynccontextmanager
async def simulator(folder: Path, faults: str = "") -> AsyncIterator[Target]:
    (folder / "script.yaml").write_text(SCRIPT + faults)
    server = Server(folder / "script.yaml", folder / "log.jsonl", certs=folder)
    url = await server.start()
    try:
        yield Target("simulator", url.removeprefix("https://"), url, server.cert)
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def peer(folder: Path, talk: Callable[[ServerConnection], Awaitable[None]], **more: Any) -> AsyncIterator[Target]:
    """A server that does as the test says."""
    context, cert = server_context(folder)
    async with serve(talk, "127.0.0.1", 0, ssl=context, close_timeout=0.1, **more) as server:
        port = server.sockets[0].getsockname()[1]
        yield Target("simulator", f"127.0.0.1:{port}", f"https://127.0.0.1:{port}", cert)


def dial(target: Target, wanted: Wanted = WANTED, **more: Any) -> Awaitable[gemini.Line]:
    return gemini.dial(target, wanted.model, config(wanted, **more))


async def until(line: gemini.Line, wanted: type[m.Incoming]) -> list[m.Incoming]:
    """What the service says up to the first such value."""
    seen: list[m.Incoming] = []
    async with asyncio.timeout(20):
        async for values in line.receive():
            seen += values
            if any(isinstance(value, wanted) for value in values):
                return seen
    raise AssertionError("a line ends by LineFailed only")


async def failure(waiting: Awaitable[Any]) -> LineFailed:
    with pytest.raises(LineFailed) as caught:
        async with asyncio.timeout(20):
            await waiting
    return caught.value


def test_a_text_is_answered_in_sound_and_words_turn_after_turn_and_resumed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with simulator(tmp_path) as target:
            line = await dial(target)
            for _ in range(2):
                await line.send_text("hello")
                seen = await until(line, m.TurnComplete)
                assert sum(len(value.pcm) for value in seen if isinstance(value, m.Speech)) > 24_000
                said = "".join(value.text for value in seen if isinstance(value, m.MachineSaid))
                assert said.strip() == "Hello, and welcome."
                assert any(isinstance(value, m.Usage) and value.total > 0 for value in seen)
            [handle] = [value for value in await until(line, m.Handle) if isinstance(value, m.Handle)]
            await line.close()
            again = await dial(target, handle=handle.handle)
            await again.send_text("hello")
            await until(again, m.TurnComplete)
            await again.close()
            await again.close()  # once more is harmless

    asyncio.run(scenario())


def test_a_context_is_taken_in_and_not_answered(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with simulator(tmp_path) as target:
            line = await dial(target, history_first=True)
            await line.send_context((("user", "my order 12"), ("model", "yes"), ("user", "Greet them.")))
            await line.send_audio(bytes(640))
            await line.send_text("hello")
            seen = await until(line, m.TurnComplete)
            assert [value for value in seen if isinstance(value, m.ToolCall)] == []
            assert sum(isinstance(value, m.GenerationComplete) for value in seen) == 1
            await line.close()

    asyncio.run(scenario())


def test_a_call_is_given_and_its_result_spoken_of(tmp_path: Path) -> None:
    async def scenario() -> None:
        tools = [{"function_declarations": [{"name": "get_order", "behavior": "BLOCKING"}]}]
        async with simulator(tmp_path) as target:
            line = await dial(target, Wanted("gemini-3.8-live", live={"tools": tools}))
            await line.send_text("my order")
            [call] = [value for value in await until(line, m.ToolCall) if isinstance(value, m.ToolCall)]
            assert call.name == "get_order"
            await line.send_tool_result(call.id, call.name, {"status": "on its way"})
            seen = await until(line, m.TurnComplete)
            assert "way" in "".join(value.text for value in seen if isinstance(value, m.MachineSaid))
            await line.close()

    asyncio.run(scenario())


def test_refusals_of_the_setup_are_told_apart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with simulator(tmp_path) as target:
            assert (await failure(dial(target, Wanted("no-such-model")))).failure.kind == "model"
            assert (await failure(dial(target, handle="unknown"))).failure.kind == "handle"
            wrong = await failure(dial(target, Wanted("gemini-3.8-live", live={"explicit_vad_signal": True})))
            assert wrong.failure.fatal
            assert "explicit_vad_signal" in str(wrong)
        assert (await failure(dial(target))).failure.kind == "refused"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("code", "reason", "kind"), [(1011, "Internal error encountered.", "internal"), (1000, "", "closed")]
)
def test_a_close_in_mid_answer_is_told_to_the_receiver_and_to_the_sender(
    tmp_path: Path, code: int, reason: str, kind: str
) -> None:
    faults = f'faults:\n  - {{when: answer, close: {{code: {code}, reason: "{reason}"}}}}\n'

    async def scenario() -> None:
        async with simulator(tmp_path, faults) as target:
            line = await dial(target)
            await line.send_text("hello")
            assert (await failure(until(line, m.TurnComplete))).failure.kind == kind
            assert (await failure(line.send_audio(bytes(640)))).failure.kind == kind
            await line.close()

    asyncio.run(scenario())


def test_a_first_message_that_is_no_setup_complete_is_found_out(tmp_path: Path) -> None:
    async def talk(ws: ServerConnection) -> None:
        await ws.send('{"serverContent": {}}')
        await ws.wait_closed()

    async def scenario() -> None:
        async with peer(tmp_path, talk) as target:
            assert (await failure(dial(target))).failure.kind == "protocol"

    asyncio.run(scenario())


def test_a_setup_that_is_never_answered_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemini, "CONNECT_S", 0.5)

    async def scenario() -> None:
        async with peer(tmp_path, lambda ws: ws.wait_closed()) as target:
            began = time.monotonic()
            assert (await failure(dial(target))).failure.kind == "timeout"
            assert time.monotonic() - began < 3

    asyncio.run(scenario())


def test_an_http_answer_is_no_service(tmp_path: Path) -> None:
    async def scenario() -> None:
        refuse = {"process_request": lambda ws, _: ws.respond(HTTPStatus.SERVICE_UNAVAILABLE, "later")}
        async with peer(tmp_path, lambda ws: ws.wait_closed(), **refuse) as target:
            assert (await failure(dial(target))).failure.kind == "unavailable"

    asyncio.run(scenario())


def test_messages_without_sense_are_told_of_now_and_then_and_the_line_lives_on(tmp_path: Path) -> None:
    async def talk(ws: ServerConnection) -> None:
        await ws.recv()
        for message in ('{"setupComplete":{}}', '{"server_content":{}}', "no json", "[1]", '{"new":{"x":1}}', "{}"):
            await ws.send(message)
        await ws.send(b'{"serverContent":{"modelTurn":{"parts":[{"newPart":1}]},"generationComplete":true}}')
        await ws.wait_closed()

    async def scenario() -> None:
        async with peer(tmp_path, talk) as target:
            line = await dial(target)
            seen = await until(line, m.GenerationComplete)
            assert seen[-1] == m.GenerationComplete()
            assert [each.so_far for each in seen if isinstance(each, m.Garbled)] == [1, 2, 4]
            await line.close()

    asyncio.run(scenario())


def test_closing_does_not_wait_for_a_dead_peer(tmp_path: Path) -> None:
    over = asyncio.Event()

    async def talk(ws: ServerConnection) -> None:
        await ws.recv()
        await ws.send('{"setupComplete":{}}')
        ws.transport.pause_reading()  # nobody is there any more
        await over.wait()
        ws.transport.abort()

    async def scenario() -> None:
        async with peer(tmp_path, talk) as target:
            line = await dial(target)
            for _ in range(100):
                await line.send_audio(bytes(3_200))
            began = time.monotonic()
            await line.close()
            assert time.monotonic() - began < gemini.CLOSE_S + 0.5
            over.set()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("{when: dial, tls: expired}", "clock"),
        ("{when: dial, tls: not_yet_valid}", "clock"),
        ("{when: dial, tls: untrusted}", "tls"),
        ("{when: dial, http: {status: 401}}", "key"),
        ("{when: dial, http: {status: 429}}", "rate"),
        ("{when: connect, close: quota}", "quota"),
        ("{when: connect, close: unavailable}", "unavailable"),
    ],
)
def test_each_way_to_have_no_line_is_told_apart(tmp_path: Path, fault: str, kind: str) -> None:
    async def scenario() -> None:
        async with simulator(tmp_path, f"faults: [{fault}]\n") as target:
            assert (await failure(dial(target))).failure.kind == kind

    asyncio.run(scenario())


def test_slow_pongs_end_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemini, "PING_EVERY_S", 0.1)
    monkeypatch.setattr(gemini, "PONG_WITHIN_S", 20.0)

    async def scenario() -> None:
        async with simulator(tmp_path, "faults: [{when: setup, pongs_ms: 1500}]\n") as target:
            line = await dial(target)
            await asyncio.sleep(1.0)
            await line.send_text("hello")
            await until(line, m.TurnComplete)
            await line.close()

    asyncio.run(scenario())
