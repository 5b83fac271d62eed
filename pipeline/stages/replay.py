"""A tape in the place of a stage: what that stage said is said again, at its beat, as if it were said now.

Audio goes out with its places moved to now: `t` by the time that has passed since the recording, `epoch` above those
in use.
Events go out too, but for those of a stage's own life (`state`, `listening`, `replayed`): the library says its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pipeline import Audio, Event, Stage
from pipeline.bus import codec
from pipeline.bus.tape import Entry, Tape, TapeError
from pipeline.config.options import OptionError

OWN_LIFE = frozenset({"state", "listening", "replayed", "stage", "mute", "volume"})
STICKY = frozenset({"heard", "flush", "visit", "connection", "source_ended", "tool_call", "tools", "hearing", "duck"})
"""Events that a reader who joins later must hear too."""
TIMES = ("t", "start_t")
"""Fields of an event that are ns of the monotonic clock."""
DRAIN_S = 3.0
"""After the last word of a session: what playback holds is still heard."""
FAR_NS = 100 * 3600 * 1_000_000_000
"""A time so far from the recording's is none of it, and may be more than a message can hold."""
AT_ONCE = 50
"""Messages a turn, so that control is heard between them at any speed."""


class Replay(Stage):
    """Speaks as one stage of a recording did, then ends."""

    reads: ClassVar[tuple[str, ...]] = ()

    tape: Path = Path("tape")
    """The file; relative to the file that names it."""
    source: str = ""
    """Whose messages to say, by the name of then; its own name if empty."""
    speed: float = 1.0
    """2 says them in half the time, with the same places in the audio."""

    def prime(self) -> None:
        """Opens the tape. Raises OptionError naming it and what is wrong."""
        if not self.speed > 0:
            raise OptionError(f"speed: expected more than 0, got {self.speed}")
        try:
            self._tape = Tape(self.config_dir / self.tape)
        except TapeError as error:
            raise OptionError(f"tape: {error}") from error

    def start(self) -> None:
        """The first message is said now."""
        self._began_ns = self.now_ns()
        self._first_ns: int | None = None
        self._epoch = 0
        self._said = 0
        self._done = False
        self._entries = self._wanted()
        self._next = self._take()

    def step(self) -> float | None:
        """Say what is due."""
        for _ in range(AT_ONCE):
            if self._next is None:
                return self._end()
            wait_s = (self._due_ns(self._next) - self.now_ns()) / 1e9
            if wait_s > 0:
                return wait_s
            self._say(self._next)
            self._next = self._take()
        return 0.0

    def on_heard(self, event: Event) -> None:
        """Epochs of the tape begin above the one that playback has."""
        epoch = event.number("epoch")
        if epoch is not None and not self._said:
            self._epoch = max(self._epoch, epoch + 1)

    def _wanted(self) -> Iterator[Entry]:
        source = self.source or self.name
        try:
            for entry in self._tape.entries():
                replayed = entry.fields.get("replay") is not None
                if entry.fields.get("src") == source and not replayed and entry.topic[6:] not in OWN_LIFE:
                    yield entry
        except TapeError as error:
            self.log.warning("the tape ends early", error=str(error))

    def _take(self) -> Entry | None:
        entry = next(self._entries, None)
        if entry is not None and self._first_ns is None:
            self._first_ns = entry.ns
        return entry

    def _due_ns(self, entry: Entry) -> int:
        assert self._first_ns is not None
        return self._began_ns + int((entry.ns - self._first_ns) / self.speed)

    def _now(self, then_ns: int) -> int:
        assert self._first_ns is not None
        now_ns = then_ns - self._first_ns + self._began_ns
        if abs(now_ns - self._began_ns) > FAR_NS:
            raise codec.Malformed(f"expected a time of this recording, got {then_ns} ns")
        return now_ns

    def _say(self, entry: Entry) -> None:
        try:
            _, message = codec.unpack(codec.pack(entry.topic, _with_sound(entry.fields)))
            if isinstance(message, Audio):
                self._emit(message)
            else:
                self.link.tell(
                    message.name, self._moved(message.body), sticky=message.name in STICKY, key=_key(message.body)
                )
        except (codec.Malformed, ValueError, OverflowError) as error:
            self.log.warning("not said again", topic=entry.topic[:40], error=str(error))
            return
        self._said += 1

    def _emit(self, audio: Audio) -> None:
        changes: dict[str, Any] = {"t": self._now(audio.t)} if audio.t is not None else {}
        if audio.epoch is not None:
            changes["epoch"] = audio.epoch + self._epoch
        self.emit(audio.stream, audio.replace(**changes))

    def _moved(self, body: Mapping[str, Any]) -> dict[str, Any]:
        moved = dict(body)
        for key in TIMES:
            if isinstance(moved.get(key), int):
                moved[key] = self._now(moved[key])
        if isinstance(moved.get("epoch"), int):
            moved["epoch"] += self._epoch
        return moved

    def _end(self) -> float | None:
        if not self._done:
            self._done = True
            self.log.info("the tape has ended", messages=self._said)
            self.tell("tape_ended", sticky=True, messages=self._said)
            if self.name == "session":
                self.after(DRAIN_S, self.ended)
            else:  # as the end of a recording: the pipeline ends when all of it is answered
                self.tell("source_ended", sticky=True, t=self.now_ns())
        return None


def _key(body: Mapping[str, Any]) -> str | None:
    return body["id"] if isinstance(body.get("id"), str) else None


def _with_sound(fields: dict[str, Any]) -> dict[str, Any]:
    """Where sound was not kept, silence of its length stands for it."""
    if "pcm_bytes" in fields and isinstance(fields["pcm_bytes"], int):
        return {**fields, "pcm": bytes(min(fields["pcm_bytes"], codec.MAX_BYTES // 2))}
    return fields
