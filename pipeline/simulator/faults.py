"""Faults of one connection: which are due when."""

from collections.abc import Callable

from pipeline.simulator.fault import Act, Answer, GoAway, Handles, Plan, Unknown, Wedged

MS = 1_000_000
MANNERS = (Wedged, Handles, Answer, Unknown)
"""These change how things are done from that moment on, so they strike within it; all else when its time has come."""


class Faults:
    """The script's faults as they come due on one connection."""

    def __init__(self, plan: Plan, manners: Callable[[Act], None]) -> None:
        self._plan = plan
        self._manners = manners
        self._due: list[tuple[int, Act]] = []

    @property
    def due_ns(self) -> int | None:
        """When the next one strikes."""
        return min((due for due, _ in self._due), default=None)

    def moment(self, name: str, now_ns: int) -> None:
        """Such a moment has come: start the clocks of the faults that wait for it."""
        for after_ms, act in self._plan.moment(name):
            if after_ms == 0 and isinstance(act, MANNERS):
                self._manners(act)
            else:
                self.add(act, now_ns + after_ms * MS)

    def add(self, act: Act, due_ns: int) -> None:
        """`act` strikes at `due_ns`."""
        self._due.append((due_ns, act))

    def take(self, now_ns: int) -> list[Act]:
        """What has come due, in order."""
        struck = sorted((entry for entry in self._due if entry[0] <= now_ns), key=lambda entry: entry[0])
        self._due = [entry for entry in self._due if entry[0] > now_ns]
        for due_ns, act in struck:
            if isinstance(act, GoAway) and act.lives_ms is not None:
                self.add(act.end, due_ns + act.lives_ms * MS)
        return [act for _, act in struck]
