"""Whose turn it is. Pipeline and floor are measured one after the other in slots of a few seconds, so that both meet
the same machine and neither meets the other."""

from __future__ import annotations

import time
from dataclasses import dataclass

GUARD_NS = 500_000_000
"""Nothing is sent in the last half second of a slot: what is under way arrives."""
BLOCK_NS = 20_000_000


@dataclass(frozen=True)
class Slots:
    """Even slots are the pipeline's, odd ones the floor's."""

    begin_ns: int
    slot_ns: int
    count: int

    @property
    def end_ns(self) -> int:
        """All slots are over."""
        return self.begin_ns + self.count * self.slot_ns

    def mine(self, now_ns: int, *, floor: bool) -> bool:
        """Whether that side may send now."""
        slot, into_ns = divmod(now_ns - self.begin_ns, self.slot_ns)
        return 0 <= slot < self.count and slot % 2 == int(floor) and into_ns < self.slot_ns - GUARD_NS

    def text(self) -> str:
        """For a command line or an option."""
        return f"{self.begin_ns}:{self.slot_ns}:{self.count}"

    @classmethod
    def of(cls, text: str) -> Slots:
        """From `text()`."""
        return cls(*map(int, text.split(":")))


def sleep_until(due_ns: int) -> None:
    """As a blocking read of a device would wait."""
    if (left_ns := due_ns - time.monotonic_ns()) > 0:
        time.sleep(left_ns / 1e9)
