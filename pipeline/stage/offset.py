"""How far the supervisor's clock is from ours, for a stage on another machine. No I/O."""

from __future__ import annotations

from collections import deque

KEPT = 32
"""Answers remembered, a minute of them: two crystals part by 3 ms in that time, the shortest way takes less."""
FIRST, FIRST_S, THEN_S = 8, 0.05, 2.0
"""So many questions at the start come one soon after the other."""
ENOUGH = 4
"""Answers without which nothing is believed: one lost packet on the way there was 90 ms of error."""


class Offset:
    """The offset of the smallest round trip among the newest ones: it can be wrong by half of that trip at most."""

    def __init__(self) -> None:
        self._answers: deque[tuple[int, int]] = deque(maxlen=KEPT)
        self._asked = 0
        self.ns = 0
        """To be added to our monotonic clock."""

    @property
    def known(self) -> bool:
        """Whether there were answers enough."""
        return len(self._answers) >= ENOUGH

    def again_s(self) -> float:
        """Seconds until the question after this one."""
        self._asked += 1
        return FIRST_S if self._asked < FIRST else THEN_S

    def answered(self, asked_ns: int, now_ns: int, theirs_ns: int) -> None:
        """Their clock stood at `theirs_ns` at some time between our `asked_ns` and `now_ns`."""
        if now_ns < asked_ns:
            return
        self._answers.append((now_ns - asked_ns, theirs_ns - (asked_ns + now_ns) // 2))
        self.ns = min(self._answers)[1]
