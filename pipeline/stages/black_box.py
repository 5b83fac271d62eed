"""The last minutes of the bus, in memory; written to a tape when a stage dies, when a device is lost, or when asked.

What is kept is what `privacy` allows, before it is kept. Sound is kept of the streams that `inputs:` names, if privacy
is `everything`. Read a tape with `voice-pipeline tape info`, hold it again with `voice-pipeline replay`.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, ClassVar

import msgpack

from pipeline import Audio, Event, Stage, __version__
from pipeline.bus import codec
from pipeline.bus.privacy import Privacy, keep
from pipeline.bus.tape import Recorder
from pipeline.config.options import Range
from pipeline.config.service import STANDS_IN
from pipeline.log import secrets_in

AFTERMATH_S = 3.0
"""What follows a fault belongs to it: so long is waited before the tape is written."""
RARELY_S = 3600.0
"""The same fault over and over (a plug that hangs loose all night) is written after 1, 2, 4, … minutes, and at last
once in so long: nothing new is on those tapes, and a card wears out."""
AT_ONCE = 200
"""Messages written a turn, so that the loop beats between them."""
WRITE_S = 0.01
BAD = ("restarting", "degraded", "failed")


class BlackBox(Stage):
    """Keeps, forgets, and writes when something happened."""

    emits: ClassVar[tuple[str, ...]] = ()

    minutes: Annotated[float, Range(0.1, 60)] = 5.0
    max_mb: Annotated[float, Range(0.1, 500)] = 20.0
    """Of memory, and so of each tape; over it the oldest is forgotten and counted."""
    privacy: Privacy = "no_audio"
    tapes: Annotated[int, Range(1, 100)] = 5
    """Kept in the state directory; the oldest goes."""
    every_s: Annotated[float, Range(0)] = 60.0
    """Faults within so long of a tape write no other one; the same fault again waits twice as long each time."""

    def start(self) -> None:
        """Nothing is kept yet."""
        self._folder = self.state_dir / "black_box"
        self._secrets = secrets_in(os.environ)
        self._kept: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self.forgotten = 0
        """Messages that `max_mb` cost."""
        self._writing: Iterator[None] | None = None
        self._due_ns: int | None = None
        self._why = ""
        self._written_ns: int | None = None
        self._again: dict[str, tuple[int, float]] = {}
        """Of each fault, when it was written last, and how long it is not written again."""

    def on_event(self, event: Event) -> None:
        """Everything that happens; some of it is the reason to write."""
        fields = {"v": 1, "src": event.src, "inst": event.inst, "seq": 0, "sent": event.sent, "body": dict(event.body)}
        self._keep(f"event.{event.name}", fields)
        body = event.body
        if event.name == "stage" and body.get("state") in BAD and STANDS_IN not in str(body.get("reason")):
            self._fault(f"{body.get('stage')}-{body.get('state')}")
        elif event.name == "write_tape":
            self._due_ns, self._why = self.now_ns(), "asked"

    def on_audio(self, audio: Audio) -> None:
        """Sound, or that there was some."""
        stamp = {"v": 1, "src": self.brief.inputs.get(audio.stream, ""), "inst": 0, "seq": 0, "sent": self.now_ns()}
        self._keep(f"audio.{audio.stream}", {**stamp, **codec.audio_fields(audio)})

    def step(self) -> float | None:
        """Forget what is old; write on."""
        now_ns = self.now_ns()
        while self._kept and now_ns - self._kept[0][0] > self.minutes * 60e9:
            self._bytes -= len(self._kept.popleft()[1])
        if self._writing is None and self._due_ns is not None and now_ns >= self._due_ns:
            self._due_ns, self._written_ns = None, now_ns
            self._writing = self._write(self._why)
        if self._writing is not None:
            if next(self._writing, self) is self:
                self._writing = None
            return WRITE_S
        return 1.0 if self._due_ns is None else max(0.0, (self._due_ns - now_ns) / 1e9)

    def stop(self) -> None:
        """A tape that was begun is finished; one that was due is written."""
        if self._writing is None and self._due_ns is not None:
            self._writing = self._write(self._why)
        for _ in self._writing or ():
            pass

    def _keep(self, topic: str, fields: dict[str, Any]) -> None:
        data = msgpack.packb([topic, keep(topic, fields, self.privacy, self._secrets)], default=str)
        self._kept.append((self.now_ns(), data))
        self._bytes += len(data)
        while self._bytes > self.max_mb * 1e6:
            self._bytes -= len(self._kept.popleft()[1])
            self.forgotten += 1

    def _fault(self, why: str) -> None:
        now_ns = self.now_ns()
        recent = self._written_ns is not None and now_ns - self._written_ns < self.every_s * 1e9
        last_ns, wait_s = self._again.get(why, (now_ns, 0.0))
        if self._due_ns is not None or self._writing is not None or recent or now_ns - last_ns < wait_s * 1e9:
            return
        rested = now_ns - last_ns > 2 * RARELY_S * 1e9
        self._again[why] = now_ns, self.every_s if rested or not wait_s else min(RARELY_S, 2 * wait_s)
        self._due_ns, self._why = now_ns + int(AFTERMATH_S * 1e9), why

    def _write(self, why: str) -> Iterator[None]:
        """A tape, in pieces."""
        entries = list(self._kept)
        path = self._folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{why}.tape"
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            part = path.with_suffix(".part")
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                recorder = self._recorder(file)
                for number, (ns, data) in enumerate(entries):
                    topic, fields = msgpack.unpackb(data)
                    recorder.write(ns, topic, fields)
                    if number % AT_ONCE == AT_ONCE - 1:
                        yield
            part.replace(path)
            for old in oldest_first(self._folder.glob("*.tape"), path)[: -self.tapes]:
                old.unlink()
        except OSError as error:
            self.log.warning("no tape written", file=str(path), error=error.strerror, next="make room there")
            return
        self.log.info("tape written", file=str(path), messages=len(entries), why=why, forgotten=self.forgotten)
        self.tell("tape_written", file=str(path), why=why)

    def _recorder(self, file: BinaryIO) -> Recorder:
        header = {"version": __version__, "privacy": self.privacy, "monotonic_ns": self.now_ns(), "wall_s": time.time()}
        return Recorder(file, {**header, "patterns": [], "name": Path(self.run_dir).name}, int(self.max_mb * 2e6))


def oldest_first(tapes: Iterable[Path], newest: Path) -> list[Path]:
    """Their names are dates of a clock that may have been set back: what is dated after the newest was before it."""
    return sorted(tapes, key=lambda tape: (tape.name <= newest.name, tape.name))
