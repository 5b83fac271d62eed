"""An answer that was interrupted, until it is known what was heard of it: only then is it told."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.live.effects import Effect, Save, Tell
from pipeline.live.transcript import Transcript
from pipeline.live.turns import Turn

SETTLE_S = 0.2
"""Playback reports at a flush where it cut; without such a report the interruption is told after so long."""
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Cut:
    turn: int
    epoch: int
    by: str
    after_ms: int
    due_ns: int


class Interruption:
    """The newest one. An older one that is still open is told first."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._cut: _Cut | None = None

    @property
    def open(self) -> bool:
        """One is still to be told."""
        return self._cut is not None

    def begin(self, now_ns: int, turn: Turn, epoch: int, by: str = "server") -> list[Effect]:
        """The answer of `turn`, said in `epoch`, was cut: by the service (`server`) or here (`local`)."""
        effects = self.settle()
        after_ms = (now_ns - (turn.spoke_ns or turn.began_ns)) // 1_000_000
        self._cut = _Cut(turn.id, epoch, by, after_ms, now_ns + int(SETTLE_S * _NS))
        return effects

    def heard(self, epoch: int) -> list[Effect]:
        """Playback has reported of `epoch`: of the one that was cut, or already of a later one."""
        return self.settle() if self._cut is not None and epoch >= self._cut.epoch else []

    def tick(self, now_ns: int) -> list[Effect]:
        """Time passes."""
        return self.settle() if self._cut is not None and now_ns >= self._cut.due_ns else []

    def settle(self) -> list[Effect]:
        """Tell it now."""
        cut, self._cut = self._cut, None
        if cut is None:
            return []
        heard = self._transcript.heard_text(cut.turn)
        body = {"by": cut.by, "turn": cut.turn, "after_ms": cut.after_ms, "heard_text": heard}
        return [Tell("interrupted", body, log=True), *self._transcript.final(cut.turn), Save()]
