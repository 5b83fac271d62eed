"""The line that is up: when it is closed because nobody needs it, and when it is changed for a fresh one."""

from __future__ import annotations

from pipeline.live.calls import Calls
from pipeline.live.effects import Dial, Effect, HangUp, Note, Renew
from pipeline.live.functions import Functions
from pipeline.live.lifetime import CAPPED, Lifetime, Moment
from pipeline.live.liveness import Liveness
from pipeline.live.parts import Parts
from pipeline.live.want import Want

LOUD, LOUD_BLOCKS = 1_600, 5
"""Peaks of -26 dBFS in so many blocks in a row: somebody may speak."""


class Tending:
    """Looks after one line after the other. `resumes`: a session goes on by its handle."""

    def __init__(
        self, parts: Parts, calls: Calls, functions: Functions, *, idle_s: float, lifetime_s: float, resumes: bool
    ) -> None:
        self._parts, self._calls, self._functions, self._resumes = parts, calls, functions, resumes
        self.want = Want(idle_s)
        self._lifetime = Lifetime(lifetime_s)
        self._liveness = Liveness()
        self.up = False
        self._loud = 0

    @property
    def owed(self) -> bool:
        """Somebody speaks, or waits for an answer."""
        return self._parts.turns.open or not self._parts.uplink.quiet

    def needed(self, now_ns: int) -> list[Effect]:
        """Somebody is here who needs a line."""
        self.want.needed(now_ns)
        return [] if self.up else [Dial()]

    def line_up(self, now_ns: int) -> None:
        """A line is set up."""
        self.up = True
        self.want.line_up(now_ns)
        self._lifetime.line_up(now_ns)
        self._liveness.sign(now_ns)
        self._functions.line_up()
        self._parts.turns.touch(now_ns)

    def line_down(self, now_ns: int, *, by_service: bool) -> list[Effect]:
        """It is no more. `by_service`: it was closed there."""
        self.up = False
        if not self._lifetime.line_down(now_ns, by_service=by_service):
            return []
        return [
            Note("lines live shorter than they should", {"lifetime_s": round(self._lifetime.lifetime_s)}, "warning")
        ]

    def sign(self, now_ns: int) -> None:
        """The service has said something."""
        self._liveness.sign(now_ns)

    def cap(self, now_ns: int, capped_s: float) -> None:
        """The line lives for `capped_s` only, for what it carries."""
        self._lifetime.cap(now_ns, capped_s)

    def sound(self, now_ns: int, pcm: bytes) -> list[Effect]:
        """A block of voice came. Where no frontend says when somebody speaks, a sleeping line is opened by loudness."""
        if self.want.reason != "idle" or self._parts.uplink.hears_speech:
            self._loud = 0
            return []
        self._loud = self._loud + 1 if max(memoryview(pcm).cast("h"), default=0) > LOUD else 0
        return self.needed(now_ns) if self._loud >= LOUD_BLOCKS else []

    def go_away(self, now_ns: int, left_s: float) -> None:
        """The service ends the line in `left_s`."""
        self._lifetime.go_away(now_ns, left_s)

    def tick(self, now_ns: int) -> list[Effect]:
        """Time passes."""
        if not self.up:
            return []
        parts = self._parts
        playing = parts.downlink.playing(now_ns) or parts.interruption.open
        busy = self.owed or self._calls.open
        if self.want.tick(now_ns, busy=busy or playing):
            return [HangUp()]
        if self._liveness.dead(now_ns, self._due()):
            return [Renew(self._fallen_silent())]
        heard = not busy and not playing
        resumable = not self._resumes or parts.resumption.handle is not None
        if why := self._lifetime.roll(now_ns, Moment(self._received, heard, resumable)):
            if why == CAPPED:
                parts.memory.forget_handle()  # a fresh session, seeded, has its time before it
            return [Renew(why)]
        return [Renew("the functions have changed")] if heard and self._functions.outdated else []

    @property
    def _received(self) -> bool:
        """Nobody speaks, no function runs, and all of the answer is here: of it only the playing is left."""
        parts = self._parts
        turn = parts.turns.turn
        whole = not parts.turns.open or (turn is not None and turn.generated and not parts.turns.waiting)
        return whole and parts.uplink.quiet and not self._calls.open

    def _fallen_silent(self) -> str:
        """A line that is dead is resumed. A session that has heard the question, as its transcript shows, and says
        nothing to it will go on to say nothing: a fresh one, seeded, is given the question."""
        parts, turn = self._parts, self._parts.turns.turn
        if turn is None or turn.kind != "speech" or not parts.transcript.words_of(turn.id)[0]:
            return "the service says nothing to what it was asked"
        parts.memory.forget_handle()
        return "the service hears and says nothing"

    def _due(self) -> int | None:
        """The turn whose answer, or the rest of it, should be coming now."""
        turn = self._parts.turns.turn
        if turn is None or not turn.asked or turn.speech_open or turn.generated or turn.tools or self._calls.open:
            return None
        return turn.id if self._parts.uplink.abreast else None
