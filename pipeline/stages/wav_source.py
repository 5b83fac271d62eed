"""A microphone without a sound card: WAV files, spoken in real time."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pipeline import Audio, Event, Stage
from pipeline.config.options import OptionError

BLOCK_MS = 20
REPLY_PATIENCE_S = 20.0
"""Longest wait for an answer before the next file is spoken all the same."""


@dataclass(frozen=True)
class Speech:
    """One file, ready to be spoken."""

    path: Path
    rate: int
    channels: int
    pcm: bytes


class WavSource(Stage):
    """Speaks each file, then silence: like a microphone, blocks never cease while the pipeline lives."""

    reads: ClassVar[tuple[str, ...]] = ()
    emits: ClassVar[tuple[str, ...]] = ("mic",)

    files: list[Path] = []
    """WAV files, 16-bit; relative to the file that names them. All of one rate and channel count."""
    lead_s: float = 0.3
    """Silence before the first word."""
    gap_s: float = 0.8
    """Silence after a file (and, with `wait_for_reply`, after the answer to it was heard) before the next one."""
    wait_for_reply: bool = True
    """Speak the next file only when the machine has answered and finished."""

    def prime(self) -> None:
        """Reads every file. Raises OptionError naming the file and what is wrong with it."""
        self._speeches = [self._load(self.config_dir / name) for name in self.files]
        formats = {(speech.rate, speech.channels) for speech in self._speeches}
        if len(formats) > 1:
            raise OptionError(f"files: expected one rate and channel count, got {sorted(formats)}: convert them alike")
        self._rate, self._channels = formats.pop() if formats else (16_000, 1)

    def start(self) -> None:
        """The clock starts here: sample 0 is at the microphone now."""
        self._block_frames = self._rate * BLOCK_MS // 1000
        self._began_ns = self.now_ns()
        self._sent = 0
        self._next = 0
        self._position = 0
        self._speaking = False
        self._speak_at_ns: int | None = self._began_ns + int(self.lead_s * 1e9)
        self._asked_ns = 0
        self._answer_pending = False
        self._heard_all = False
        self._ended = not self._speeches

    def step(self) -> float:
        """Emit the blocks whose time has come."""
        now_ns = self.now_ns()
        while self._due_ns() <= now_ns:
            self._emit_block()
        self._give_up_waiting(now_ns)
        return (self._due_ns() - self.now_ns()) / 1e9

    def on_turn_ended(self, event: Event) -> None:
        """The answer is complete; `heard` says when it was also heard."""
        if event.body.get("kind") == "speech":
            self._answer_pending = False
            self._speak_on()

    def on_heard(self, event: Event) -> None:
        """How far the answer was heard."""
        self._heard_all = event.body["at"] >= event.body["buffered_to"]
        self._speak_on()

    def _speak_on(self) -> None:
        """Speak on, `gap_s` after the answer is complete and was heard to its end, in whichever order that comes."""
        if self._heard_all and not self._answer_pending and self._waiting():
            self._speak_at_ns = self.now_ns() + int(self.gap_s * 1e9)

    def _waiting(self) -> bool:
        return not self._speaking and self._speak_at_ns is None and not self._ended

    def _give_up_waiting(self, now_ns: int) -> None:
        if self._waiting() and now_ns - self._asked_ns > REPLY_PATIENCE_S * 1e9:
            self.log.warning("no answer, speaking on", file=str(self._speeches[self._next - 1].path))
            self._answer_pending = False
            self._speak_at_ns = now_ns
        if self._speak_at_ns is None or now_ns < self._speak_at_ns or self._speaking or self._ended:
            return
        self._speak_at_ns = None
        if self._next == len(self._speeches):
            self._ended = True
            self.tell("source_ended", sticky=True, t=self._due_ns())
            self.log.info("source ended", files=len(self._speeches))
            return
        self._speaking, self._position = True, 0
        self.log.info("speaking", file=self._speeches[self._next].path.name)
        self._next += 1

    def _due_ns(self) -> int:
        """A block can be read from a microphone when its last sample was spoken."""
        return self._began_ns + (self._sent + self._block_frames) * 1_000_000_000 // self._rate

    def _emit_block(self) -> None:
        size = self._block_frames * 2 * self._channels
        pcm = b""
        if self._speaking:
            speech = self._speeches[self._next - 1]
            pcm = speech.pcm[self._position : self._position + size]
            self._position += size
            if self._position >= len(speech.pcm):
                self._finish_file()
        t = self._began_ns + self._sent * 1_000_000_000 // self._rate
        self._sent += self._block_frames
        self.emit("mic", Audio("mic", pcm.ljust(size, b"\0"), self._rate, self._channels, t=t))

    def _finish_file(self) -> None:
        self._speaking = False
        self._asked_ns = self.now_ns()
        if self.wait_for_reply:
            self._answer_pending = True
        else:
            self._speak_at_ns = self._asked_ns + int(self.gap_s * 1e9)

    def _load(self, path: Path) -> Speech:
        try:
            with wave.open(str(path), "rb") as file:
                if file.getsampwidth() != 2:
                    raise OptionError(f"files: {path}: expected 16-bit samples, got {8 * file.getsampwidth()}-bit")
                pcm = file.readframes(file.getnframes())
                return Speech(path, file.getframerate(), file.getnchannels(), pcm)
        except (OSError, wave.Error, EOFError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error) or "it ends too soon"
            raise OptionError(f"files: {path}: expected a readable 16-bit PCM WAV file: {why}") from error
