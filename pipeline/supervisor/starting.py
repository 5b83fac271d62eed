"""The start of everything: each stage as soon as it can be had, in the order of the flow where there is a choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pipeline.supervisor.children import Spawner
from pipeline.supervisor.loop import Loop, Timer
from pipeline.supervisor.slot import Slot

LOOK_S = 0.003
PATIENCE_S = 5.0
"""For stages that are better started a little later."""


class Starting:
    """One stage in a turn of the loop, so that what a started one says is heard, and answered, before the next."""

    def __init__(self, loop: Loop, spawner: Spawner, slots: Mapping[str, Slot], start: Callable[[Slot], None]) -> None:
        self._loop, self._spawner, self._slots, self._start = loop, spawner, slots, start
        self._next_one: Timer | None = None

    def begin(self, slots: Iterable[Slot]) -> None:
        """Start these; of an earlier beginning nothing is left."""
        if self._next_one is not None:
            self._next_one.cancel()
        self._next(list(slots), self._loop.clock() + PATIENCE_S)

    def _next(self, waiting: list[Slot], until: float) -> None:
        # whoever was started, stopped or removed meanwhile, by word of a person or of the policy, is not ours any more
        waiting = [slot for slot in waiting if self._slots.get(slot.name) is slot and slot.idle]
        late = self._loop.clock() > until
        found = next((slot for slot in waiting if late or self._spawner.ready_for(slot.table.use)), None)
        if found is not None:
            waiting.remove(found)
            self._start(found)
        again_s = LOOK_S if found is None else 0.0
        self._next_one = self._loop.after(again_s, lambda: self._next(waiting, until)) if waiting else None
