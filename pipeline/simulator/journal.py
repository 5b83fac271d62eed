"""The evidence: every message in both directions as JSON lines, and the received sound itself.

A line is `{"ns": monotonic ns, "connection": number, "event": name, …}`. Sound is never written into a line: it stands
there as its byte count and the numbers of its first and last sample, counted per connection for what came in and per
answer for what went out. Keys and tokens are never written.

With an audio folder, `PID-CONNECTION.s16le` holds what the connection sent, sample for sample, and the `.jsonl` beside
it says for each blob when it came, at which sample it begins and its rate.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from pipeline.simulator.actions import Raw, Received, Send
from pipeline.simulator.wire import Message, read_base64


class Journal:
    """Writes as it happens, unbuffered: a killed server has said everything. A full disk costs lines, not life."""

    def __init__(self, log: Path | None, audio: Path | None) -> None:
        """Raises OSError if a file or folder cannot be written at all."""
        self.lost = 0
        self._audio = audio
        self._log = _open(log) if log else None
        self._torn = False
        if audio:
            audio.mkdir(parents=True, exist_ok=True)

    def write(self, connection: int, event: str, fields: dict[str, Any]) -> None:
        """One line. `connection` 0 is the server itself."""
        if self._log is not None:
            line = {"ns": time.monotonic_ns(), "connection": connection, "event": event} | fields
            self._append(self._log, json.dumps(line, default=str).encode("ascii") + b"\n")

    def sent(self, connection: int, send: Send | Raw) -> None:
        """One message to the client."""
        if self._log is not None:
            fields = {"message": readable(send)} if isinstance(send, Send) else {"raw": send.text}
            self.write(connection, "out", fields)

    def audio_name(self, connection: int) -> str | None:
        """The file with this connection's sound, if it is kept."""
        return f"{os.getpid()}-{connection:04}.s16le" if self._audio else None

    def received(self, connection: int, sound: Received) -> None:
        """Sound from the client."""
        name = self.audio_name(connection)
        if self._audio is None or name is None:
            return
        place = {"ns": time.monotonic_ns(), "first": sound.first, "samples": len(sound.pcm) // 2, "rate": sound.rate}
        for path, data in (
            (self._audio / name, sound.pcm),
            (self._audio / name.replace(".s16le", ".jsonl"), json.dumps(place).encode("ascii") + b"\n"),
        ):
            try:
                file = _open(path)
            except OSError as error:
                self._complain(error)
                continue
            try:
                self._append(file, data)
            finally:
                os.close(file)

    def close(self) -> None:
        """Nothing is written after this."""
        if self._log is not None:
            os.close(self._log)
            self._log = None

    def _append(self, file: int, data: bytes) -> None:
        if file == self._log and self._torn:
            data = b"\n" + data  # the line before was cut by a full disk
        try:
            written = os.write(file, data)
        except OSError as error:
            self._complain(error)
            return
        if file == self._log:
            self._torn = written < len(data)
        if written < len(data):
            self._complain(OSError("the disk is full"))

    def _complain(self, error: OSError) -> None:
        self.lost += 1
        if self.lost == 1:
            print(f"simulator: log: {error}; the conversation goes on without these lines", file=sys.stderr, flush=True)


def readable(send: Send) -> Message:
    """A message for the log."""
    if send.first is None:  # a script may send anything at all
        return send.message
    parts = send.message.get("serverContent", {}).get("modelTurn", {}).get("parts")
    if not parts:
        return send.message
    size = len(read_base64(parts[0]["inlineData"]["data"]))
    return {"serverContent": {"audio": {"bytes": size, "first": send.first, "last": send.first + size // 2 - 1}}}


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
