"""From options to processes: what is wrong with them, and how workers are started."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.tools.options import Function, How, Server
from pipeline.tools.process import Process

IMPORT_S = 15.0
"""For all modules of functions to be imported; a stage has 20 s in all to be primed."""
EXTRA = "mcp: needs the client library; pip install 'voice-pipeline[mcp]'"
EVENT = re.compile(r"[a-z][a-z0-9_]{0,40}")
NOT_TO_TELL = frozenset(
    ["state", "listening", "replayed", "flush", "heard", "tools", "tool_call", "tool_result", "connection", "visit"]
)
"""Events of which somebody else is the one writer."""


@dataclass
class Staffing:
    """How the processes of one stage are started."""

    functions: Sequence[Function]
    servers: Mapping[str, Server]
    folder: Path
    """Of the configuration: import path and working directory."""
    state_dir: Path
    most_bytes: int
    """Of a result."""
    memory_mb: float = 512
    """Of a worker."""
    on_line: Callable[[str], None] = field(default=lambda _: None)
    """Gets what workers print, a line at a time, bounded."""

    def worker(self) -> Process:
        """A process for functions. Raises OSError."""
        functions = [function.use for function in self.functions]
        return self._start("pipeline.tools.worker", {"functions": functions, "memory_mb": self.memory_mb})

    def client(self) -> Process:
        """The process for MCP servers. Raises OSError."""
        tables = {name: {"command": table.command, "env": table.env} for name, table in self.servers.items()}
        return self._start("pipeline.tools.mcp_client", {"servers": tables})

    def _start(self, module: str, first: Mapping[str, Any]) -> Process:
        folder = self.folder.resolve()
        environ = {**os.environ, "PIPELINE_STATE_DIR": str(self.state_dir.resolve())}
        more = {"folder": str(folder), "most_bytes": self.most_bytes}
        process = Process(module, {**first, **more}, folder, environ)
        process.on_line = self.on_line
        return process

    def problems(self) -> Iterator[str]:
        """What is wrong with the options, seen without starting anything: `key: problem`."""
        hows: list[tuple[str, How]] = [(f"functions.{at}", how) for at, how in enumerate(self.functions)]
        hows += [(f"mcp.{name}", how) for name, how in self.servers.items()]
        for key, how in hows:
            if how.tells and (not EVENT.fullmatch(how.tells) or how.tells in NOT_TO_TELL):
                yield f"{key}.tells: got '{how.tells}'; expected an event of your own, or end_visit"
        if self.servers and importlib.util.find_spec("mcp") is None:
            yield EXTRA
        for name, server in self.servers.items():
            if problem := self._command_problem(server.command):
                yield f"mcp.{name}.command: {problem}"

    def _command_problem(self, command: Sequence[str]) -> str:
        if not command:
            return "is empty; expected a program and its arguments, such as [python3, orders.py]"
        program = command[0]
        path = str(self.folder / program) if os.sep in program else shutil.which(program)
        if path is None or not os.access(path, os.X_OK) or os.path.isdir(path):
            where = f"in {self.folder}" if os.sep in program else "on PATH"
            return f"expected an executable program, found none called {program} {where}"
        return ""


def load(process: Process) -> tuple[list[dict[str, Any]], list[str]]:
    """What a new worker has imported, and what is wrong with it: `key: problem`, a line each."""
    told = process.wait_for("loaded", IMPORT_S)
    if isinstance(told, str):
        return [], [f"functions: importing them {told}; move work from the top of the module into a function"]
    loaded: list[dict[str, Any]] = told["loaded"]
    wrong = [
        f"functions.{at}: {line}"
        for at, function in enumerate(loaded)
        for line in str(function.get("wrong", "")).splitlines()
    ]
    first: dict[str, int] = {}
    for at, function in enumerate(loaded):
        name = str(function.get("name", ""))
        if name and first.setdefault(name, at) != at:
            wrong.append(f"functions.{at}: functions.{first[name]} is called {name}, too; rename one of them")
    return loaded, wrong
