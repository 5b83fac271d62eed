"""The only place that knows the SDK: one `Line` is one connection to a Live API service.

What it works around, all seen with google-genai 3.4: `receive()` ends with each turn; nothing bounds the wait for
setupComplete; closing blocks for 10 to 17 s on a dead peer; errors of receiving and of sending are of two families;
a message with unknown keys alone raises TypeError on a line that is alive; the first message of each kind costs 30 to
50 ms, because the types are built when they are first used.

Sound takes the shorter way of shortcut.py, both up and down; all else goes through the SDK.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
import warnings
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import websockets
from google import genai
from google.genai import errors, live, types
from pydantic import ValidationError

from pipeline import proxies
from pipeline.live import failures, names, shortcut
from pipeline.live.access import hidden
from pipeline.live.effects import Send, SendContext, SendImage, SendText, SendToolResult
from pipeline.live.failures import Failure, LineFailed
from pipeline.live.fields import explain, explain_word
from pipeline.live.messages import Garbled, Incoming
from pipeline.live.parse import incoming
from pipeline.live.service import Target
from pipeline.live.setup import leaves_turns_to_the_service, takes_history_first
from pipeline.live.uplink import ActivityEnd, ActivityStart, Chunk, Piece, StreamEnd

CONNECT_S = 8.0
"""From dialling to setupComplete, while a person waits. The SDK itself would wait for ever while pongs arrive."""
OPEN_S = 5.0
CLOSE_S = 1.5
PING_EVERY_S, PONG_WITHIN_S = 5.0, 60.0
"""Pongs of 8 to 30 s were seen on living connections of the service: a dead peer is noticed by DEAD_PEER_MS. Pings are
for that: while the gate is closed, or between activities, they are all that goes out."""
DEAD_PEER_MS = 6_000
"""Bytes that nobody acknowledges for so long mean that the network is gone."""
LARGEST_MESSAGE = 16 * 2**20
AUDIO_TYPE = "audio/pcm;rate=16000"

warnings.filterwarnings("ignore", "The SDK's ephemeral token support")  # it is asked for, by who gives a token


class BadField(ValueError):
    """A field that `LiveConnectConfig` does not have, or that holds what it must not. The text names its key."""


def check(fields: Mapping[str, Any]) -> None:
    """Have the SDK check the fields of a session. Raises BadField for the first that does not fit."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            types.LiveConnectConfig(**fields)
        except ValidationError as error:
            raise BadField(explain(error, types.LiveConnectConfig)) from None
    for warning in warned:
        if "is not a valid" in str(warning.message):  # an enum: the SDK takes any word, the service would not
            raise BadField(explain_word(str(warning.message), fields, types))


@functools.cache
def warm_up() -> None:
    """Build the SDK's types now, by a session with nobody: else the first words of the first answer wait for them."""
    samples = (
        '{"setupComplete":{},"usageMetadata":{"totalTokenCount":1,"promptTokensDetails":[{"modality":"AUDIO"}]}}',
        '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"AAA="}}]},'
        '"outputTranscription":{"text":"a"},"inputTranscription":{"text":"a"},"generationComplete":true}}',
        '{"toolCall":{"functionCalls":[{"id":"1","name":"f","args":{}}]},"sessionResumptionUpdate":{"newHandle":"h"}}',
        '{"serverContent":{"turnComplete":true}}',
    )
    straight = types.HttpOptions(client_args={"trust_env": False}, async_client_args={"trust_env": False})
    client = genai.Client(api_key="none", vertexai=False, http_options=straight)
    session = live.AsyncSession(client._api_client, shortcut.Nobody(samples))  # type: ignore[arg-type]
    asyncio.run(_rehearse(Line(session, contextlib.AsyncExitStack(), "nobody"), len(samples)))


