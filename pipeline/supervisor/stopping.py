"""The ordered stop of everything: all marked first, then one after the other as the flow goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline.supervisor.slot import Slot
from pipeline.supervisor.supervisor import Supervisor


class OrderedStop:
    """Ends every stage; each gets its grace. Marking all before the first is told keeps the death of one, seen by the
    next, from being met with a restart."""

    def __init__(self, supervisor: Supervisor, reason: str, then: Callable[[], None]) -> None:
        """`then` is called once, when no process is left."""
        self.reason, self.then = reason, then
        self._supervisor = supervisor
        self._done = False

    def begin(self) -> None:
        """Mark all, tell the first."""
        supervisor = self._supervisor
        supervisor.on_exit = lambda slot: self._next()
        for slot in supervisor.slots.values():
            slot.stopping, slot.start_again = True, False
            slot.cancel_start()
            supervisor.swaps.drop(slot)
            if slot.run is None:
                supervisor.telling.state(slot, slot.state if slot.state in ("ended", "failed") else "stopping")
        self._next()

    def now(self) -> None:
        """No more grace: SIGKILL to all that is left."""
        for slot in self._left():
            self._supervisor.kill(slot)

    def _left(self) -> list[Slot]:
        return [slot for slot in in_order(self._supervisor.slots.values()) if slot.run is not None]

    def _next(self) -> None:
        if left := self._left():
            self._supervisor.stop(left[0])
        elif not self._done:
            self._done = True
            self.then()


def in_order(slots: Iterable[Slot]) -> list[Slot]:
    """First the stages that audio passes, as it flows; then those that serve them or look on (tools, screen)."""
    return sorted(slots, key=lambda slot: not (slot.table.inputs or slot.table.emits))
