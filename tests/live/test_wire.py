"""What the network does to a line, byte by byte: whatever it is, what was asked is answered when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.live import effects as fx
from pipeline.live import gemini
from tests.rig.booth import holds, recording
from tests.rig.kiosk import Kiosk
from tests.rig.wire import Wire

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

Scenario = Callable[[Kiosk, Wire], Awaitable[None]]
GARBAGE = (
    '["{", "[]", "null", "3", "", "{}", "\\u0000", {serverContent: 3}, {goAway: {timeLeft: soon}},'
    " {usageMetadata: {promptTokenCount: nine}}, {sessionResumptionUpdate: 3}, {toolCall: {functionCalls: 7}},"
    ' {serverContent: {modelTurn: {parts: [{inlineData: {mimeType: "audio/pcm;rate=24000", data: "!!!"}}]}}}]'
)


def run(folder: Path, scenario: Scenario, **options: Any) -> None:
    async def whole() -> None:
        async with Kiosk(folder, **options) as kiosk, Wire(int(kiosk.url.rsplit(":", 1)[1])) as wire:
            await kiosk.until(kiosk.up)
            kiosk.url = f"https://127.0.0.1:{wire.port}"
            kiosk.lines.renew("now by the wire")
            await kiosk.until(lambda: kiosk.up(2))
            await scenario(kiosk, wire)

    asyncio.run(whole())


async def asks_while(kiosk: Kiosk, strike: Callable[[], None], name: str = "cold_hearted.wav") -> None:
    """A person speaks, and in the midst of it something happens."""
    speech = recording(name)
    half = speech.size // 640 * 320
    kiosk.silence(0.4)
    start_t = kiosk.begins()
    kiosk.voice(speech[:half])
    await asyncio.sleep(0.1)
    strike()
    kiosk.voice(speech[half:])
    kiosk.ends(start_t)
    kiosk.silence(1.0)


async def is_answered(kiosk: Kiosk, name: str = "cold_hearted.wav", within_s: float = 15) -> None:
    await kiosk.until(kiosk.answered, within_s)
    assert holds(kiosk.received()[-1], recording(name)), "from its first word"
    assert not kiosk.talk.turns.open
    assert kiosk.most_open() <= 2, "one, and one whose end never came through"


def test_packets_that_are_dropped_in_mid_question_without_a_word_to_anybody(tmp_path: Path) -> None:
    async def scenario(kiosk: Kiosk, wire: Wire) -> None:
        await asks_while(kiosk, wire.drop)
        await kiosk.until(lambda: kiosk.effects(fx.Renew), 12)
        wire.mend()
        await is_answered(kiosk)

    run(tmp_path, scenario)


def test_connections_that_are_reset_in_the_handshake_and_in_the_setup(tmp_path: Path) -> None:
    async def scenario(kiosk: Kiosk, wire: Wire) -> None:
        def strike() -> None:
            wire.tears_after = 300
            wire.reset()

        await asks_while(kiosk, strike)
        await kiosk.until(lambda: wire.connections >= 4)
        wire.tears_after = 2_500
        before = wire.connections
        await kiosk.until(lambda: wire.connections >= before + 2)
        wire.mend()
        await is_answered(kiosk)

    run(tmp_path, scenario)


def test_a_peer_that_says_a_byte_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemini, "CONNECT_S", 1.0)

    async def scenario(kiosk: Kiosk, wire: Wire) -> None:
        def strike() -> None:
            wire.slow_s = 0.05
            wire.reset()

        await asks_while(kiosk, strike)
        before = wire.connections
        await kiosk.until(lambda: wire.connections >= before + 2)
        wire.mend()
        await is_answered(kiosk)

    run(tmp_path, scenario)


def test_a_setup_that_is_never_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemini, "CONNECT_S", 1.0)

    async def scenario(kiosk: Kiosk, wire: Wire) -> None:
        kiosk.server.fault("{when: connect, nth: 1-2, silent: true}")
        await asks_while(kiosk, wire.reset)
        await is_answered(kiosk)

    run(tmp_path, scenario)


def test_what_makes_no_sense_in_mid_question_and_mid_answer(tmp_path: Path) -> None:
    async def scenario(kiosk: Kiosk, wire: Wire) -> None:
        kiosk.server.fault(f"{{when: speech, send: {GARBAGE}}}")
        kiosk.server.fault(f"{{when: answer, after_ms: 10, send: {GARBAGE}}}")
        kiosk.server.fault(f'{{when: speech, send: [{{novelty: "{"y" * 3_000_000}"}}]}}')
        await asks_while(kiosk, lambda: None)
        await is_answered(kiosk)

    run(tmp_path, scenario)
