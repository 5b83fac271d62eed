"""The memory of a session on disk, so that `kill -9` costs the conversation nothing.

SQLite, few rows a turn, kind to SD cards: WAL with `synchronous=NORMAL` survives the death of the process at once; the
loss of power may cost the last turn, never the file. What cannot be read or written is said, and the conversation goes
on without it; from time to time it is tried again.

With `retention: visit` nothing of a visit outlives it: its rows are deleted and overwritten (`secure_delete`), and the
log, which still holds the pages as they were, is emptied into the file. What a flash disk keeps of blocks that were
overwritten is beyond a program's reach.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from pipeline.live import tables
from pipeline.live.memory import Memory
from pipeline.live.visit import days_of

FILE = "session.sqlite"
BUSY_S = 0.2
"""A dying predecessor may hold the file for a moment; the loop must not wait for longer."""
RETRY_S = 10.0
"""After a failure the file is left alone for so long."""
LOG_PAGES = 4_000
"""Pages of 4 kB in the log before it is emptied in mid-conversation; it is always emptied between visits."""
LARGEST_BYTES = 64_000_000
"""Of what visits leave behind with `retention: forever`; over it the oldest are deleted."""
ASIDE = 3
"""Files that could not be read are kept so many, the newest."""
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


class Store:
    """`FILE` in a directory. Never raises: `fault` says why it keeps nothing, and is empty while it does.

    `now`: local time for people and for `retention: Nd`; `clock`: seconds, for retries.
    """

    def __init__(
        self,
        folder: Path,
        retention: str = "visit",
        *,
        now: Callable[[], datetime] = datetime.now,
        clock: Callable[[], float] = time.monotonic,
        largest_bytes: int = LARGEST_BYTES,
    ) -> None:
        self.path = folder / FILE
        self.fault = ""
        self._days = days_of(retention)
        self._now, self._clock, self._largest_bytes = now, clock, largest_bytes
        self._file: sqlite3.Connection | None = None
        self._written = tables.Written()
        self._loaded = False
        """The memory in use is what this file held."""
        self._retry_at = self._busy_until = 0.0
        self._unclean = False
        """Words of a visit that is over may still be in the log."""

    def load(self) -> Memory:
        """What was kept; an empty memory if there is none. A file that cannot be read is moved aside."""
        try:
            memory = self._open()
        except sqlite3.OperationalError as error:  # locked, unwritable, full: the file itself may be good
            self._fail(error)
            return Memory()
        except (sqlite3.DatabaseError, ValueError, TypeError, KeyError, AttributeError) as error:
            memory = self._start_over(error)
        except OSError as error:
            self._fail(error)
            return Memory()
        self._loaded = True
        return memory

    def save(self, memory: Memory) -> None:
        """Keep it. A memory that is as before is not written."""
        if self._file is None and not self._reopened(memory):
            return
        if self._clock() < self._busy_until or not tables.differs(memory, self._written):
            return
        try:
            self._write(memory)
        except sqlite3.OperationalError as error:
            self._failed(error, memory)
        except sqlite3.DatabaseError as error:
            self._start_over(error)
            if self._file is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._write(memory)

    def tick(self, memory: Memory) -> None:
        """Time passes: what failed is tried again."""
        if (self._file is None or self._unclean or self.fault) and self._clock() >= self._retry_at:
            self.save(memory)
            if self._unclean:
                self._clean()

    def close(self) -> None:
        """Fold the log into the file."""
        if self._file is not None:
            with contextlib.suppress(sqlite3.Error):
                self._file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            with contextlib.suppress(sqlite3.Error):
                self._file.close()
            self._file = None

    # Opening

    def _open(self) -> Memory:
        """Raises OSError, sqlite3.Error, ValueError, TypeError, KeyError, AttributeError; then it is not open."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._file = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
        try:
            memory = self._begin(self._file)
        except BaseException:
            self._drop()
            raise
        self._clean()
        return memory

    def _begin(self, file: sqlite3.Connection) -> Memory:
        for setting in ("journal_mode=WAL", "synchronous=NORMAL", "secure_delete=ON"):
            file.execute(f"PRAGMA {setting}")
        file.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        file.execute("BEGIN IMMEDIATE")
        older = tables.create(file)
        if older is not None:
            tables.write(file, older, tables.Written(), self._stamp())
        memory, self._written = tables.read(file)
        lost = "UPDATE visits SET ended = ? WHERE ended IS NULL AND key IS NOT ?"
        file.execute(lost, (self._stamp(), self._written.visit))
        self._forget_visits(file)
        file.execute("COMMIT")
        return memory

    def _reopened(self, memory: Memory) -> bool:
        """The file can be used again, and goes on with the memory in use."""
        if self._clock() < self._retry_at:
            return False
        try:
            kept = self._open()
        except sqlite3.OperationalError as error:
            self._fail(error)
            return False
        except (sqlite3.DatabaseError, ValueError, TypeError, KeyError, AttributeError) as error:
            kept = self._start_over(error)
        except OSError as error:
            self._fail(error)
            return False
        if self._file is None:
            return False
        if not self._loaded:
            _merge(memory, kept)
            self._loaded = True
        self.fault = self.fault if self._unclean else ""
        self._written = tables.Written()
        tables.find_visit(self._file, memory.visit, self._written)
        return True

    def _start_over(self, error: Exception) -> Memory:
        self._drop()
        try:
            aside = self._set_aside()
            memory = self._open()
        except (OSError, sqlite3.Error, ValueError) as again:
            self._fail(again)
            return Memory()
        self.fault = f"{self.path} could not be read ({error}): it was moved to {aside.name}, a new one is in use"
        return memory

    def _set_aside(self) -> Path:
        names = self._asides()
        for older, newer in zip(reversed(names), [*reversed(names[:-1]), self.path], strict=True):
            if newer.exists():
                newer.replace(older)
        for tail in ("-wal", "-shm"):
            self.path.with_name(self.path.name + tail).unlink(missing_ok=True)
        return names[0]

    def _asides(self) -> list[Path]:
        """Names for files that could not be read, the newest first."""
        return [
            self.path.with_name(f"{FILE}.unreadable{tail}") for tail in ("", *(f".{n}" for n in range(2, ASIDE + 1)))
        ]

    # Writing

    def _write(self, memory: Memory) -> None:
        """Raises sqlite3.Error; then nothing was written."""
        file = self._file
        assert file is not None
        file.execute("BEGIN IMMEDIATE")
        try:
            written = tables.write(file, memory, self._written, self._stamp())
            over = self._written.visit is not None and written.visit != self._written.visit
            if over:
                self._forget_visits(file)
            file.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                file.execute("ROLLBACK")
            raise
        memory.used.clear()
        self._written, self.fault = written, ""
        if over:
            self._clean()
        if over and self._days == 0:
            for aside in self._asides():
                with contextlib.suppress(OSError):
                    aside.unlink(missing_ok=True)

    def _forget_visits(self, file: sqlite3.Connection) -> None:
        """Delete the visits that are over and not to be kept, in the transaction under way."""
        if self._days is None:
            visits = tables.ended_visits(file)
            while visits and tables.bytes_used(file) > self._largest_bytes:
                share = max(1, len(visits) // 10)
                tables.forget(file, visits[:share])
                del visits[:share]
            return
        before = None if self._days == 0 else (self._now() - timedelta(days=self._days)).isoformat(timespec="seconds")
        tables.forget(file, tables.ended_visits(file, before))

    def _clean(self) -> None:
        """Empty the log into the file."""
        self._unclean = True
        if self._file is None:
            return
        try:
            busy = self._file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.Error:
            busy = 1
        if busy:
            self._retry_at = self._clock() + RETRY_S
            if self._days == 0:
                words = "words of a visit that is over are still in its log; end the program that has it open"
                self.fault = f"{self.path} is in use elsewhere: {words}"
            return
        self._unclean = False

    # Failing

    def _failed(self, error: sqlite3.OperationalError, memory: Memory) -> None:
        """A write failed. What must be deleted and can't be, because no page is left to write, goes with the file."""
        code = getattr(error, "sqlite_errorcode", None)
        over = self._written.visit is not None and memory.visit != self._written.number
        if over and self._days == 0 and code not in _BUSY:
            self._drop()
            for tail in ("", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    self.path.with_name(self.path.name + tail).unlink(missing_ok=True)
            self._written = tables.Written()
        elif code not in _BUSY and code != sqlite3.SQLITE_FULL:
            self._drop()  # the file may have been replaced or its disk unplugged: it is opened anew
        self._fail(error)

    def _drop(self) -> None:
        if self._file is not None:
            with contextlib.suppress(sqlite3.Error):
                self._file.close()
            self._file = None

    def _fail(self, error: Exception) -> None:
        if getattr(error, "sqlite_errorcode", None) in _BUSY:
            self._busy_until = self._clock() + RETRY_S
        self._retry_at = self._clock() + RETRY_S
        self.fault = (
            f"{self.path} cannot be used ({error}): the conversation goes on, but a restart of this stage would "
            "forget it; check the disk and the permissions"
        )

    def _stamp(self) -> str:
        return self._now().isoformat(timespec="seconds")


def _merge(memory: Memory, kept: Memory) -> None:
    """The file was not there when the conversation began: what it says of money holds as well."""
    spent, before = memory.spent, kept.spent
    if before.day < spent.day:
        return
    if before.day > spent.day:
        spent.day, spent.day_usd, spent.day_unpriced = before.day, 0.0, 0
    spent.day_usd += before.day_usd
    spent.day_unpriced += before.day_unpriced
