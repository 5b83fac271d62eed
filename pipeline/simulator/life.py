"""What all connections of one server share."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.simulator.fault import Plan
from pipeline.simulator.memory import Handles, Session
from pipeline.simulator.script import Script
from pipeline.simulator.state_file import StateFile


@dataclass
class Life:
    """One server's life. `notice_due`: the next spoken answer says first that this is a simulator."""

    script: Script
    notice_due: bool = False
    state: Path | None = None
    """Where sessions and handles outlive this server; None: nowhere."""
    handles: Handles = field(init=False)
    plan: Plan = field(init=False)
    connections: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    calls: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _sessions: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.handles = Handles(self.script.limits.handle_s)
        if self.state is not None:
            self._sessions = itertools.count(StateFile(self.state, self.handles).last_session + 1)
        self.plan = Plan.of(self.script.faults, self.script.seed)

    def session(self) -> Session:
        """A fresh one."""
        return Session(next(self._sessions))