async def _rehearse(line: Line, messages: int) -> None:
    received = line.receive()
    for _ in range(messages):
        await anext(received)
    await line.send_audio(bytes(640))
    await line.send_context((("user", "a"),))
    await line.send_text("a")
    await line.send_tool_result("1", "f", {"a": 1})


async def _words_around_voice(session: live.AsyncSession) -> shortcut.Words | None:
    """What the SDK writes around a block of voice, by having it write one."""
    paper = shortcut.Nobody()
    scribe = live.AsyncSession(session._api_client, paper)  # type: ignore[arg-type]
    await scribe.send_realtime_input(audio=types.Blob(data=shortcut.PROBE, mime_type=AUDIO_TYPE))
    return shortcut.words_around(paper.taken)


_clients: dict[Target, genai.Client] = {}
"""The last one: its TLS context costs 10 to 60 ms, and a machine dials the same service for days."""


def _client(target: Target) -> genai.Client:
    if target not in _clients:
        _clients.clear()
        _clients[target] = _new_client(target)
    return _clients[target]


def _new_client(target: Target) -> genai.Client:
    args: dict[str, Any] = {
        "open_timeout": OPEN_S,
        "close_timeout": 1.0,
        "ping_interval": PING_EVERY_S,
        "ping_timeout": PONG_WITHIN_S,
        "max_size": LARGEST_MESSAGE,
        "compression": None,  # costs twice the time of the sending itself, and audio does not shrink
    }
    if target.service == "simulator":
        args |= {"ssl": ssl.create_default_context(cafile=str(target.cert)), "proxy": None}
        options = types.HttpOptions(base_url=target.url, api_version="v1beta", async_client_args=args)
        return genai.Client(api_key="simulator", vertexai=False, http_options=options)
    options = types.HttpOptions(async_client_args=args, api_version=target.api_version or None)
    if target.service == "vertex":
        if target.key:
            return genai.Client(vertexai=True, api_key=target.key, http_options=options)
        return genai.Client(vertexai=True, project=target.project, location=target.location, http_options=options)
    if not target.key:
        return genai.Client(http_options=options)  # the SDK's own environment says all of it
    options.api_version = target.api_version or "v1beta"  # the SDK's v1 is undocumented
    return genai.Client(vertexai=False, api_key=target.key, http_options=options)


async def dial(target: Target, model: str, fields: Mapping[str, Any]) -> Line:
    """Connect and set a session up, within CONNECT_S. Raises LineFailed."""
    stack = contextlib.AsyncExitStack()
    resuming = bool((fields.get("session_resumption") or {}).get("handle"))
    if wrong := proxies.unfit():
        raise LineFailed(Failure("proxy", *wrong, wait_cap_s=failures.RARE_S))
    try:
        async with asyncio.timeout(CONNECT_S):
            await names.known(target.where)
            config = types.LiveConnectConfig(**fields)
            session = await stack.enter_async_context(_client(target).aio.live.connect(model=model, config=config))
    except Exception as error:
        # Without the error itself: what a library says of a request may hold the key.
        raise LineFailed(_told(_of_dialling(error, target, model, resuming), target)) from None
    line = Line(session, stack, target.where, history_first=takes_history_first(fields))
    line.frames_text = not leaves_turns_to_the_service(fields)
    line.words = await _words_around_voice(session)
    if session.setup_complete is None:
        await line.close()
        words = f"{target.where} answered the setup with something else than setupComplete"
        raise LineFailed(Failure("protocol", words, "check GOOGLE_GEMINI_BASE_URL"))
    _notice_dead_peer(session)
    return line


def _told(failure: Failure, target: Target) -> Failure:
    """Without the key, and with where it came from if it is that which was refused."""
    remedy = f"check {target.key_from}" if failure.kind == "key" and target.key_from else failure.remedy
    return replace(failure, words=hidden(failure.words, target.key), remedy=remedy)


