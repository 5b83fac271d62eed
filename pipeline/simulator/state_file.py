"""Sessions and handles on disk, so that a server that is started again knows its clients.

One JSON line a handle, appended when it is issued: a killed server has lost nothing, and a torn last line is passed
over. Times are wall-clock seconds, because the monotonic clock of another boot means nothing.
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.simulator.memory import HANDLES_KEPT, Handles, Memory, Said, Session

VERSION = 1


class StateFile:
    """Brings `handles` back from `path` and keeps them there. Raises OSError if that cannot be written."""

    def __init__(self, path: Path, handles: Handles) -> None:
        self._path = path
        self._handles = handles
        self._lines = 0
        self.last_session = 0
        """The highest number of a session known."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._load()
        self._rewrite()
        handles.on_change = self._keep

    def _load(self) -> None:
        sessions: dict[int, Session] = {}
        now_ns, now_s = time.monotonic_ns(), time.time()
        for record in self._records():
            session = sessions.setdefault(int(record["session"]), Session(int(record["session"]), open=False))
            session.wedged, session.saw_images = record["wedged"], record["saw_images"]
            session.lived_ns, session.ended = record["lived_ns"], record["ended"]
            memory = Memory(
                tuple(Said(who, text) for who, text in record["said"]),
                record["turns"],
                record["spoken_at"],
                Counter(record["tokens"]),
            )
            issued_ns = now_ns - round((now_s - record["issued_at"]) * 1e9)
            self._handles.restore(record["handle"], session, memory, issued_ns)
        self.last_session = max(sessions, default=0)

    def _records(self) -> Iterator[dict[str, Any]]:
        try:
            text = self._path.read_text("utf-8", "replace")
        except FileNotFoundError:
            return
        for line in text.splitlines():
            try:
                record = json.loads(line)
                if record["version"] == VERSION:
                    yield record
            except (ValueError, KeyError, TypeError):
                print(f"simulator: {self._path}: a line that is no handle is passed over", file=sys.stderr)

    def _keep(self, handle: str | None) -> None:
        """`handle` was issued; None: more has changed than that."""
        self._lines += 1
        try:
            if handle is None or self._lines > 2 * HANDLES_KEPT:
                self._rewrite()
                return
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(self._line(handle))
        except OSError as error:
            print(f"simulator: {self._path}: {error.strerror}; the next start will not know this", file=sys.stderr)

    def _rewrite(self) -> None:
        new = self._path.with_suffix(".new")
        lines = [self._line(handle) for handle in self._handles.known]
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.writelines(lines)
        new.replace(self._path)
        self._lines = len(lines)

    def _line(self, handle: str) -> str:
        session, memory, issued_ns = self._handles.known[handle]
        record = {
            "version": VERSION,
            "handle": handle,
            "issued_at": time.time() - (time.monotonic_ns() - issued_ns) / 1e9,
            "session": session.number,
            "wedged": session.wedged,
            "saw_images": session.saw_images,
            "lived_ns": session.lived_ns,
            "ended": session.ended,
            "turns": memory.turns,
            "spoken_at": memory.spoken_at,
            "tokens": memory.tokens,
            "said": [(said.who, said.text) for said in memory.said],
        }
        return json.dumps(record) + "\n"
