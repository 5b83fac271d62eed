"""A running pipeline made another one: a stage swapped for another recipe, or a changed configuration taken up.

Who asks has validated it: tables come as a configuration gives them. Nothing is touched that did not change.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import structlog

from pipeline.bus import curve
from pipeline.config.tables import Restart, StageTable
from pipeline.supervisor import policy
from pipeline.supervisor.slot import Slot, rules_of
from pipeline.supervisor.supervisor import Supervisor

LOOK_S = 0.2
"""Between two tries to begin the next swap: they go one by one."""
WAIT_S = 60.0
"""A swap that could not begin for so long is given up."""

log = structlog.get_logger()


class Unfit(Exception):
    """The tables are none. The text says what was expected."""


@dataclass(frozen=True)
class Difference:
    """From one set of stages to another."""

    removed: tuple[str, ...]
    added: tuple[StageTable, ...]
    changed: tuple[StageTable, ...]


def difference(old: Sequence[StageTable], new: Sequence[StageTable]) -> Difference:
    """What has to be done. A stage of the same table is left alone."""
    before, after = {table.name: table for table in old}, {table.name: table for table in new}
    return Difference(
        tuple(name for name in before if name not in after),
        tuple(table for name, table in after.items() if name not in before),
        tuple(table for name, table in after.items() if name in before and before[name] != table),
    )


def table_of(said: object) -> StageTable:
    """A table as it came over control. Raises Unfit."""
    if not isinstance(said, Mapping):
        raise Unfit(f"expected the table of a stage, got {type(said).__name__}")
    known = {field.name for field in fields(StageTable)}
    given = {key: value for key, value in said.items() if key in known}
    try:
        given["restart"] = Restart(**given.get("restart", {}))
        for key in ("emits", "command"):
            given[key] = tuple(given[key]) if given.get(key) is not None else given.get(key)
        table = StageTable(**{**given, "emits": given.get("emits") or ()})
    except TypeError as error:
        raise Unfit(f"expected the table of a stage: {error}") from error
    fit = isinstance(table.name, str) and isinstance(table.inputs, dict) and isinstance(table.options, dict)
    if not fit or (table.use is None) == (table.command is None):
        raise Unfit("expected a table with a name, and `use` or `command`")
    return table


class Changes:
    """Swaps and reloads under way."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._waiting: deque[tuple[Slot, StageTable, float]] = deque()

    def swap(self, table: StageTable) -> None:
        """Another recipe for the stage of this name. Raises Unfit if there is none."""
        slot = self._supervisor.slots.get(table.name)
        if slot is None:
            raise Unfit(f"no stage is called {table.name!r}: the stages are {', '.join(self._supervisor.slots)}")
        slot.outcome = "waiting"
        self._waiting.append((slot, table, time.monotonic()))
        self._keep_tables([other.table for other in self._supervisor.slots.values()])
        self._next()

    def reload(self, tables: Sequence[StageTable]) -> Difference:
        """The pipeline as these tables say. Returns what is being done about it."""
        supervisor = self._supervisor
        found = difference([slot.table for slot in supervisor.slots.values()], tables)
        self._keep_tables(tables)
        for name in found.removed:
            slot = supervisor.slots[name]
            slot.removed, slot.start_again = True, False
            supervisor.swaps.drop(slot)
            supervisor.stop(slot, "removed from the configuration")
            if slot.run is None and slot.leaving is None:
                del supervisor.slots[name]
        for table in found.added:
            supervisor.slots[table.name] = slot = Slot(table, rules_of(table))
            supervisor.start(slot)
        for table in found.changed:
            slot = supervisor.slots[table.name]
            slot.outcome = "waiting"
            self._waiting.append((slot, table, time.monotonic()))
        names = [[*found.removed], [table.name for table in found.added], [table.name for table in found.changed]]
        log.info("configuration reloaded", removed=names[0], added=names[1], changed=names[2])
        self._next()
        return found

    def _keep_tables(self, tables: Sequence[StageTable]) -> None:
        wiring = self._supervisor.wiring
        before = wiring.pipeline
        wiring.pipeline = replace(wiring.pipeline, stages=tuple(tables))
        try:
            wiring.be_guarded()
        except curve.Unfit as error:
            wiring.pipeline = before
            raise Unfit(str(error)) from error

    def _next(self) -> None:
        if not self._waiting:
            return
        slot, table, since = self._waiting[0]
        if slot.removed or (slot.stopping and not slot.start_again):
            self._waiting.popleft()
        elif (
            (slot.run is None and slot.pending is not None)
            or slot.state == "failed"
            or slot.table.remote
            or table.remote
        ):
            # it is down, and waits to be tried again: nothing is there to be swapped. Or nothing can be primed ahead
            self._waiting.popleft()
            slot.take(table)
            slot.outcome, slot.history = "done", policy.History()
            self._supervisor.restart(slot)
        elif self._supervisor.swaps.begin(slot, "somebody asked for it", table):
            self._waiting.popleft()
        elif time.monotonic() - since > WAIT_S:
            self._waiting.popleft()
            slot.outcome = "given up: another swap is under way"
        if self._waiting:
            self._supervisor.loop.after(LOOK_S, self._next)
