"""What workers print, as log lines that cannot flood the log. Pure."""

from __future__ import annotations

LINES_A_S = 10
"""More are counted and not logged."""
LONGEST_LINE = 300
_NS = 1_000_000_000


class Noise:
    """The stdout and stderr of one worker."""

    def __init__(self) -> None:
        self._part = b""
        self._second = -1
        self._left = LINES_A_S
        self.dropped = 0
        """Lines that were not logged since the last ones that were."""

    def feed(self, data: bytes, now_ns: int) -> list[str]:
        """The lines to log."""
        if now_ns // _NS != self._second:
            self._second, self._left = now_ns // _NS, LINES_A_S
        kept = []
        rest = self._part + data
        while self._left and b"\n" in rest:
            line, _, rest = rest.partition(b"\n")
            if text := line[:LONGEST_LINE].decode("utf-8", "replace").rstrip():
                self._left -= 1
                kept.append(text if not self.dropped else f"{text} [{self.dropped} lines before it were dropped]")
                self.dropped = 0
        self.dropped += rest.count(b"\n")  # at once: a flood has thousands of lines, and each would cost a microsecond
        self._part = rest[rest.rfind(b"\n") + 1 :][:LONGEST_LINE]
        return kept

    def end(self) -> list[str]:
        """The last lines to log: it has ended."""
        rest = self._part.decode("utf-8", "replace").strip()
        dropped, self.dropped, self._part = self.dropped, 0, b""
        return ([rest] if rest else []) + ([f"[{dropped} lines after it were dropped]"] if dropped else [])
