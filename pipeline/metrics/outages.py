"""Lines that were down and stages that were restarted or degraded, each as a span from down to up. Pure."""

from __future__ import annotations

from typing import Any, Final

from pipeline.config.service import STANDS_IN
from pipeline.metrics.spans import Span
from pipeline.states import DOWN, RESTS, STARTING_NS, UP

ENDED_NS: Final = 5_000_000_000
"""So long after its end an outage waits for a turn to say that it was hit: the question that could not be asked."""
MOST: Final = 32
"""Under way, and waiting; beyond that the oldest is forgotten."""
LINE: Final = "connection"


class Outages:
    """Those under way, and those whose turn is not known yet."""

    def __init__(self) -> None:
        self._open: dict[str, Span] = {}
        self._ended: list[Span] = []
        self._up = False
        self.forgotten = 0
        self._line_of = "session"
        """The stage that has the line: its own `degraded` says the same a second time."""

    def connection(self, now_ns: int, src: str, *, up: bool, reason: str, kind: str, attempt: int) -> None:
        """`event.connection` of `src`."""
        self._line_of = src
        if up:
            span = self._end(LINE, now_ns)
            if span is not None and not self._up and span.end_ns - span.start_ns < STARTING_NS:
                self._ended.remove(span)
            self._up = True
        elif reason in RESTS:
            self._end(LINE, now_ns)
        else:
            span = self._begin(LINE, "reconnect", now_ns, kind or "unknown", reason)
            span.mark(now_ns, "attempt", attempt=attempt, reason=reason)

    def stage(self, now_ns: int, stage: str, state: str, reason: str) -> None:
        """`event.stage` of the supervisor."""
        stands_in = reason.startswith(STANDS_IN)
        if state in UP or stands_in or (state == "degraded" and stage == self._line_of):
            self._end(stage, now_ns)
        elif state in DOWN:
            name = "restart" if state == "restarting" else state
            span = self._begin(stage, f"{name} {stage}", now_ns, state, reason)
            span.said(stage=stage)
            if not span.events or span.events[-1][1] != state:
                span.mark(now_ns, state, reason=reason)

    def hit(self, start_ns: int, end_ns: int) -> list[Span]:
        """Those that ended and fell into these times: they belong to whoever asks."""
        mine = [span for span in self._ended if span.start_ns <= end_ns and span.end_ns >= start_ns]
        self._ended = [span for span in self._ended if span not in mine]
        return mine

    def stray(self, now_ns: int) -> list[Span]:
        """Those that no turn has claimed in time."""
        gone = [span for span in self._ended if now_ns - span.end_ns > ENDED_NS]
        self._ended = [span for span in self._ended if span not in gone]
        return gone

    def close(self, now_ns: int) -> list[Span]:
        """All of them: those under way end here."""
        for name in list(self._open):
            self._end(name, now_ns)
        ended, self._ended = self._ended, []
        return ended

    def _begin(self, key: str, name: str, now_ns: int, kind: str, reason: str) -> Span:
        if key not in self._open:
            if len(self._open) >= MOST:
                self._end(next(iter(self._open)), now_ns)
            attributes: dict[str, Any] = {"error.type": kind}
            self._open[key] = Span(name, now_ns, now_ns, attributes, error=reason[:300] or kind)
        return self._open[key]

    def _end(self, key: str, now_ns: int) -> Span | None:
        span = self._open.pop(key, None)
        if span is not None:
            span.end_ns = max(span.start_ns, now_ns)
            self.forgotten += len(self._ended) >= MOST
            self._ended = [*self._ended[-MOST + 1 :], span]
        return span
