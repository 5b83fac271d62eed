"""When a line that cannot live for ever is changed for a fresh one: in a gap if there is one in time.

The service ends a connection after about ten minutes. Mostly it says so before (goAway), and then its word holds; but
not always, so our own clock runs too, and a lifetime that turns out to be shorter is learned.
"""

from __future__ import annotations

from dataclasses import dataclass

SEARCH_S = 60.0
"""So long before our own clock runs out, a gap is looked for."""
LATE_S = 5.0
"""In the last seconds a gap will do in which all was received, though not all was heard yet: what plays, plays on."""
MARGIN_S = 1.0
"""Before the line ends, end it: a roll takes less, and nothing is under way on a line that we close."""
HANDLE_S = 3.0
"""A gap waits so long for a handle that knows of the last turn: the service gives it shortly after."""
CAPPED = "what it carries ends a session soon"
"""Why a line is changed whose session must not be resumed: its time runs over all its connections."""
CAPPED_LATE_S = 15.0
"""A line whose end comes into sight only now looks so long for a gap."""
SHORTEST_S = 60.0
"""A line that ended sooner was not ended for its age."""
ALIKE = 0.05
"""Two lines that ended at ages no further apart, unannounced, were ended for their age."""
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """What a roll would cut through now."""

    received: bool
    """Nobody speaks, no function runs, and all of every answer is here."""
    heard: bool
    """And all of it was heard."""
    resumable: bool
    """The next line goes on where this one stops."""


class Lifetime:
    """Of one line after the other. `lifetime_s`: after so long a line is changed unasked; 0: only when told to."""

    def __init__(self, lifetime_s: float) -> None:
        self.lifetime_s = lifetime_s
        """As it was set, or shorter as it was learned."""
        self._up_ns: int | None = None
        self._told_ns: int | None = None
        """The end of the line, as the service has announced it."""
        self._capped_ns: int | None = None
        """When it is to be changed at the latest for what it carries."""
        self._gap_ns: int | None = None
        """Since when a gap waits for its handle."""
        self._unannounced_s: float | None = None

    def line_up(self, now_ns: int) -> None:
        """A fresh line."""
        self._up_ns, self._told_ns, self._capped_ns, self._gap_ns = now_ns, None, None, None

    def line_down(self, now_ns: int, *, by_service: bool) -> bool:
        """It is no more; `by_service`: it was closed there. True if a shorter lifetime was learned from it."""
        up_ns, told_ns, self._up_ns, self._told_ns = self._up_ns, self._told_ns, None, None
        if up_ns is None or told_ns is not None or not by_service:
            return False
        age_s = (now_ns - up_ns) / _NS
        before_s, self._unannounced_s = self._unannounced_s, age_s
        if age_s < SHORTEST_S or before_s is None or abs(age_s - before_s) > ALIKE * before_s:
            return False
        self.lifetime_s = min(age_s, before_s) * (1 - ALIKE)
        return True

    def cap(self, now_ns: int, capped_s: float) -> None:
        """This line carries what lets it live for `capped_s` only. An old one is given time to find a gap."""
        if self._up_ns is not None and self._capped_ns is None:
            self._capped_ns = max(self._up_ns + int(capped_s * _NS), now_ns + int(CAPPED_LATE_S * _NS))

    def go_away(self, now_ns: int, left_s: float) -> None:
        """The service ends the line in `left_s`."""
        self._told_ns = now_ns + int(left_s * _NS)

    def roll(self, now_ns: int, moment: Moment) -> str:
        """Why the line is to be changed now; empty while it is not."""
        if self._up_ns is None:
            return ""
        if self._told_ns is not None:
            end_ns, search_ns, why = self._told_ns, now_ns, "the service will hang up"
        elif (own_ns := self._own_end_ns) is not None:
            end_ns, why = own_ns, CAPPED if own_ns == self._capped_ns else "it is as old as lines become"
            search_ns = end_ns - min(int(SEARCH_S * _NS), (end_ns - self._up_ns) // 4)
        else:
            return ""
        if now_ns >= end_ns - MARGIN_S * _NS:
            return why
        gap = moment.heard or (moment.received and now_ns >= end_ns - LATE_S * _NS)
        if now_ns < search_ns or not gap:
            self._gap_ns = None
            return ""
        if moment.resumable:
            return why
        if not moment.heard:
            return ""  # the handle comes with the end of the turn, which follows the last word: better late than afresh
        self._gap_ns = now_ns if self._gap_ns is None else self._gap_ns
        return why if now_ns - self._gap_ns >= HANDLE_S * _NS else ""

    @property
    def _own_end_ns(self) -> int | None:
        """When we take it for too old."""
        ends = [] if self._capped_ns is None else [self._capped_ns]
        if self.lifetime_s and self._up_ns is not None:
            ends.append(self._up_ns + int(self.lifetime_s * _NS))
        return min(ends, default=None)