def _of_dialling(error: Exception, target: Target, model: str, resuming: bool) -> Failure:
    if isinstance(error, errors.APIError):
        return _of_api_error(error, model, resuming)
    if isinstance(error, websockets.ConnectionClosed) and error.rcvd is not None:
        # A close that comes before the SDK has sent its setup is not yet an APIError.
        return failures.of_close(error.rcvd.code, error.rcvd.reason, model=model, resuming=resuming)
    if isinstance(error, websockets.InvalidStatus):
        body = (error.response.body or b"").decode("utf-8", "replace")
        return failures.of_status(error.response.status_code, body, model=model)
    if isinstance(error, websockets.InvalidProxyStatus | websockets.ProxyError):
        return Failure("proxy", f"the proxy of this machine refuses: {error}", "check HTTPS_PROXY")
    if type(error).__module__.startswith("google.auth") or "resolve API token" in str(error):
        words = f"no Google Cloud credentials: {error}"
        return Failure("key", words, "run `gcloud auth application-default login`", wait_cap_s=failures.RARE_S)
    if isinstance(error, ValueError) and not isinstance(error, UnicodeError | ssl.SSLError | websockets.InvalidURI):
        return Failure("configuration", f"the SDK refuses this session: {error}", "check the fields under `live`",
                       fatal=True)  # fmt: skip
    proxy = proxies.on_the_way(target.where.rpartition(":")[0]) if target.service != "simulator" else None
    return failures.of_error(error, target.where) if proxy is None else failures.of_proxied(error, target.where, proxy)


def _of_api_error(error: errors.APIError, model: str = "", resuming: bool = False) -> Failure:
    code, words = error.code or 0, error.details if isinstance(error.details, str) else str(error.details or "")
    if 400 <= code < 600:
        return failures.of_status(code, words, model=model)
    return failures.of_close(code, words, model=model, resuming=resuming)


def _notice_dead_peer(session: live.AsyncSession) -> None:
    """Have the kernel give a connection up whose peer acknowledges nothing. Linux; elsewhere the pings alone."""
    raw = session._ws.transport.get_extra_info("socket")
    if raw is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_MS)


