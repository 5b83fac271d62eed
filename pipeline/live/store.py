"""The memory of a session on disk, so that `kill -9` costs the conversation nothing.

One row of JSON in SQLite: a write is atomic, and a few hundred bytes at each turn boundary are kind to SD cards. WAL
with `synchronous=NORMAL` survives the death of the process at once; the loss of power may cost the last turn, never the
file. What cannot be read or written is said, and the conversation goes on without it.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pipeline.live.memory import Memory, OpenTurn, Said

VERSION = 1
FILE = "session.sqlite"
BUSY_S = 0.2
"""A dying predecessor may hold the file for a moment; the loop must not wait for longer."""


class Store:
    """`FILE` in a directory. Never raises: `fault` says why it keeps nothing, and is empty while it does."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.fault = ""
        self._file: sqlite3.Connection | None = None
        self._saved = ""

    def load(self) -> Memory:
        """What was kept; an empty memory if there is none. A file that cannot be read is moved aside."""
        try:
            return self._load()
        except (sqlite3.DatabaseError, ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, unwritable, full: the file itself may be good
                self._fail(error)
                return Memory()
            return self._start_over(error)
        except OSError as error:
            self._fail(error)
            return Memory()

    def save(self, memory: Memory) -> None:
        """Keep it. A memory that is as before is not written."""
        text = json.dumps(asdict(memory))
        if self._file is None or text == self._saved:
            return
        try:
            self._file.execute("INSERT OR REPLACE INTO memory VALUES (1, ?, ?)", (VERSION, text))
        except sqlite3.Error as error:
            self._fail(error)
        else:
            self._saved, self.fault = text, ""

    def close(self) -> None:
        """Fold the log into the file."""
        if self._file is not None:
            with contextlib.suppress(sqlite3.Error):
                self._file.close()
            self._file = None

    def _load(self) -> Memory:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute("PRAGMA synchronous=NORMAL")
        self._file.execute("PRAGMA secure_delete=ON")  # a visitor's words must not stay in free pages
        self._file.execute("CREATE TABLE IF NOT EXISTS memory (one INTEGER PRIMARY KEY, version INTEGER, json TEXT)")
        row = self._file.execute("SELECT version, json FROM memory").fetchone()
        if row is None:
            return Memory()
        if row[0] != VERSION:
            raise ValueError(f"version {row[0]}, this program writes {VERSION}")
        return _memory(json.loads(row[1]))

    def _start_over(self, error: Exception) -> Memory:
        self.close()
        aside = self.path.with_name(self.path.name + ".unreadable")
        try:
            self.path.replace(aside)
            for tail in ("-wal", "-shm"):
                self.path.with_name(self.path.name + tail).unlink(missing_ok=True)
            memory = self._load()
        except (OSError, sqlite3.Error, ValueError) as again:
            self._fail(again)
            return Memory()
        self.fault = f"{self.path} could not be read ({error}): it was moved to {aside.name}, a new one is in use"
        return memory

    def _fail(self, error: Exception) -> None:
        self.fault = (
            f"{self.path} cannot be used ({error}): the conversation goes on, but a restart of this stage would "
            "forget it; check the disk and the permissions"
        )


def _memory(kept: dict[str, Any]) -> Memory:
    """Unknown keys are ignored: an older version reads what a newer one wrote."""
    known = {field.name for field in fields(Memory)}
    values = {key: value for key, value in kept.items() if key in known}
    values["transcript"] = [Said(entry["turn"], entry["who"], entry["text"]) for entry in kept.get("transcript", ())]
    if values.get("open_turn") is not None:
        values["open_turn"] = OpenTurn(**values["open_turn"])
    return Memory(**values)
