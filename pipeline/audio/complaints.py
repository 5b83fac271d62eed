"""When a person talks to a machine that can't answer: what it says by itself. Pure.

Decided where the sound is made, because whoever could decide it better may be what is dead.
"""

from __future__ import annotations

_NS = 1_000_000_000

AT_WORK = ("live", "waiting", "muted", "degraded", "ended")
"""States of a session that runs, whatever it says of its line."""
MEANT = ("idle", "capped", "untriggered")
"""Reasons of a closed line that is no failure: it is opened again for whoever speaks, or that is said already."""


class Complaints:
    """`offline`: the line is down. `error`: the session itself is. Either for a while, and somebody has just spoken."""

    PATIENCE_NS = 10 * _NS
    """Who spoke longer ago than this does not wait for an answer any more."""
    LONG_NS = 3 * _NS
    """A sentence under way that takes so long is complained into: in a noisy hall it may never end."""

    def __init__(self, after_s: float) -> None:
        """Failures that last less than `after_s` are mended before anybody notices."""
        self._after_ns = int(after_s * 1e9)
        self._line_down: int | None = None
        self._session_down: int | None = None
        self._reason = ""
        self._began: int | None = None
        self._spoke: int | None = None

    def connection(self, up: bool, reason: str, now_ns: int) -> None:
        """The session says how its line is."""
        if up or reason in MEANT:
            self._line_down = None
        else:
            self._line_down = now_ns if self._line_down is None else self._line_down
            self._reason = reason

    def session(self, state: str, now_ns: int) -> None:
        """The supervisor says how the session is."""
        if state in AT_WORK:
            self._session_down = None
        else:
            self._session_down = now_ns if self._session_down is None else self._session_down
            self._line_down = None  # what it said of its line no longer holds

    def speech_started(self, now_ns: int) -> None:
        """A person begins to speak."""
        self._began = now_ns

    def speech_ended(self, now_ns: int) -> None:
        """And ends."""
        self._began, self._spoke = None, now_ns

    def answered(self) -> None:
        """They were answered."""
        self._spoke = None

    def due(self, now_ns: int) -> tuple[str, str] | None:
        """(prompt, cause) that must be said now; once for each time that somebody speaks."""
        if self._began is not None and now_ns - self._began > self.LONG_NS:
            self._began, self._spoke = None, now_ns
        if self._spoke is None:
            return None
        if now_ns - self._spoke > self.PATIENCE_NS:
            self._spoke = None
            return None
        for name, since in (("error", self._session_down), ("offline", self._line_down)):
            if since is not None and now_ns - since >= self._after_ns:
                self._spoke = None
                return name, name
        return None
