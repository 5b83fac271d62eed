"""What the supervisor knows of one stage: its table, its past, its present process."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.exits import WORLD
from pipeline.supervisor.children import Child
from pipeline.supervisor.health import Pulse
from pipeline.supervisor.policy import Exit, History, Rules
from pipeline.supervisor.stderr import Voice
from pipeline.supervisor.worn import Series

if TYPE_CHECKING:
    from pipeline.config import StageTable
    from pipeline.supervisor.loop import Timer

LAST_LINE = 300
"""Of what a process printed last, which says why it ended where it did not say so itself."""
DEVICE_PLACES = ("capture", "playback")
"""Places whose stage owns a device. A stage elsewhere that does says so in its hello (`device: true`)."""


@dataclass
class Run:
    """One process of a stage, from its start until it has been reaped."""

    child: Child
    started: float
    pulse: Pulse
    voice: Voice = field(default_factory=Voice)
    connected: bool = False
    """It spoke on control, so it can be told to stop there."""
    owns_device: bool = False
    bye: str = ""
    """Why it leaves, in its own words; "ended": its work is complete."""
    hang: str = ""
    """Why we are ending it."""
    said: tuple[str, str] = ("live", "")
    """State and reason as it gave them last; they count once it is live."""
    killing: Timer | None = None
    """When its group is killed, if it has not ended by then."""
    reading: bool = False
    """Its stderr is read."""
    series: Series = field(default_factory=Series)
    """The deaths of its stage."""

    @property
    def identity(self) -> str:
        """Its name on control."""
        return f"{self.child.stage}/{self.child.inst}"

    def exit(self, status: int, now: float) -> Exit:
        """The end of it, for the policy."""
        live_s = now - self.pulse.live_since if self.pulse.live_since is not None else 0.0
        bye = self.bye
        if not bye and not self.hang and status > 0 and status != WORLD and self.voice.tail:
            lines = list(reversed(self.voice.tail))
            line = next((line for line in lines if "error" in line.lower()), lines[0])
            bye = f"exited {status}: {line[:LAST_LINE]}"
        return Exit(status, self.started, live_s, self.hang, self.owns_device, bye)


def rules_of(table: StageTable) -> Rules:
    """How its deaths are met."""
    return Rules(table.required, table.restart.burst, table.restart.window_s, table.name == "session")


@dataclass
class Slot:
    """One line of the supervisor's table."""

    table: StageTable
    rules: Rules
    state: str = "starting"
    reason: str = ""
    history: History = field(default_factory=History)
    run: Run | None = None
    incoming: Run | None = None
    """A process that is primed while `run` works, and takes its place when that one ends."""
    leaving: Run | None = None
    """A dead process whose last word may still be under way."""
    issued: int = 0
    """The newest `inst` given to a process of it."""
    restarts: int = 0
    swapped: int = 0
    """How many of these were somebody's wish for another recipe."""
    stopping: bool = False
    """Whatever it exits with now was asked for."""
    removed: bool = False
    """Once it has stopped, it is no more part of the pipeline."""
    start_again: bool = False
    """Once it has stopped, start it: somebody asked for a restart."""
    series: Series = field(default_factory=Series)
    """Its last deaths."""
    down_since: float | None = None
    """When its process ended, until the next one is live."""
    pending: Timer | None = None
    """Its next start."""
    previous: StageTable | None = None
    """What comes back if the present table's process fails before `trial_until`; None: the table has proven itself."""
    trial_until: float = 0.0
    outcome: str = ""
    """What the last swap that somebody asked for came to."""
    told: dict[str, Any] = field(default_factory=dict)
    """The last `event.stage`."""
    counters: dict[str, Any] = field(default_factory=dict)
    """What its beats tell of its streams and queues."""

    def take(self, table: StageTable) -> None:
        """Be started by another table from now on."""
        self.table, self.rules = table, rules_of(table)

    @property
    def name(self) -> str:
        """Of the stage."""
        return self.table.name

    @property
    def processes(self) -> list[Run]:
        """What runs of it: the one that works, the one that is to follow."""
        return [run for run in (self.run, self.incoming) if run is not None]

    @property
    def idle(self) -> bool:
        """It has no process, none under way, and nobody wants it to be so."""
        return self.run is None and self.leaving is None and self.pending is None and not self.stopping

    @property
    def inst(self) -> int:
        """Of the process that works, else of the last one."""
        return self.run.child.inst if self.run is not None else self.issued

    def next_inst(self) -> int:
        """A number above every earlier one of this stage, also of earlier supervisors: ms of the monotonic clock.

        The clock instead of a file, because a read-only or full disk must not repeat a number: readers take what an
        old number says for stale. Only a reboot sets it back, and nobody who read the old ones survives that.
        """
        self.issued = max(self.issued + 1, time.monotonic_ns() // 1_000_000)
        return self.issued

    def cancel_start(self) -> None:
        """It will not be started by the timer that waits for it."""
        if self.pending is not None:
            self.pending.cancel()
            self.pending = None
