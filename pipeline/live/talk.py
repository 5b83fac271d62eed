"""A line with somebody at it who asks one thing after the other and waits for what comes: for trying a service out."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pipeline.live import gemini
from pipeline.live import messages as m
from pipeline.live.failures import Failure, LineFailed
from pipeline.live.service import Target

BLOCK = 1280
"""Bytes of voice in one message: 40 ms at 16 kHz."""
SILENCE = bytes(BLOCK)

_Kind = TypeVar("_Kind")


class Talk:
    """One line and all that came on it, with its time."""

    def __init__(self, line: gemini.Line) -> None:
        self.line = line
        self.came: list[tuple[float, m.Incoming]] = []
        """(monotonic seconds, what the service said)."""
        self.failure: Failure | None = None
        self._more = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def dial(cls, target: Target, model: str, fields: Mapping[str, Any]) -> Talk:
        """Raises LineFailed."""
        return cls(await gemini.dial(target, model, fields))

    async def _read(self) -> None:
        try:
            async for each in self.line.receive():
                async with self._more:
                    self.came += [(time.monotonic(), incoming) for incoming in each]
                    self._more.notify_all()
        except LineFailed as failed:
            async with self._more:
                self.failure = failed.failure
                self._more.notify_all()

    def all(self, kind: type[_Kind], since: int = 0) -> list[_Kind]:
        """What came of one kind, from place `since` in `came` on."""
        return [incoming for _, incoming in self.came[since:] if isinstance(incoming, kind)]

    def at(self, kind: type[object], since: int = 0) -> float | None:
        """When the first of a kind came."""
        return next((when for when, incoming in self.came[since:] if isinstance(incoming, kind)), None)

    async def until(self, true: Callable[[], bool], within_s: float) -> bool:
        """Waits until `true()`; False when the time is over or the line has failed before."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s), self._more:
                await self._more.wait_for(lambda: true() or self.failure is not None)
        return true()

    async def turn(self, since: int, within_s: float) -> bool:
        """Waits for the end of a turn."""
        return await self.until(lambda: bool(self.all(m.TurnComplete, since)), within_s)

    async def voice(self, pcm: bytes, *, live: bool = False) -> None:
        """Voice, all at once, or `live` at the pace of speech."""
        begun = time.monotonic()
        for number, at in enumerate(range(0, len(pcm), BLOCK)):
            if live:
                await asyncio.sleep(begun + number * BLOCK / 32_000 - time.monotonic())
            await self.line.send_audio(pcm[at : at + BLOCK])

    async def silence(self, seconds: float) -> None:
        """A microphone in a quiet room."""
        await self.voice(SILENCE * round(seconds * 32_000 / BLOCK), live=True)

    def words(self, since: int = 0) -> str:
        """The transcript of the answer."""
        return "".join(said.text for said in self.all(m.MachineSaid, since)).strip()

    def heard(self, since: int = 0) -> str:
        """The transcript of what we said."""
        return "".join(said.text for said in self.all(m.PersonSaid, since) if not said.interim).strip()

    def seconds(self, since: int = 0) -> float:
        """Of speech that came."""
        return sum(len(speech.pcm) / 2 / speech.rate for speech in self.all(m.Speech, since))

    @property
    def handle(self) -> str:
        """The newest by which the session can be resumed; empty: none."""
        return next((each.handle for each in reversed(self.all(m.Handle)) if each.resumable and each.handle), "")

    async def close(self) -> None:
        """Hang up."""
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading
        await self.line.close()
