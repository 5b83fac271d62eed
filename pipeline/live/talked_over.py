"""Whether the machine began to speak while the person still did: what tuning the end of a turn needs to know."""

from __future__ import annotations

from pipeline.live.effects import Effect, Tell

LEAST_MS = 100
"""Less is within what a voice detection knows, and nobody notices."""
_MS = 1_000_000


class TalkedOver:
    """The newest answer that began over speech; told when that speech ends. Times are ns of the audio's clock."""

    def __init__(self) -> None:
        self._turn: int | None = None
        self._place = (0, 0)
        self._began_ns = 0

    def answer_begins(self, now_ns: int, turn: int, epoch: int, at: int, *, hears_person: bool) -> None:
        """The first sound of an answer goes to `at` of `epoch`. `hears_person`: speech is under way."""
        self._turn = turn if hears_person else None
        self._place, self._began_ns = (epoch, at), now_ns

    def audible(self, t: int, epoch: int, at: int) -> None:
        """Playback: after silence, what lies at `at` of `epoch` is at the speaker since `t`."""
        if (epoch, at) >= self._place and self._place[0] == epoch:
            self._began_ns = max(self._began_ns, t)

    def speech_ended(self, t: int) -> list[Effect]:
        """The speech ended at `t`."""
        turn, self._turn = self._turn, None
        over_ms = (t - self._began_ns) // _MS
        if turn is None or over_ms < LEAST_MS:
            return []
        return [Tell("talked_over", {"turn": turn, "ms": over_ms}, log=True)]

    def speech_lost(self) -> None:
        """Nobody will say when it ended."""
        self._turn = None
