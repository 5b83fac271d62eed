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
        *lines, part = (self._part + data).split(b"\n")
        self._part = part[:LONGEST_LINE]
        kept = []
        for line in lines:
            text = line[:LONGEST_LINE].decode("utf-8", "replace").rstrip()
            if not text:
                continue
            if self._left == 0:
                self.dropped += 1
                continue
            self._left -= 1
            kept.append(text if not self.dropped else f"{text} [{self.dropped} lines before it were dropped]")
            self.dropped = 0
        return kept

    def end(self) -> list[str]:
        """The last lines to log: it has ended."""
        rest = self._part.decode("utf-8", "replace").strip()
        dropped, self.dropped, self._part = self.dropped, 0, b""
        return ([rest] if rest else []) + ([f"[{dropped} lines after it were dropped]"] if dropped else [])
