"""Whether a line is wanted. It is paid for by the minute, so one that nobody needs is closed; the visit lives on."""

from __future__ import annotations

from typing import Literal

PROOF_S = 2.0
"""A line lives at least so long: it came up late, after an outage or at the start, and shows that key and network are
good."""
_NS = 1_000_000_000

Reason = Literal["idle", "capped", "untriggered"]


class Want:
    """`idle_s`: without speech, playback, tool or text for so long nobody needs the line; 0: it is always wanted."""

    def __init__(self, idle_s: float) -> None:
        self._idle_s = idle_s
        self._idle = False
        self._held: Reason | None = None
        self.shut = False
        """Nobody has opened it yet who may."""
        self.needed_ns = 0
        """When somebody needed a line last, whether or not one was up: they spoke, typed or came."""
        self._keep_until_ns = 0

    @property
    def reason(self) -> Reason | None:
        """Why no line is wanted; None if one is."""
        return self._held or ("untriggered" if self.shut else "idle" if self._idle else None)

    def needed(self, now_ns: int) -> bool:
        """Somebody needs a line. True if none was wanted before, and now one is."""
        slept, self._idle = self._idle, False
        self.needed_ns = now_ns
        self._keep(now_ns, self._idle_s)
        return slept and self.reason is None

    def line_up(self, now_ns: int) -> None:
        """There is a line."""
        self._keep(now_ns, PROOF_S)

    def tick(self, now_ns: int, *, busy: bool) -> bool:
        """Time passes on a line that is up. True once when it is to be closed. `busy`: something is under way."""
        if busy:
            self._keep(now_ns, self._idle_s)
        if self._idle or not self._idle_s or now_ns < self._keep_until_ns:
            return False
        self._idle = True
        return True

    def hold(self, reason: Reason) -> None:
        """Have no line, whoever needs one."""
        self._held = reason

    def release(self) -> None:
        """Lines may be had again, by whoever needs one next."""
        self._held, self._idle = None, self._idle_s > 0

    def _keep(self, now_ns: int, seconds: float) -> None:
        self._keep_until_ns = max(self._keep_until_ns, now_ns + int(seconds * _NS))
