"""A whole conversation in this process: the session's core and its lines, through the SDK, to a simulator.

The test is the frontend and decides what is said; the speaker plays by the clock, or everything at once.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from pipeline.live import effects as fx
from pipeline.live import gemini, setup
from pipeline.live.backoff import Backoff
from pipeline.live.conversation import Conversation
from pipeline.live.dialling import Dialling, Plan
from pipeline.live.kept import Block
from pipeline.live.lines import Line, Lines
from pipeline.live.memory import Memory
from pipeline.live.news import News
from pipeline.live.service import Target
from pipeline.simulator import Server
from tests.rig.booth import BLOCK, BLOCK_NS, SCRIPT, recording

S = 1_000_000_000
TICK_S = 0.02


class Speaker:
    """Plays what it is given, by the clock; `instant`: at once."""

    def __init__(self) -> None:
        self.instant = True
        self.epoch = 0
        self.end_at = self.start_at = 0
        self.start_ns = 0
        self.gaps_s: list[float] = []
        """Silences within an epoch: the next piece came so long after all before it was played."""

    def flush(self, epoch: int) -> None:
        if epoch > self.epoch:
            self.epoch, self.end_at, self.start_at = epoch, 0, 0

    def take(self, now_ns: int, speak: fx.Speak) -> None:
        assert speak.epoch >= self.epoch, "stale"
        self.flush(speak.epoch)
        assert speak.at == self.end_at
        if self.at(now_ns) >= self.end_at:
            if self.end_at:
                self.gaps_s.append((now_ns - self.start_ns) / S - (self.end_at - self.start_at) / 24_000)
            self.start_ns, self.start_at = now_ns, self.end_at
        self.end_at += len(speak.pcm) // 2 * 24_000 // speak.rate

    def at(self, now_ns: int) -> int:
        if self.instant:
            return self.end_at
        return min(self.end_at, self.start_at + (now_ns - self.start_ns) * 24 // 1_000_000)


class Kiosk:
    """Use as an async context manager. `options` are the Conversation's."""

    def __init__(self, folder: Path, *, script: str = SCRIPT, memory: Memory | None = None, **options: Any) -> None:
        self.folder = folder
        (folder / "script.yaml").write_text(script)
        self.server = Server(
            folder / "script.yaml", folder / "service.jsonl", certs=folder, audio=folder / "service", notice=False
        )
        self.talk = Conversation(memory or Memory(), line_for="simulator m", **options)
        self.dialling = Dialling(self.talk, Backoff(lambda: 0.5), resumes=options.get("resumes", True))
        self.news = News("simulator", "")
        self.speaker = Speaker()
        self.done: list[tuple[int, fx.Effect]] = []
        self.t = time.monotonic_ns()
        """Where the microphone is."""
        self.wanted = setup.Wanted("gemini-3.8-live", "Aoede", "Be brief.", "en-GB")
        self.dials = 0

    async def __aenter__(self) -> Self:
        self.url = await self.server.start()
        self.lines = Lines(self.talk, self.dialling, self.news, dial=self._dial, do=self.do, now_ns=time.monotonic_ns)
        self.do(self.talk.start(time.monotonic_ns()))
        self._work = [asyncio.create_task(self.lines.run()), asyncio.create_task(self._tick())]
        return self

    async def __aexit__(self, *whatever: object) -> None:
        for task in self._work:
            task.cancel()
        await asyncio.wait(self._work)
        await self.server.stop()
        for task in self._work:
            if not task.cancelled():
                task.result()

    async def _dial(self, plan: Plan) -> Line:
        self.dials += 1
        target = Target("simulator", self.url.removeprefix("https://"), self.url, self.server.cert)
        functions = self.talk.functions.declared
        fields = setup.config(self.wanted, handle=plan.handle, history_first=bool(plan.context), functions=functions)
        return await gemini.dial(target, self.wanted.model, fields)

    async def _tick(self) -> None:
        while True:
            now_ns = time.monotonic_ns()
            if self.speaker.end_at:
                self.do(self.talk.heard(now_ns, self.speaker.epoch, self.speaker.at(now_ns)))
            self.do(self.talk.tick(now_ns))
            await asyncio.sleep(TICK_S)

    def do(self, effects: Sequence[fx.Effect]) -> None:
        now_ns = time.monotonic_ns()
        for effect in effects:
            self.done.append((now_ns, effect))
            match effect:
                case fx.Speak():
                    self.speaker.take(now_ns, effect)
                case fx.Tell("flush", body):
                    self.speaker.flush(body["epoch"])
                case fx.Renew(reason):
                    self.lines.renew(reason)
                case fx.HangUp():
                    self.lines.hang_up()
                case fx.Dial():
                    self.lines.nudge()
                case fx.SendContext() | fx.SendText() | fx.SendToolResult():
                    self.lines.send(effect)

    # -- the person

    def voice(self, samples: np.ndarray[Any, np.dtype[np.int16]]) -> None:
        """Voice, faster than it is spoken."""
        for block in samples.reshape(-1, BLOCK):
            self.do(self.talk.voice(time.monotonic_ns(), Block(self.t, block.tobytes())))
            self.t += BLOCK_NS
        self.lines.voice_came()

    def silence(self, seconds: float) -> None:
        self.voice(np.zeros(int(seconds * 50) * BLOCK, np.int16))

    def begins(self) -> int:
        self.do(self.talk.speech_started(time.monotonic_ns(), self.t))
        return self.t

    def ends(self, start_t: int) -> None:
        self.do(self.talk.speech_ended(time.monotonic_ns(), self.t, start_t))

    def asks(self, name: str = "made_amiable.wav") -> None:
        """A person says a sentence and is silent then."""
        self.silence(0.4)
        start_t = self.begins()
        self.voice(recording(name))
        self.ends(start_t)
        self.silence(1.0)

    def types(self, text: str) -> None:
        self.do(self.talk.text_in(time.monotonic_ns(), text))

    # -- looking on

    async def until(self, found: Callable[[], Any], within_s: float = 15.0) -> Any:
        """What `found` finds."""
        async with asyncio.timeout(within_s):
            while not (what := found()):
                await asyncio.sleep(0.005)
        return what

    def effects(self, kind: type[Any]) -> list[Any]:
        return [effect for _, effect in self.done if isinstance(effect, kind)]

    def told(self, name: str, **fields: Any) -> list[dict[str, Any]]:
        bodies = [dict(effect.body) for effect in self.effects(fx.Tell) if effect.name == name]
        return [body for body in bodies if all(body.get(key) == value for key, value in fields.items())]

    def answered(self, count: int = 1) -> bool:
        return len(self.told("turn_ended", outcome="answered")) >= count

    def up(self, count: int = 1) -> bool:
        return len(self.told("connection", up=True)) >= count and self.lines.up

    def log(self, event: str, connection: int | None = None) -> list[dict[str, Any]]:
        lines = (self.folder / "service.jsonl").read_text().splitlines()
        entries = [json.loads(line) for line in lines]
        return [e for e in entries if e["event"] == event and connection in (None, e["connection"])]

    def received(self) -> list[np.ndarray[Any, np.dtype[np.int16]]]:
        """The voice that each connection was given, in order."""
        paths = [self.folder / "service" / entry["audio"] for entry in self.log("open")]
        return [np.frombuffer(path.read_bytes() if path.exists() else b"", "<i2") for path in paths]

    def setups(self) -> list[dict[str, Any]]:
        """What each connection was asked to be, in order."""
        return [e["message"]["setup"] for e in self.log("in") if "setup" in e.get("message", {})]

    def seeds(self) -> list[str]:
        """What fresh sessions were told, each as text."""
        return [json.dumps(e["message"]) for e in self.log("in") if "clientContent" in json.dumps(e["message"])]

    def most_open(self) -> int:
        """How many connections the service had at a time, at most."""
        lines = (self.folder / "service.jsonl").read_text().splitlines()
        now = most = 0
        for entry in map(json.loads, lines):
            now += {"open": 1, "close": -1}.get(entry["event"], 0)
            most = max(most, now)
        return most
