"""What the stages of a configuration say of themselves, by way of a child process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from pipeline.config.kinds import Field, from_json

IMPORT_S: Final = 30.0
"""Longest wait for all imports of a pipeline; a cold one of every stage takes 2 s on a small machine."""


@dataclass(frozen=True)
class Description:
    """A stage class from outside."""

    use: str
    """`module:Class`."""
    doc: str
    options: tuple[Field, ...]
    reads: tuple[str, ...] | None
    """None: it hears whatever its `inputs:` name, else what it emits."""
    emits: tuple[str, ...]


@dataclass(frozen=True)
class Unusable:
    """Why a stage can't be had."""

    problem: str
    nearest: str = ""
    remedy: str = ""


Described = Description | Unusable


def describe_stages(
    uses: Mapping[str, str | None], config_dir: Path, environ: Mapping[str, str], timeout_s: float = IMPORT_S
) -> dict[str, Described]:
    """Each stage of `uses` (name to its `use`) described by a child process that imports it.

    A module that ends the child, or hangs, costs its own stage only: the child is started again for the others.
    """
    described: dict[str, Described] = {}
    left = dict(uses)
    while left:
        answers, end = _ask(left, config_dir, environ, timeout_s)
        described.update(answers)
        left = {name: use for name, use in left.items() if name not in answers}
        if left:
            culprit = next(iter(left))
            remedy = "move work from the top of the module into `prime` or `start`"
            described[culprit] = Unusable(f"importing its module {end}", remedy=remedy)
            del left[culprit]
    return described


def _ask(
    uses: Mapping[str, str | None], config_dir: Path, environ: Mapping[str, str], timeout_s: float
) -> tuple[dict[str, Described], str]:
    """The answers of one child, and how it ended if it gave too few. Files, not pipes: a grandchild may hold them."""
    import json
    import signal
    import subprocess
    import sys

    asked = [{"name": name, "use": use, "config_dir": str(config_dir)} for name, use in uses.items()]
    with _scratch() as question, _scratch() as answers, _scratch() as noise:
        question.write(json.dumps(asked).encode())
        question.seek(0)
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "pipeline.config.describe"],
            stdin=question,
            stdout=answers,
            stderr=noise,
            env=_environ(environ),
            start_new_session=True,
        )
        end = f"took more than {timeout_s:g} s"
        try:
            code = child.wait(timeout_s)
            how = f"with {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
            end = f"ended the process {how}{_last_line(noise)}"
        except subprocess.TimeoutExpired:
            pass
        finally:  # also what it left behind: a module may start programs when it is imported
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        answers.seek(0)
        lines = [json.loads(line) for line in answers if line.endswith(b"\n")]
    return {line["name"]: _described(line) for line in lines}, end


def _described(line: dict[str, Any]) -> Described:
    if "problem" in line:
        return Unusable(line["problem"], line["nearest"], line["remedy"])
    return Description(
        line["use"],
        line["doc"],
        tuple(Field(f["name"], from_json(f["kind"]), f["default"], f["needed"]) for f in line["options"]),
        None if line["reads"] is None else tuple(line["reads"]),
        tuple(line["emits"]),
    )


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The child finds this very package, wherever the command was typed, and starts no thread for a core."""
    code = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(part for part in (code, environ.get("PYTHONPATH", "")) if part)
    return {**environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}


def _scratch() -> IO[bytes]:
    """A file in memory: on a kiosk whose disk is read-only there may be no folder for temporary files."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("pipeline-config"), "w+b")
    import tempfile

    return tempfile.TemporaryFile()


def _last_line(noise: IO[bytes]) -> str:
    noise.seek(0)
    lines = noise.read(1_000_000).decode(errors="replace").strip().splitlines()
    return f": {lines[-1]}" if lines else ""
