"""What a configuration says, typed and complete: the supervisor reads this and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pipeline.config.kinds import Range, written


@dataclass(frozen=True)
class Restart:
    """How often a stage may crash, and when it is replaced before it does."""

    burst: Annotated[int, Range(1)] = 5
    """More crashes than that in `window_s` seconds are escalated."""
    window_s: Annotated[float, Range(1)] = 60
    max_rss_mb: Annotated[float, Range(1)] | None = None
    """Megabytes of resident memory over which it is replaced when nobody speaks; None: whatever it takes."""
    max_age_h: Annotated[float, Range(0.001)] | None = None
    """Hours after which it is; None: it may grow as old as it likes."""


@dataclass(frozen=True)
class LogTable:
    """What is logged, and where."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    file: str = "none"
    """Relative to the state directory; `none`: the terminal only."""
    cap_mb: Annotated[float, Range(0.1)] = 5
    """Megabytes at which the file is rotated; twice as much is kept."""

    def path(self, state_dir: Path) -> Path | None:
        """The file to log to, if any."""
        return None if self.file == "none" else state_dir / self.file


@dataclass(frozen=True)
class CurveTable:
    """By which keys machines know each other where stages run on several."""

    folder: Path | None = None
    """Folder of the keys, relative to the file; without it tcp stays within the machine."""
    name: str = ""
    """Of this machine, and of its pair in that folder."""
    allow: list[str] = field(default_factory=list)
    """Machines whose public keys are there and that may connect to stages with a tcp endpoint."""
    control: str = "none"
    """Where stages on other machines report: tcp://ADDRESS:PORT."""
    events: str = "none"
    """Where they hear what the supervisor says, such as mute: another port."""


@dataclass(frozen=True)
class StageTable:
    """One stage, wired."""

    name: str
    use: str | None = None
    """`module:Class`; None for a program."""
    python: str | None = None
    """The interpreter that runs the class, absolute or found by PATH; None: this one."""
    command: tuple[str, ...] | None = None
    """A program and its arguments; its path is absolute or found by PATH. None for a class."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Stream to the stage that produces it. A stream that nobody produces (`played` alone may be so) is absent."""
    emits: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    """As written, without defaults; checked. May hold secrets."""
    endpoint: str | None = None
    """Where it binds; None: in the run directory."""
    env: dict[str, str] = field(default_factory=dict, repr=False)
    required: bool = True
    """Whether the pipeline is nothing without it."""
    restart: Restart = Restart()
    remote: str | None = None
    """The machine on which it runs, by the name of its key; None: this one."""


@dataclass(frozen=True)
class Setting:
    """One value of the configuration as it was resolved, and where it comes from."""

    path: tuple[str, ...]
    value: Any = field(repr=False)
    origin: str
    """`file:line`, `--set`, `default`, `wired` or why else it is so."""
    secret: bool = False


@dataclass(frozen=True)
class Pipeline:
    """A whole machine."""

    name: str
    language: str
    """BCP 47, such as en-GB."""
    stages: tuple[StageTable, ...]
    """In the order of the audio: from the first on they are stopped, so that each drains what the one before sent."""
    file: Path
    config_dir: Path
    """Folder of `file`: where relative names start, and on every stage's import path."""
    log: LogTable = LogTable()
    curve: CurveTable = CurveTable()
    budget_ms: float = 300.0
    """What this machine may add to a turn's latency before it is worth a warning."""
    version: int = 1
    warnings: tuple[str, ...] = ()
    """What is lost by how places are filled, a line each."""
    sets: tuple[str, ...] = field(default=(), repr=False)
    """What `--set` laid over the file."""
    settings: tuple[Setting, ...] = field(default=(), repr=False)
    """Every value with its origin, defaults included."""

    def machine(self) -> dict[str, Any]:
        """What holds for all stages, as it would be written: it is settled when the pipeline is started."""
        return {key: written(getattr(self, key)) for key in ("name", "language", "log", "curve", "budget_ms")}

    def stage(self, name: str) -> StageTable:
        """The stage of this name. Raises KeyError."""
        for table in self.stages:
            if table.name == name:
                return table
        raise KeyError(name)