class Line:
    """One connection, set up. Every method raises LineFailed when it is no more."""

    def __init__(
        self, session: live.AsyncSession, stack: contextlib.AsyncExitStack, where: str, *, history_first: bool = True
    ) -> None:
        self._session, self._stack, self._where = session, stack, where
        self._write = session._ws.send  # for voice, which comes 50 times a second, with nothing between
        self._ws: Any = shortcut.Ahead(session._ws)
        session._ws = self._ws  # type: ignore[assignment]  # so that the SDK, too, reads behind it
        self._history_first = history_first
        self.words: shortcut.Words | None = None
        """Around a block of voice; None: the SDK writes every message."""
        self.frames_text = False
        """Turns are ours to detect: a text, too, needs an activity around it, or nothing answers it."""
        self._in_activity = False
        self._garbled = 0

    async def receive(self) -> AsyncIterator[tuple[Incoming, ...]]:
        """Every message of the service, turn after turn. Ends by LineFailed only."""
        while True:
            try:
                if (message := await self._ws.look()) and (sound := shortcut.sound_in(message)):
                    self._ws.drop()
                    yield sound
                    continue
                async with contextlib.aclosing(self._session.receive()) as messages:  # type: ignore[type-var]
                    parsed = await anext(messages, None)
                if parsed is not None:
                    yield incoming(parsed)
            except errors.APIError as error:
                raise LineFailed(_of_api_error(error)) from error
            except OSError as error:
                raise LineFailed(failures.of_error(error, self._where)) from error
            except (TypeError, ValueError, AttributeError) as error:  # unknown keys alone, a list, no JSON: read on
                self._garbled += 1
                if not self._garbled & (self._garbled - 1):  # said at 1, 2, 4, 8, …: it may be every message
                    yield (Garbled(type(error).__name__, self._garbled),)

    async def send_audio(self, pcm: bytes) -> None:
        """Voice: s16le mono, 16 kHz."""
        try:
            if self.words is None:
                await self._session.send_realtime_input(audio=types.Blob(data=pcm, mime_type=AUDIO_TYPE))
            else:
                await self._write(shortcut.message_of(self.words, pcm))
        except (websockets.ConnectionClosed, OSError) as error:
            raise self._lost(error) from error

    async def send_piece(self, piece: Piece) -> None:
        """Voice, or what frames it."""
        if isinstance(piece, Chunk):
            await self.send_audio(piece.pcm)
            return
        async with self._sending():
            match piece:
                case StreamEnd():
                    await self._session.send_realtime_input(audio_stream_end=True)
                case ActivityStart():
                    self._in_activity = True
                    await self._session.send_realtime_input(activity_start=types.ActivityStart())
                case ActivityEnd():
                    self._in_activity = False
                    await self._session.send_realtime_input(activity_end=types.ActivityEnd())

    async def send(self, given: Send) -> None:
        """A context, a text or a result."""
        match given:
            case SendContext(turns):
                await self.send_context(turns)
            case SendText(text):
                await self.send_text(text)
            case SendImage(jpeg):
                await self.send_image(jpeg)
            case SendToolResult(call_id, name, response, scheduling):
                await self.send_tool_result(call_id, name, response, scheduling)

    async def send_text(self, text: str) -> None:
        """A text to answer. As realtime input: models from 3.1 on refuse client content once the session runs.

        It counts as activity of the person, as speech does: it interrupts what the machine says. In the midst of
        speech it becomes a part of what is being said.
        """
        framed = self.frames_text and not self._in_activity
        if framed:
            await self.send_piece(ActivityStart())
        async with self._sending():
            await self._session.send_realtime_input(text=text)
        if framed:
            await self.send_piece(ActivityEnd())

    async def send_image(self, jpeg: bytes) -> None:
        """A picture: one a second at most is looked at."""
        async with self._sending():
            await self._session.send_realtime_input(video=types.Blob(data=jpeg, mime_type="image/jpeg"))

    async def send_context(self, turns: Sequence[tuple[str, str]]) -> None:
        """What was said before, as (`user` or `model`, text). Nothing of it is answered.

        A session set up to take its history first waits for the end of it, said by turn_complete; to any other one
        turn_complete would mean: answer now.
        """
        contents: list[types.Content | types.ContentDict] = [
            types.Content(role=role, parts=[types.Part(text=text)]) for role, text in turns
        ]
        async with self._sending():
            await self._session.send_client_content(turns=contents, turn_complete=self._history_first)

    async def send_tool_result(
        self, call_id: str, name: str, response: Mapping[str, Any], scheduling: str = ""
    ) -> None:
        """The answer to a function call; `scheduling` for one that the model did not wait for."""
        result = types.FunctionResponse(id=call_id, name=name, response=dict(response))
        if scheduling:
            result.scheduling = types.FunctionResponseScheduling(scheduling)
        async with self._sending():
            await self._session.send_tool_response(function_responses=[result])

    async def close(self) -> None:
        """Close, within CLOSE_S; a peer that does not take part is left without ceremony."""
        transport = self._ws.transport
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._stack.aclose()
        except (TimeoutError, OSError, websockets.WebSocketException):
            pass  # it was dead already; abort below is all that is left to do
        finally:
            transport.abort()

    @contextlib.asynccontextmanager
    async def _sending(self) -> AsyncIterator[None]:
        try:
            yield
        except (websockets.ConnectionClosed, OSError) as error:
            raise self._lost(error) from error

    def _lost(self, error: websockets.ConnectionClosed | OSError) -> LineFailed:
        if isinstance(error, OSError):
            return LineFailed(failures.of_error(error, self._where))
        closed = error.rcvd
        return LineFailed(failures.of_close(closed.code, closed.reason) if closed else failures.of_close(1006, ""))
