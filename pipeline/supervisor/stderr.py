"""What stages say on stderr: read slowly, said once, kept for the crash report. Pure; times are seconds.

PortAudio in its infinite loop prints a million lines a second. Read at a bounded pace, its own full pipe slows it down;
read freely, it costs half a core and fills the disk.
"""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

BYTES_A_TURN = 32_768
TURN_S = 0.1
"""At most BYTES_A_TURN are read of a stage in each TURN_S: 320 kB/s, far above any honest log."""
LINE_BYTES = 4_000
"""A longer line is cut: a program that writes no line ends must not fill our memory."""
BURST_LINES = 80
"""A traceback and a dump of all threads pass whole."""
LINES_A_S = 20.0
TAIL_LINES = 50
REPEAT_S = 1.0
"""A line seen within this long is counted instead of said; the count is said when it is over."""
REMEMBERED = 64
"""Different lines whose repeats are counted at one time."""


@dataclass(frozen=True)
class Said:
    """Something to log."""

    event: str
    level: str = "info"
    fields: dict[str, Any] = field(default_factory=dict)


class Voice:
    """The stderr of one process as it becomes log events."""

    def __init__(self) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        """The last lines, each run of equal ones as one."""
        self._rest = b""
        self._recent: OrderedDict[bytes, list[float]] = OrderedDict()  # line -> [first seen, repeats]
        self._tokens, self._filled = float(BURST_LINES), 0.0
        self._dropped = 0
        self._dropped_since = 0.0

    def feed(self, data: bytes, now: float) -> list[Said]:
        """Take what was read; returns what is worth saying."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        said = self.settle(now)
        for line in lines:
            if line := line.rstrip()[:LINE_BYTES]:
                said += self._line(line, now)
        return said

    def close(self, now: float) -> list[Said]:
        """The process has ended: the line without an end, and all counts."""
        said = self.feed(b"\n", now) if self._rest else []
        return said + self.settle(now, all_of_it=True)

    def settle(self, now: float, *, all_of_it: bool = False) -> list[Said]:
        """Counts of what was repeated or dropped, as far as their time is over."""
        said = []
        while self._recent:
            line, (first, repeats) = next(iter(self._recent.items()))
            if not all_of_it and now - first < REPEAT_S:
                break
            del self._recent[line]
            if repeats:
                said.append(Said("stage repeated itself", fields={"line": _text(line), "times": int(repeats)}))
        if self._dropped and (all_of_it or now - self._dropped_since >= REPEAT_S):
            said.append(Said("stage says too much", "warning", {"lines_dropped": self._dropped}))
            self._dropped = 0
        return said

    def _line(self, line: bytes, now: float) -> list[Said]:
        known = self._recent.get(line)
        if known is not None:
            known[1] += 1
            return []
        if len(self._recent) < REMEMBERED:
            self._recent[line] = [now, 0]
        text = _text(line)
        self.tail.append(text)
        self._tokens = min(float(BURST_LINES), self._tokens + (now - self._filled) * LINES_A_S)
        self._filled = now
        if self._tokens < 1:
            self._dropped_since = self._dropped_since if self._dropped else now
            self._dropped += 1
            return []
        self._tokens -= 1
        return [as_event(text)]


def as_event(text: str) -> Said:
    """A JSON line of our log as the event it was, anything else as `stage said`."""
    if text.startswith("{"):
        try:
            fields = json.loads(text)
        except ValueError:
            fields = None
        if isinstance(fields, dict) and isinstance(fields.get("event"), str):
            level = str(fields.pop("level", "info"))
            return Said(fields.pop("event"), level, fields)
    return Said("stage said", fields={"line": text})


def _text(line: bytes) -> str:
    return line.decode(errors="replace")
