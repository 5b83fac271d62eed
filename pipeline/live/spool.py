"""The voice of a question that is owed an answer, in a file of the run directory: memory, not a disk.

Frontend, capture and session each keep what was said. When all of them die at once, or the supervisor with them, this
file is all that is left of it. It holds voice only while somebody's question is unanswered, and is empty otherwise.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from pipeline.live.conversation import Conversation
from pipeline.live.effects import Effect, Note
from pipeline.live.kept import Block

FILE = "unanswered.voice"
LARGEST_BYTES = 2_000_000
"""Twice what is kept in memory; a file that has grown over it is written anew with that."""
POISONED = 2
"""After so many crashes the session is not given it again."""
_HEAD = struct.Struct("<q?I")
"""t, gated, bytes of s16le that follow."""


class Spool:
    """The file in `folder`. Where it can't be written, a note says so and the conversation goes on without it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._failed = False
        self._left = True
        """There may be a file that a session before this one has left."""
        self._file: int | None = None

    def load(self) -> list[Block]:
        """What a session before this one left, oldest first. A record that a death has cut short is left out."""
        try:
            raw = self.path.read_bytes()
        except OSError:
            return []
        blocks, at = [], 0
        while at + _HEAD.size <= len(raw):
            t, gated, length = _HEAD.unpack_from(raw, at)
            at += _HEAD.size + length
            if at > len(raw):
                break
            blocks.append(Block(t, raw[at - length : at], gated))
        return blocks

    def restore(self, now_ns: int, talk: Conversation, crashes: int = 0) -> None:
        """Give `talk`, which has just begun, the voice that the session before it was not answered. `crashes` in a row
        before it: that voice may be what ends it each time."""
        if _owes_speech(talk) and crashes < POISONED:
            for block in self.load():
                talk.voice(now_ns, block, again=True)

    def follow(self, talk: Conversation, block: Block | None = None) -> list[Effect]:
        """Hold what `talk` owes an answer to, and nothing else. `block`: the newest of its voice."""
        if not _owes_speech(talk):
            self.clear()
        elif self._file is None or os.fstat(self._file).st_size > LARGEST_BYTES:
            return self._write(talk.kept.since(talk.uplink.place()), anew=True)
        elif block is not None:
            return self._write([block], anew=False)
        return []

    def clear(self) -> None:
        """Hold nothing."""
        if self._file is not None or self._left:
            self.close()
            self._left = False
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()

    def close(self) -> None:
        """Leave it to the session that follows."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, blocks: Sequence[Block], *, anew: bool) -> list[Effect]:
        raw = b"".join(_HEAD.pack(each.t, each.gated, len(each.pcm)) + each.pcm for each in blocks)
        try:
            if anew:
                self.clear()
                self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            assert self._file is not None
            os.write(self._file, raw)
        except OSError as error:
            known, self._failed = self._failed, True
            words = f"{self.path} cannot be written: a question is lost if all stages die at once"
            return [] if known else [Note(words, {"fault": str(error)}, "warning")]
        self._failed = False
        return []


def _owes_speech(talk: Conversation) -> bool:
    turns = (talk.turns.turn, *talk.turns.waiting)
    return any(turn is not None and turn.kind == "speech" and not turn.generated for turn in turns)
