"""One client's socket: carries messages to its conversation and carries out what that decides."""

import asyncio
import time
from collections.abc import Callable, Iterable

from websockets.exceptions import ConnectionClosed

from pipeline.simulator.actions import Action, Note, Raw, Received, Render, Send
from pipeline.simulator.conversation import Conversation
from pipeline.simulator.fault import Act, Close, Freeze, Outage, Pongs
from pipeline.simulator.journal import Journal
from pipeline.simulator.refusal import Refused
from pipeline.simulator.socket import Socket
from pipeline.simulator.speech import Speech, Voice, joined
from pipeline.simulator.wire import read_frame, write_frame

OUTBOX_BYTES = 16 << 20
"""What may wait for a client that does not read: some five minutes of speech. One that leaves more is cut off."""

CUT = 1006


class Connection:
    """Lives as long as the socket."""

    def __init__(
        self,
        ws: Socket,
        number: int,
        conversation: Conversation,
        voice: Voice,
        journal: Journal,
        outage: Callable[[Outage], None],
    ) -> None:
        self._outage = outage
        self._ws = ws
        self._number = number
        self._conversation = conversation
        self._voice = voice
        self._journal = journal
        self._outbox: asyncio.Queue[tuple[Send | Raw, bytes] | Close] = asyncio.Queue()
        self._waiting_bytes = 0
        self._closed_by_us = False
        self._due_ns: int | None = None
        self._due_changed = asyncio.Event()

    async def serve(self) -> None:
        """Until either side closes."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                background = [tasks.create_task(self._write()), tasks.create_task(self._keep_time())]
                try:
                    self._carry_out(self._conversation.advance(time.monotonic_ns()))
                    await self._read()
                finally:
                    for task in background:
                        task.cancel()
        finally:
            self._conversation.end(time.monotonic_ns())
            protocol = self._ws.protocol
            by_us = self._closed_by_us or (protocol.close_sent and not protocol.close_rcvd_then_sent)
            fields = {
                "code": self._ws.close_code,
                "reason": self._ws.close_reason,
                "by": "server" if by_us else "client",
            }
            self._journal.write(self._number, "close", fields)

    def strike(self, act: Act) -> None:
        """A fault from outside strikes now."""
        self._carry_out(self._conversation.strike(act, time.monotonic_ns()))

    async def leave(self) -> None:
        """Say goodbye: the server stops."""
        await self._ws.close(1001)

    async def _read(self) -> None:
        try:
            async for frame in self._ws:
                try:
                    message = read_frame(frame)
                except Refused as refused:
                    self._carry_out(self._conversation.refuse(refused))
                else:
                    self._carry_out(self._conversation.receive(message, time.monotonic_ns()))
        except ConnectionClosed:
            return  # without a close frame; `close` in the journal says so by its code 1006

    async def _write(self) -> None:
        try:
            while True:
                match await self._outbox.get():
                    case Close(code=code, torn=torn) if code == CUT:
                        await self._ws.cut(torn=torn)
                        return
                    case Close(code=code, reason=reason):
                        await self._ws.close(code, reason)
                        return
                    case (send, frame):
                        self._journal.sent(self._number, send)
                        await self._ws.send(frame)
                        self._waiting_bytes -= len(frame)
        except ConnectionClosed:
            return

    async def _keep_time(self) -> None:
        while True:
            self._due_changed.clear()
            wait_s = None if self._due_ns is None else max(0.0, (self._due_ns - time.monotonic_ns()) / 1e9)
            try:
                async with asyncio.timeout(wait_s):
                    await self._due_changed.wait()
            except TimeoutError:
                self._carry_out(self._conversation.advance(time.monotonic_ns()))

    async def _render(self, render: Render) -> None:
        def speak() -> Speech:
            return joined([self._voice.speak(line.text, line.wav) for line in render.lines])

        speech = await asyncio.to_thread(speak)
        self._carry_out(self._conversation.rendered(render.ticket, speech, time.monotonic_ns()))

    def _carry_out(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Send() | Raw():
                    self._post(action)
                case Freeze(ms=ms):
                    self._ws.freeze(ms / 1000)
                case Pongs(late_ms=late_ms):
                    self._ws.late_pongs(None if late_ms is None else late_ms / 1000)
                case Outage():
                    self._outage(action)
                case Close():
                    self._closed_by_us = True
                    self._outbox.put_nowait(action)
                case Note(event=event, fields=fields):
                    self._journal.write(self._number, event, fields)
                case Received():
                    self._journal.received(self._number, action)
                case Render():
                    self._tasks.create_task(self._render(action))
        due_ns = self._conversation.next_due_ns
        if due_ns != self._due_ns:
            self._due_ns = due_ns
            self._due_changed.set()

    def _post(self, send: Send | Raw) -> None:
        frame = write_frame(send.message) if isinstance(send, Send) else send.text.encode()
        self._waiting_bytes += len(frame)
        if self._waiting_bytes > OUTBOX_BYTES:
            self._journal.write(
                self._number, "refused", {"why": f"{OUTBOX_BYTES} bytes wait for a client that does not read"}
            )
            self._closed_by_us = True
            self._ws.transport.abort()
            return
        self._outbox.put_nowait((send, frame))
