"""Faults of one connection: which are due when."""

from pipeline.simulator.actions import Action, Close, Note, Send
from pipeline.simulator.life import Life
from pipeline.simulator.refusal import cut
from pipeline.simulator.script import Fault

MS = 1_000_000
_AFTER_GO_AWAY = (1008, "The operation was aborted.")
"""What ends a connection that was told to leave and stayed."""


class Faults:
    """The script's faults as they come due on one connection. Moments are counted over the whole life of the server."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._due: list[tuple[int, Fault]] = []

    @property
    def due_ns(self) -> int | None:
        """When the next one strikes."""
        return min((due for due, _ in self._due), default=None)

    def moment(self, name: str, now_ns: int) -> None:
        """Such a moment has come: start the clocks of the faults that wait for it."""
        self._life.moments[name] += 1
        count = self._life.moments[name]
        for fault in self._life.script.faults:
            if fault.when == name and fault.nth in (None, count):
                self._due.append((now_ns + fault.after_ms * MS, fault))

    def take(self, now_ns: int) -> list[Action]:
        """What has come due."""
        struck = sorted((entry for entry in self._due if entry[0] <= now_ns), key=lambda entry: entry[0])
        self._due = [entry for entry in self._due if entry[0] > now_ns]
        return [action for _, fault in struck for action in self._strike(fault, now_ns)]

    def _strike(self, fault: Fault, now_ns: int) -> list[Action]:
        if fault.close is not None:
            code, reason = fault.close
            return [Note("fault", {"when": fault.when, "close": code}), Close(code, cut(reason))]
        assert fault.go_away_ms is not None
        end = Fault(when=fault.when, close=_AFTER_GO_AWAY)
        self._due.append((now_ns + fault.go_away_ms * MS, end))
        return [
            Note("fault", {"when": fault.when, "go_away_ms": fault.go_away_ms}),
            Send({"goAway": {"timeLeft": f"{fault.go_away_ms / 1000:g}s"}}),
        ]
