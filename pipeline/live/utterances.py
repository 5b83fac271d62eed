"""What the frontend heard somebody say, and how much of it is answered. Pure: places are ns of the audio's clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

KEPT = 64
"""Utterances that are remembered, the newest. Over it the oldest is dropped: it was said a minute ago at the least."""
ENDLESS_NS = 60_000_000_000
"""Speech that has not ended after this long has lost its end: the frontend that knew it is gone."""
LEAD_NS, TAIL_NS = 200_000_000, 100_000_000
"""Of the pause between two utterances so much is left before the later and behind the earlier one: less than what ends
a turn, and more than what the local detection may be wrong by."""
_UNKNOWN_NS = 2**63


@dataclass(slots=True)
class Utterance:
    """One piece of speech as the local voice detection heard it."""

    start_t: int
    end_t: int | None = None
    """None while it goes on."""
    longest_ns: int = ENDLESS_NS

    @property
    def latest_t(self) -> int:
        """Where it has ended at the latest."""
        return self.start_t + self.longest_ns if self.end_t is None else self.end_t


class Utterances:
    """Those not answered yet, in the order in which they were told."""

    def __init__(self) -> None:
        self._known: deque[Utterance] = deque(maxlen=KEPT)
        self._presumed: Utterance | None = None

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self._known)

    def __bool__(self) -> bool:
        return bool(self._known)

    def started(self, t: int, seen_t: int | None) -> None:
        """Speech began at `t`; said again for the one under way when this stage comes back. `seen_t`: end of what came
        in so far."""
        self._settle(t)
        if any(utterance.start_t == t for utterance in self._known):
            return
        self.lost(seen_t)  # its end was lost, or this would not be a new beginning
        self._known.append(Utterance(t))

    def ended(self, t: int, start_t: int | None) -> None:
        """What began at `start_t` ended at `t`."""
        self._settle(t)
        for utterance in reversed(self._known):
            if utterance.start_t == start_t or (start_t is None and utterance.end_t is None):
                utterance.end_t = t
                return
        self._known.append(Utterance(t if start_t is None else start_t, t))

    def withdraw(self, start_t: int | None) -> None:
        """What began at `start_t` was none, or not meant for the service."""
        self._known = deque((u for u in self._known if u.start_t != start_t), KEPT)

    def lost(self, seen_t: int | None) -> None:
        """Whoever heard the speech under way is gone: what was heard of it is an utterance."""
        self._presumed = None
        for utterance in self._known:
            if utterance.end_t is None:
                utterance.end_t = max(utterance.start_t, seen_t or 0)

    def presume(self, start_t: int, end_t: int | None) -> None:
        """Somebody spoke after `start_t` whom this stage did not live to hear of. `end_t`: where that ended; None: at
        the latest where the next thing that is told of speech says, or where the voice is live again."""
        self._known.append(Utterance(start_t, end_t, longest_ns=_UNKNOWN_NS))
        if end_t is None:
            self._presumed = self._known[-1]

    def live_again(self, t: int) -> None:
        """Nothing more is told of what came before `t`."""
        self._settle(t)

    def forget(self, t: int) -> None:
        """What ended by `t` is answered."""
        while self._known and self._known[0].end_t is not None and self._known[0].end_t <= t:
            self._known.popleft()

    def first_after(self, t: int) -> int | None:
        """Where the earliest of them begins that had not ended by `t`."""
        return min((u.start_t for u in self._known if u.latest_t > t), default=None)

    def pause(self, t: int, end_t: int) -> bool:
        """What lies from `t` to `end_t` is nothing but the pause between two of them."""
        before = behind = False
        for each in self._known:
            if each.latest_t + TAIL_NS <= t:
                before = True
            elif each.start_t - LEAD_NS >= end_t:
                behind = True
            else:
                return False
        return before and behind

    def quiet(self, seen_t: int) -> bool:
        """None is under way at `seen_t`."""
        return all(u.end_t is not None or seen_t > u.latest_t for u in self._known)

    def _settle(self, t: int) -> None:
        if self._presumed is not None:
            self._presumed.end_t = max(t, self._presumed.start_t)
            self._presumed = None
