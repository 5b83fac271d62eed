"""What is believed of the service, tried on it: each trial is one entry of ASSUMPTIONS.md, named as there.

Together they take about a minute and about a cent: a second of voice here, a short answer there.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.live import messages as m
from pipeline.live.activities import ActivityEnd, ActivityStart
from pipeline.live.failures import LineFailed
from pipeline.live.pauses import StreamEnd
from pipeline.live.service import Target
from pipeline.live.setup import Wanted, config
from pipeline.live.talk import Talk
from pipeline.live.utterances import LEAD_NS, TAIL_NS

ANSWER_S = 12.0
"""The longest wait for an answer and its end."""
SOON_S = 5.0
PAUSE_BYTES = (LEAD_NS + TAIL_NS) // 31_250
"""What is left of a pause between utterances that are given again."""
WORD = "marmalade"
ASK = "What did I say? Repeat it word for word."
INSTRUCTION = "You are being tested. Answer in one short sentence, in English."
ORDERS = {
    "name": "get_order_status",
    "description": "Says how far an order is.",
    "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
    "blocking": True,
}
JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0Hyc5PTgyPC"
    "4zNDL/wAALCAABAAEBAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAFAABAAAAAAAAAAAAAAAAAAAACf/EABQQAQAAAAAAAAAA"
    "AAAAAAAAAAD/2gAIAQEAAD8AVN//2Q=="
)
"""One grey point."""


@dataclass
class Bench:
    """The service on trial. `voice`: a short question, s16le mono at 16 kHz."""

    target: Target
    model: str
    voice: bytes
    live: Mapping[str, Any] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def talk(
        self, *, handle: str | None = None, history: bool = False, functions: Any = (), **more: Any
    ) -> AsyncIterator[Talk]:
        """A line, closed afterwards. Raises LineFailed."""
        wanted = Wanted(self.model, instruction=INSTRUCTION, **{"live": self.live, **more})
        fields = config(wanted, handle=handle, history_first=history, functions=functions)
        talk = await Talk.dial(self.target, self.model, fields)
        try:
            yield talk
        finally:
            await talk.close()


Seen = tuple[bool, str]
"""Whether the assumption holds, and what was seen."""
Trial = Callable[[Bench], Awaitable[Seen]]


async def handle_at_once(bench: Bench) -> Seen:
    """A handle comes before the first turn."""
    async with bench.talk() as talk:
        came = await talk.until(lambda: bool(talk.handle), SOON_S)
        return came, "a handle came with the setup" if came else f"no handle within {SOON_S:.0f} s of the setup"


async def burst(bench: Bench) -> Seen:
    """Voice that is sent all at once is heard if the end of the stream is said."""
    async with bench.talk() as talk:
        await talk.voice(bench.voice)
        await talk.line.send_piece(StreamEnd())
        ended = await talk.turn(0, ANSWER_S)
        return ended and talk.seconds() > 0, f"heard {talk.heard()!r}, answered {talk.words()!r}"


async def burst_then_silence(bench: Bench) -> Seen:
    """Voice that is sent all at once is heard also if live silence follows it."""
    async with bench.talk() as talk:
        await talk.voice(bench.voice)
        await talk.silence(2.0)
        came = await talk.until(lambda: talk.seconds() > 0, SOON_S)
        return came, "answered" if came else "not answered: the end of the stream must be said"


async def two_in_a_burst(bench: Bench) -> Seen:
    """Two questions without a pause between them that ends a turn are one turn."""
    async with bench.talk() as talk:
        await talk.voice(bench.voice + bytes(PAUSE_BYTES) + bench.voice)
        await talk.line.send_piece(StreamEnd())
        await talk.turn(0, ANSWER_S)
        cut, more = bool(talk.all(m.Interrupted)), await talk.until(lambda: len(talk.all(m.TurnComplete)) > 1, 2.0)
        seen = "an answer was cut off" if cut else "two turns" if more else "one turn"
        return talk.seconds() > 0 and not cut and not more, f"{seen}, heard {talk.heard()!r}"


async def usage(bench: Bench) -> Seen:
    """Counts come by modality with the end of a turn, and are those of that turn."""
    async with bench.talk() as talk:
        counts: list[m.Usage] = []
        for _ in range(2):
            since = len(talk.came)
            await talk.line.send_text("Say yes.")
            await talk.turn(since, ANSWER_S)
            counts += talk.all(m.Usage, since)[-1:]
        if len(counts) < 2:
            return False, f"{len(counts)} of 2 turns came with counts"
        spoken = [each.response_by_modality.get("audio", 0) for each in counts]
        sums = spoken[1] >= 1.8 * spoken[0] > 0
        words = f"audio tokens {spoken[0]}, then {spoken[1]}: " + ("sums of the session" if sums else "of a turn each")
        return min(spoken) > 0 and not sums, words


async def resume(bench: Bench) -> Seen:
    """After a close the session is resumed by its newest handle, and still knows what was said."""
    async with bench.talk() as talk:
        await talk.line.send_text(f"Remember the word {WORD}.")
        if not await talk.turn(0, ANSWER_S):
            return False, "the first turn was not answered"
        first = len(talk.came)
        await talk.until(lambda: any(each.resumable for each in talk.all(m.Handle, first)), SOON_S)
    if not talk.handle:
        return False, "no handle came after the turn"
    async with bench.talk(handle=talk.handle) as again:
        return await _remembers(again)


async def _remembers(talk: Talk) -> Seen:
    await talk.line.send_text(ASK)
    await talk.turn(0, ANSWER_S)
    return WORD in talk.words().lower(), f"asked what was said before: {talk.words()!r}"


async def resume_while_open(bench: Bench) -> Seen:
    """A session cannot be resumed while its old connection is open: 1011."""
    async with bench.talk() as talk:
        if not await talk.until(lambda: bool(talk.handle), SOON_S):
            await talk.line.send_text("Say yes.")
            await talk.turn(0, ANSWER_S)
            await talk.until(lambda: bool(talk.handle), SOON_S)
        try:
            async with bench.talk(handle=talk.handle):
                return False, "resumed while the old connection was open"
        except LineFailed as failed:
            return failed.failure.code == 1011, failed.failure.words


async def bad_handle(bench: Bench) -> Seen:
    """A handle that the service does not know is refused before the session is set up, by 1007 or 1008."""
    try:
        async with bench.talk(handle="no-handle-of-this-service") as talk:
            await talk.until(lambda: False, 1.0)
    except LineFailed as failed:
        return failed.failure.forget_handle and failed.failure.code in (1007, 1008), failed.failure.words
    return False, f"let in: {talk.failure.words}" if talk.failure else "let in as if it were a fresh session"


async def seed(bench: Bench) -> Seen:
    """A fresh session takes a transcript, cut where hearing ended, answers none of it, and knows it afterwards."""
    async with bench.talk(history=True) as talk:
        await talk.line.send_context((("user", f"Remember the word {WORD}."), ("model", "I will remember th")))
        spoke = await talk.until(lambda: talk.seconds() > 0, 2.0)
        if spoke or talk.failure:
            return False, talk.failure.words if talk.failure else f"it answered the transcript: {talk.words()!r}"
        return await _remembers(talk)


async def interruption(bench: Bench) -> Seen:
    """Voice over an answer ends it: `interrupted`, then turnComplete, and nothing of it after that."""
    async with bench.talk() as talk:
        await talk.line.send_text("Count from one to thirty, in words. If you cannot, say what you can tell me about.")
        if not await talk.until(lambda: talk.seconds() > 0, ANSWER_S):
            return False, "the first answer did not come"
        await talk.voice(bench.voice, live=True)
        cut = await talk.until(lambda: bool(talk.all(m.Interrupted)), SOON_S)
        if not cut:
            return False, "the answer went on"
        since = next(place for place, (_, each) in enumerate(talk.came) if isinstance(each, m.Interrupted))
        ended = await talk.turn(since, SOON_S)
        came = [type(each) for _, each in talk.came[since:]]
        late_s = talk.seconds(since) if m.Speech in came[: came.index(m.TurnComplete) if ended else None] else 0.0
        return ended and not late_s, f"interrupted after {talk.seconds():.1f} s of speech, {late_s:.1f} s came after it"


async def manual(bench: Bench) -> Seen:
    """With automatic detection off, an activity around voice is answered."""
    async with bench.talk(turn_detection="client") as talk:
        await talk.line.send_piece(ActivityStart())
        await talk.voice(bench.voice)
        await talk.line.send_piece(ActivityEnd())
        ended = await talk.turn(0, ANSWER_S)
        return ended and talk.seconds() > 0, f"heard {talk.heard()!r}, answered {talk.words()!r}"


async def manual_refused(bench: Bench) -> Seen:
    """An activity is refused with 1007 while automatic detection is on."""
    async with bench.talk() as talk:
        await talk.line.send_piece(ActivityStart())
        await talk.until(lambda: False, SOON_S)
        if talk.failure is None:
            return False, "it was taken"
        return talk.failure.code == 1007, talk.failure.words


async def picture(bench: Bench) -> Seen:
    """A JPEG is taken beside voice and counted as image tokens."""
    async with bench.talk() as talk:
        await talk.line.send_image(JPEG)
        await talk.line.send_text("Say yes.")
        ended = await talk.turn(0, ANSWER_S)
        if not ended:
            return False, talk.failure.words if talk.failure else "no answer"
        counted: dict[str, int] = {}
        for each in talk.all(m.Usage):
            counted |= each.prompt_by_modality
        tokens = counted.get("image", 0) + counted.get("video", 0)
        return tokens > 0, f"answered; prompt tokens {counted}"


async def function(bench: Bench) -> Seen:
    """A declared function is called, its answer is spoken of."""
    async with bench.talk(functions=(ORDERS,)) as talk:
        await talk.line.send_text("Where is order 1234? Call the function.")
        if not await talk.until(lambda: bool(talk.all(m.ToolCall)), ANSWER_S):
            return False, f"no call came: {talk.words()!r}"
        call, since = talk.all(m.ToolCall)[0], len(talk.came)
        await talk.line.send_tool_result(call.id, call.name, {"status": "shipped on Monday"})
        await talk.until(lambda: bool(talk.all(m.GenerationComplete, since)), ANSWER_S)
        return "monday" in talk.words(since).lower(), f"called with {dict(call.args)}, said {talk.words(since)!r}"


async def compression(bench: Bench) -> Seen:
    """Context window compression is taken in the setup."""
    async with bench.talk(live={**bench.live, "context_window_compression": {"sliding_window": {}}}) as talk:
        await talk.line.send_text("Say yes.")
        return await talk.turn(0, ANSWER_S), talk.failure.words if talk.failure else "a session with it answers"


TRIALS: Mapping[str, Trial] = {
    "handle-at-once": handle_at_once,
    "burst": burst,
    "burst-then-silence": burst_then_silence,
    "two-in-a-burst": two_in_a_burst,
    "usage": usage,
    "resume": resume,
    "resume-while-open": resume_while_open,
    "bad-handle": bad_handle,
    "seed": seed,
    "interruption": interruption,
    "manual": manual,
    "manual-refused": manual_refused,
    "picture": picture,
    "function": function,
    "compression": compression,
}
"""Name in ASSUMPTIONS.md to its trial."""
