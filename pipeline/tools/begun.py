"""Which calls have been begun and not answered, in the run directory: what a stage that was killed leaves to its next.

A call that stands there may have been done, in part or whole; one that does not was never begun.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

FILE = "tools.begun"
MOST = 64
"""Ids; the oldest goes first."""


class Begun:
    """The ids, each written before what it speaks of happens. A disk that is full costs only the knowledge."""

    def __init__(self, run_dir: Path, *, fresh: bool) -> None:
        """`fresh`: this pipeline has begun nothing yet; what lies there is of an earlier one."""
        self._path = run_dir / FILE
        self._ids: dict[str, None] = {}
        if not fresh:
            with contextlib.suppress(OSError, ValueError, TypeError):
                self._ids = dict.fromkeys(map(str, json.loads(self._path.read_text())))
        self.before = frozenset(self._ids)
        """What was found at the start."""

    def add(self, call_id: str) -> None:
        """It is about to be run."""
        self._ids[call_id] = None
        if len(self._ids) > MOST:
            del self._ids[next(iter(self._ids))]
        self._write()

    def discard(self, call_id: str) -> None:
        """It was answered, or nobody waits for it."""
        if call_id in self._ids:
            del self._ids[call_id]
            self._write()

    def _write(self) -> None:
        part = self._path.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            part.write_text(json.dumps(list(self._ids)))
            part.replace(self._path)
