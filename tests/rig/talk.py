"""A conversation with a clock set by hand: a person, a service, a speaker, and all that it wanted done."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from pipeline.live import effects as fx
from pipeline.live import messages as m
from pipeline.live.conversation import Conversation
from pipeline.live.kept import Block
from pipeline.live.memory import Memory
from pipeline.live.tables import memory_of
from pipeline.live.uplink import SAMPLE_NS

MS = 1_000_000
S = 1_000_000_000
SECOND = m.Speech(bytes(48_000))
"""One second of an answer."""


class Talk:
    """A conversation with a clock, and all that it wanted done."""

    def __init__(self, memory: Memory | None = None, *, now: int = 100 * S, **options: Any) -> None:
        self.memory = memory or Memory()
        self.core = Conversation(self.memory, line_for="x", **options)
        self.now = now
        self.done: list[fx.Effect] = []
        self.do(self.core.start(self.now))

    def do(self, effects: list[fx.Effect]) -> list[fx.Effect]:
        self.done += effects
        if fx.Save() in effects:
            self.saved = json.dumps(dataclasses.asdict(self.memory))
        return effects

    def killed(self) -> Memory:
        """What is on disk."""
        return memory_of(json.loads(self.saved))

    def wait(self, seconds: float) -> None:
        for _ in range(max(1, int(seconds * 10))):
            self.now += S // 10
            self.do(self.core.tick(self.now))

    def up(self, resumed: bool = False) -> list[fx.Effect]:
        handle = self.core.resumption.handle if resumed else None
        effects = self.do(self.core.line_up(self.now, self.core.context(handle), resumed=resumed))
        self.core.give_voice(self.now)
        return effects

    def down(self) -> list[fx.Effect]:
        return self.do(self.core.line_down(self.now))

    def voice_to(self, t: int) -> None:
        """Voice comes in up to `t`, and is sent if a line is up."""
        begin = self.core.uplink.seen_t or t - S
        self.core.voice(t, Block(begin, bytes(2 * ((t - begin) // SAMPLE_NS))))
        while self.core.uplink.take() is not None:
            pass

    def asks(self, seconds: float = 1.0) -> int:
        """A person speaks for so long; returns where that ended."""
        start = self.now
        self.do(self.core.speech_started(self.now + 100 * MS, start))
        end = start + int(seconds * S)
        self.now = end + 300 * MS
        self.voice_to(self.now)
        self.do(self.core.speech_ended(self.now, end, start))
        return end

    def says(self, *values: m.Incoming) -> list[fx.Effect]:
        effects: list[fx.Effect] = []
        for value in values:
            self.now += MS
            effects += self.do(self.core.received(self.now, value))
        return effects

    def hears(self, epoch: int, at: int) -> list[fx.Effect]:
        return self.do(self.core.heard(self.now, epoch, at))

    def told(self, name: str) -> list[dict[str, Any]]:
        return [dict(effect.body) for effect in self.done if isinstance(effect, fx.Tell) and effect.name == name]

    def spoken(self) -> list[tuple[int, int]]:
        return [(effect.epoch, effect.at) for effect in self.done if isinstance(effect, fx.Speak)]


def sent(effects: list[fx.Effect]) -> list[fx.Effect]:
    return [e for e in effects if isinstance(e, fx.SendContext | fx.SendText | fx.SendToolResult)]
