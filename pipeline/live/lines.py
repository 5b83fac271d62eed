"""One line after the other, for ever: dial, give it what it must have, carry both ways, and dial again.

Never two at once: the service refuses to resume a session while its old socket is open.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

from pipeline.config.options import OptionError
from pipeline.live.conversation import Conversation
from pipeline.live.dialling import Dialling, Next, Plan
from pipeline.live.effects import Effect, Note, Send
from pipeline.live.failures import Failure, LineFailed
from pipeline.live.messages import Incoming
from pipeline.live.news import News
from pipeline.live.uplink import Piece

OUTBOX = 64
"""Texts, contexts and results on their way to the service. Over it the oldest is dropped and counted."""


class Line(Protocol):
    """One connection, set up. All but `close` raise LineFailed when it is no more."""

    def receive(self) -> AsyncIterator[tuple[Incoming, ...]]:
        """Every message of the service; ends by LineFailed only."""

    async def send(self, given: Send) -> None:
        """A context, a text or a result."""

    async def send_piece(self, piece: Piece) -> None:
        """Voice, or what frames it."""

    async def close(self) -> None:
        """Bounded in time, and harmless when it is closed already."""


class Lines:
    """The lines of `talk`. `dial` makes one or raises LineFailed; `do` carries out effects; `now_ns` is the
    clock."""

    def __init__(
        self,
        talk: Conversation,
        dialling: Dialling,
        news: News,
        *,
        dial: Callable[[Plan], Awaitable[Line]],
        do: Callable[[Sequence[Effect]], None],
        now_ns: Callable[[], int],
    ) -> None:
        self._talk, self._dialling, self._news = talk, dialling, news
        self._dial, self._do, self._now_ns = dial, do, now_ns
        self._outbox: deque[Send] = deque()
        self._dropped = 0
        self._wake, self._nudge = asyncio.Event(), asyncio.Event()
        self._renewal: asyncio.Future[None] | None = None
        self.up = False
        """A line is set up."""

    # From the stage

    def send(self, given: Send) -> None:
        """Have it sent to the line that is up."""
        if len(self._outbox) >= OUTBOX:
            self._outbox.popleft()
            self._dropped += 1
            self._do([Note("too much to send, the oldest dropped", {"so_far": self._dropped}, "warning")])
        self._outbox.append(given)
        self._wake.set()

    def voice_came(self) -> None:
        """There is more in the uplink."""
        self._wake.set()

    def renew(self, reason: str) -> None:
        """Close the line that is up, if any, and dial anew."""
        if self._renewal is not None and not self._renewal.done():
            self._do([Note("line renewed", {"reason": reason})])
            self._renewal.set_result(None)

    def hang_up(self) -> None:
        """Close the line that is up, if any: none is wanted any more."""
        self.nudge()
        if self._renewal is not None and not self._renewal.done():
            self._renewal.set_result(None)

    def nudge(self) -> None:
        """Whether and when to dial may have changed."""
        self._nudge.set()

    # The life of a line

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._until_wanted()
            follows = await self._one()
            if follows.note:
                self._do([Note(follows.note)])
            if follows.failure is not None:
                self._do(self._news.down(follows.failure, self._dialling.attempts, follows.wait_s))

    async def _until_wanted(self) -> None:
        rests = None
        while (wait_s := self._dialling.wait_s(self._now_ns())) != 0:
            self._nudge.clear()
            reason = self._talk.want.reason
            if wait_s is None and reason is not None and reason != rests:
                rests = reason
                self._do(self._news.resting(reason, self._talk.budget.reason if reason == "capped" else ""))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._nudge.wait()

    async def _one(self) -> Next:
        plan = self._dialling.plan()
        try:
            line = await self._dial(plan)
        except LineFailed as failed:
            if failed.failure.fatal:
                raise OptionError(str(failed.failure)) from failed
            return self._dialling.could_not(self._now_ns(), plan, failed.failure)
        if not self._dialling.still_fits(plan):
            await line.close()
            return Next()
        self._dialling.began(self._now_ns())
        self.up, failure = True, None
        try:
            failure = await self._serve(line, plan)
        finally:
            self.up = False
            self._news.ended()
            told = self._talk.told
            self._do(self._talk.line_down(self._now_ns(), by_service=failure is not None))
            self._outbox.clear()  # what still holds is sent anew to the next line, after what it must know first
            await line.close()
        return self._dialling.ended(self._now_ns(), plan, failure, told=told)

    async def _serve(self, line: Line, plan: Plan) -> Failure | None:
        renewal = self._renewal = asyncio.get_running_loop().create_future()
        resumed = plan.handle is not None
        self._do(self._talk.line_up(self._now_ns(), plan.context, resumed=resumed))
        self._talk.give_voice(self._now_ns())
        self._do(self._news.up(self._dialling.attempts, resumed=resumed))
        work = {asyncio.create_task(self._receive(line)), asyncio.create_task(self._carry(line))}
        try:
            await asyncio.wait({*work, renewal}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in work:
                task.cancel()
            await asyncio.wait(work)
        for task in work:
            if task.cancelled():
                continue
            if isinstance(error := task.exception(), LineFailed):
                return error.failure
            task.result()
        return None

    async def _receive(self, line: Line) -> None:
        async for values in line.receive():
            for value in values:
                self._do(self._talk.received(self._now_ns(), value))

    async def _carry(self, line: Line) -> None:
        while True:
            while self._outbox:
                await line.send(self._outbox.popleft())
            piece = self._talk.uplink.take()
            if piece is not None:
                await line.send_piece(piece)
            else:
                self._wake.clear()
                await self._wake.wait()
