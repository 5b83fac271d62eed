"""What a stage's process is started with: program, environment, folder. Pure."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import places
from pipeline.bus import curve
from pipeline.package import import_path

if TYPE_CHECKING:
    from pipeline.config import Pipeline, StageTable

MARK = "PIPELINE_SUPERVISOR"
"""Variable that tells everything this supervisor started, down to the last grandchild, from everything else."""


def new_mark() -> str:
    """A value of MARK that no other supervisor has: a new one may start before the old one's sweeper is done."""
    return f"{os.getpid()}.{time.monotonic_ns()}"


@dataclass(frozen=True)
class Recipe:
    """Everything that starting a process takes."""

    stage: str
    inst: int
    argv: tuple[str, ...]
    environ: Mapping[str, str]
    cwd: Path | None = None
    """None: where the supervisor is."""
    ours: bool = True
    """Built on the stage library, which sets its own death signal. A foreign program cannot be relied on for that."""
    remote: str | None = None
    """The other machine on which it runs: here nothing is started."""
    terminal: bool = False
    """Its stdout is the supervisor's; otherwise it goes where its stderr goes."""


@dataclass
class Wiring:
    """What is the same for every stage of a pipeline. `pipeline` is another one after a reload."""

    pipeline: Pipeline
    run_dir: Path
    state_dir: Path
    mark: str
    """Value of MARK."""
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    """What stages inherit."""
    _keys: dict[str, str] = field(default_factory=dict)
    """Public keys of machines, read once: a file that goes away must not end what runs."""

    @property
    def control(self) -> str:
        """Where the supervisor listens to stages and people. Raises places.PlaceError, as all endpoints here do."""
        return places.control_endpoint(self.run_dir)

    @property
    def supervisor_bus(self) -> str:
        """Where the supervisor speaks."""
        return places.bus_endpoint(self.run_dir, "supervisor")

    def endpoint(self, table: StageTable) -> str:
        """Where a stage binds."""
        return table.endpoint or places.bus_endpoint(self.run_dir, table.name)

    def guard(self) -> dict[str, Any] | None:
        """What this machine and its stages know of keys: the file of its own pair, whose key is at which endpoint, who
        may connect. Public keys only. None without keys. Raises curve.Unfit."""
        table = self.pipeline.curve
        if table.folder is None:
            return None
        tables = self.pipeline.stages
        remotes = [each.remote for each in tables if each.remote]
        names = dict.fromkeys([table.name, *table.allow, *remotes])
        for name in names:
            if name not in self._keys:
                self._keys[name] = curve.read_public(table.folder, name)
        keys = {name: self._keys[name] for name in names}
        servers = {each.endpoint: keys[each.remote or table.name] for each in tables if each.endpoint}
        servers |= {endpoint: keys[table.name] for endpoint in (table.control, table.events) if endpoint != "none"}
        pair = str(table.folder / f"{table.name}{curve.SECRET}")
        return {
            "pair": pair,
            "servers": servers,
            "allow": {"bus": keys, "control": {name: keys[name] for name in remotes}},
        }

    def be_guarded(self) -> None:
        """Have this process's own tcp sockets guarded so. Raises curve.Unfit."""
        if (guard := self.guard()) is not None:
            curve.be(curve.Identity.from_wiring(guard))

    def wiring_elsewhere(self, table: StageTable) -> dict[str, Any]:
        """What a stage on another machine is told: as `_wiring`, but only what can be reached from there. Which file
        its pair is in, it knows itself."""
        guard = self.guard() or {}
        outside = {each.name: each.endpoint for each in self.pipeline.stages if each.endpoint}
        return {
            **self._wiring(table),
            "control": self.pipeline.curve.control,
            "peers": {**outside, "supervisor": self.pipeline.curve.events},
            "curve": {"servers": guard.get("servers", {}), "allow": {"bus": guard.get("allow", {}).get("bus", {})}},
            "remote": True,
            "env": dict(table.env),
            "name": self.pipeline.name,
        }

    def peers(self) -> dict[str, str]:
        """Where everybody binds, by name."""
        return {table.name: self.endpoint(table) for table in self.pipeline.stages} | {
            "supervisor": self.supervisor_bus
        }

    def recipe(self, table: StageTable, inst: int, restarts: int = 0, crashes: int = 0) -> Recipe:
        """How to start a stage as its process number `inst`, after `restarts` others of this run, the last
        `crashes` of which crashed in a row."""
        argv = table.command or (table.python or sys.executable, "-P", "-m", "pipeline.stage")
        return Recipe(
            stage=table.name,
            inst=inst,
            argv=argv,
            environ=self._environ(table, inst, {"restarts": restarts, "crashes": crashes}),
            cwd=self.pipeline.config_dir if table.command else None,
            ours=not table.command,
            terminal=table.name == "screen",
            remote=table.remote,
        )

    def _environ(self, table: StageTable, inst: int, past: Mapping[str, int]) -> dict[str, str]:
        environ = dict(self.environ)
        environ.pop("NOTIFY_SOCKET", None)  # only the supervisor speaks to the service manager
        if not table.command:  # another Python must find neither our libraries nor modules that hide its own
            path = [*import_path(table.python), str(self.pipeline.config_dir), environ.get("PYTHONPATH", "")]
            environ["PYTHONPATH"] = os.pathsep.join(part for part in path if part)
        environ["PYTHONUNBUFFERED"] = "1"  # what a stage prints before it dies must be in the pipe
        environ["PYTHONFAULTHANDLER"] = "1"  # SIGABRT to a hung one shows its stack, from its first import on
        environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would start a thread a core in every stage
        environ.update(table.env)
        environ.update(
            {
                "PIPELINE_STAGE": table.name,
                "PIPELINE_INST": str(inst),
                "PIPELINE_RUN": str(self.run_dir),
                "PIPELINE_WIRING": json.dumps({**self._wiring(table), **past}, ensure_ascii=True),
                MARK: self.mark,
            }
        )
        return environ

    def _wiring(self, table: StageTable) -> dict[str, Any]:
        return {
            "bind": self.endpoint(table),
            "control": self.control,
            "peers": self.peers(),
            "inputs": table.inputs,
            "emits": table.emits,
            "required": table.required,
            "use": table.use,
            "options": table.options,
            "config_dir": str(self.pipeline.config_dir),
            "state_dir": str(self.state_dir),
            "language": self.pipeline.language,
            "log_level": self.pipeline.log.level,
            **({"curve": guard} if (guard := self.guard()) is not None else {}),
        }
