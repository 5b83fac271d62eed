"""What went wrong and was it noticed: each fault once, from down to up, with its cause and what it cost. Pure but for
`Journal`, the file that outlives a reboot.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pipeline.config.service import STANDS_IN
from pipeline.states import DOWN, RESTS, STARTING_NS, UP

JUDGED_NS: Final = 60_000_000_000
"""So long after its end it is known whether the person was answered; then it is written, answered or not."""
NEWS_NS: Final = 60_000_000_000
"""What flaps is written when it begins, and again when it ends, once in so long; each time when it is judged."""
AGAIN_NS: Final = 5_000_000_000
"""Who speaks after so long a wait, while nothing of theirs is being answered, asks again: they were not answered."""
CAP_BYTES: Final = 256_000


@dataclass
class Incident:
    """One fault."""

    what: str
    """A stage, or `connection`."""
    cause: str
    began_s: float
    """Wall clock, as people look for it."""
    began_ns: int
    ended_ns: int | None = None
    lost_ms: float = 0.0
    """Of audio that nobody could replay."""
    answered: bool | None = None
    """Whether what was said around it was answered; None: nobody spoke."""
    asked_again: bool = False
    """They had to: no later answer is one to what was said around it."""
    written: Literal["", "begun", "ended"] = ""
    """How far the journal knows of it."""

    def record(self) -> dict[str, Any]:
        """A line of the journal."""
        seconds = None if self.ended_ns is None else round((self.ended_ns - self.began_ns) / 1e9, 3)
        fields = {"at": round(self.began_s, 3), "what": self.what, "cause": self.cause[:300], "seconds": seconds}
        return {**fields, "lost_ms": round(self.lost_ms), "answered": self.answered}


def key(record: Mapping[str, Any]) -> tuple[str, str]:
    """Which incident a record is of."""
    return str(record.get("at")), str(record.get("what"))


class Incidents:
    """Pairs what goes down with what comes up again."""

    def __init__(self) -> None:
        self._open: dict[str, Incident] = {}
        self._ended: list[Incident] = []
        self._was_up: set[str] = set()
        self._written_ns: dict[str, int] = {}
        self._asking = False
        """Somebody has spoken and was not answered yet."""
        self._spoke_ns = 0
        """When speech began or ended last."""
        self._turn: object = None
        """The one that has begun and not ended; it is as good as a promise."""

    def stage(self, now_ns: int, wall_s: float, name: str, state: str, reason: str) -> None:
        """How a stage is, each change."""
        if state in DOWN and not reason.startswith(STANDS_IN):
            self._down(now_ns, wall_s, name, reason)
        elif state in UP or reason.startswith(STANDS_IN):
            self._up(now_ns, name)

    def fault(self, now_ns: int, wall_s: float, what: str, cause: str) -> None:
        """One of neither a stage nor the connection."""
        self._was_up.add(what)
        self._down(now_ns, wall_s, what, cause)

    def event(self, now_ns: int, wall_s: float, name: str, body: Mapping[str, Any]) -> None:
        """An event of a stage; those that say nothing here are ignored."""
        if name == "connection":
            if body.get("up"):
                self._up(now_ns, name)
            elif str(body.get("reason", "")) not in RESTS:
                self._down(now_ns, wall_s, name, str(body.get("reason", "")))
        elif name == "replayed":
            lost_ms = body.get("lost_ms")
            if isinstance(lost_ms, int | float) and lost_ms > 0 and (near := self._recent(now_ns)):
                # what a reader asks for from before anybody listened was never there to be lost
                near[-1].lost_ms += min(lost_ms, (now_ns - near[-1].began_ns) / 1e6)
        else:
            self._talk(now_ns, name, body)

    def _talk(self, now_ns: int, name: str, body: Mapping[str, Any]) -> None:
        if name == "speech_started":
            again = self._asking and self._turn is None and now_ns - self._spoke_ns > AGAIN_NS
            for incident in self._recent(now_ns):
                incident.asked_again |= again and incident.answered is False
                incident.answered = bool(incident.answered)
            self._asking, self._spoke_ns = True, now_ns
        elif name == "speech_ended":
            self._spoke_ns = now_ns
        elif name == "turn_started":
            self._turn = body.get("turn")
        elif name == "turn_ended":
            self._turn = None
            if body.get("outcome") == "answered":
                self._asking = False
                for incident in self._recent(now_ns):
                    incident.answered = None if incident.answered is None else not incident.asked_again

    def finished(self, now_ns: int) -> list[dict[str, Any]]:
        """Records of those that are over and judged; each is given once."""
        ready = [
            one for one in self._ended
            if one.answered or (one.ended_ns is not None and now_ns - one.ended_ns > JUDGED_NS)
        ]  # fmt: skip
        self._ended = [one for one in self._ended if one not in ready]
        return [one.record() for one in ready]

    def news(self, now_ns: int) -> list[dict[str, Any]]:
        """Records of those that have begun or ended and are not judged yet, each time once: who is killed, or has no
        power any more, writes nothing.
        """
        due = []
        for one in (*self._ended, *self._open.values()):
            if self._is_news(one, now_ns):
                one.written = "begun" if one.ended_ns is None else "ended"
                self._written_ns[one.what] = now_ns
                due.append(one.record())
        return due

    def unfinished(self) -> list[dict[str, Any]]:
        """Records of those that are under way or not judged yet: for `status`, and for the journal at the end."""
        return [one.record() for one in (*self._ended, *self._open.values())]

    def _is_news(self, one: Incident, now_ns: int) -> bool:
        if one.written:
            return one.written == "begun" and one.ended_ns is not None
        if one.what not in self._was_up and now_ns - one.began_ns < STARTING_NS:
            return False
        written_ns = self._written_ns.get(one.what)
        return written_ns is None or now_ns - written_ns > NEWS_NS

    def _down(self, now_ns: int, wall_s: float, what: str, cause: str) -> None:
        if what not in self._open:
            self._open[what] = Incident(what, cause, wall_s, now_ns, answered=False if self._asking else None)

    def _up(self, now_ns: int, what: str) -> None:
        first = what not in self._was_up
        self._was_up.add(what)
        if (incident := self._open.pop(what, None)) is None:
            return
        if not (first and now_ns - incident.began_ns < STARTING_NS):
            incident.ended_ns = now_ns
            self._ended.append(incident)

    def _recent(self, now_ns: int) -> list[Incident]:
        return [*(one for one in self._ended if now_ns - (one.ended_ns or 0) < JUDGED_NS), *self._open.values()]


class Journal:
    """Incidents in a file, the newest CAP_BYTES of them. A disk that takes nothing costs the lines, and is counted."""

    def __init__(self, path: Path, cap_bytes: int = CAP_BYTES) -> None:
        self.path, self._cap_bytes = path, cap_bytes
        self.lost = 0

    def write(self, records: list[dict[str, Any]]) -> None:
        """Append; when the file is full, its older half goes."""
        if not records:
            return
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        try:
            with suppress(FileNotFoundError):
                if self.path.stat().st_size + len(lines.encode()) > self._cap_bytes:
                    self._halve()
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "a", encoding="utf-8") as out:
                out.write(lines)
        except OSError:
            self.lost += len(records)

    def read(self) -> list[dict[str, Any]]:
        """Every incident as it was written last, oldest first; [] if there is none."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        with suppress(OSError):
            for line in self.path.read_text("utf-8", "replace").splitlines():
                with suppress(ValueError):
                    record = json.loads(line)
                    if isinstance(record, dict):
                        found[key(record)] = record
        return list(found.values())

    def _halve(self) -> None:
        lines = self.path.read_bytes().splitlines(keepends=True)
        part = self.path.with_suffix(".part")
        part.write_bytes(b"".join(lines[len(lines) // 2 :]))
        part.replace(self.path)
