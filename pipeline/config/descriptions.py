"""What the stages of a configuration say of themselves, by way of a child process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.config.child import Starter, ask, by_exec
from pipeline.config.kinds import Field, from_json
from pipeline.config.known import Known
from pipeline.package import CODE

IMPORT_S: Final = 30.0
"""Longest wait for all imports of a pipeline; a cold one of every stage takes 2 s on a small machine."""


@dataclass(frozen=True)
class Description:
    """A stage class from outside."""

    use: str
    """`module:Class`."""
    options: tuple[Field, ...]
    reads: tuple[str, ...] | None
    """None: it hears whatever its `inputs:` name, else what it emits."""
    emits: tuple[str, ...]
    tells: tuple[str, ...] = ()
    """Events that its source tells by name; `*`: it is built on a stage that ships."""


@dataclass(frozen=True)
class Unusable:
    """Why a stage can't be had."""

    problem: str
    nearest: str = ""
    remedy: str = ""


Described = Description | Unusable


def describe_stages(
    uses: Mapping[str, str | None],
    config_dir: Path,
    environ: Mapping[str, str],
    timeout_s: float = IMPORT_S,
    start: Starter = by_exec,
    known: Known | None = None,
    python: str | None = None,
) -> dict[str, Described]:
    """Each stage of `uses` (name to its `use`) described by a child process that imports it, or by what is `known`.

    `python`: the interpreter of that child, for classes that need one of their own.
    """
    known = known if python is None else None
    told = {name: line for name, use in uses.items() if known is not None and (line := known.line(name, use))}
    described = {name: _described(line) for name, line in told.items()}
    asked = [
        {"name": name, "use": use, "config_dir": str(config_dir)} for name, use in uses.items() if name not in told
    ]
    answers, ends = ask("pipeline.config.describe", asked, environ, timeout_s, start, python)
    remedy = "move work from the top of the module into `prime` or `start`"
    if python is not None:
        source = CODE if (CODE / "pyproject.toml").is_file() else "voice-pipeline"
        remedy = f"it needs Python 3.11 or newer with this package: {python} -m pip install {source}"
    unusable = {name: Unusable(f"importing its module {end}", remedy=remedy) for name, end in ends.items()}
    if known is not None:
        known.keep({(name, uses[name]): answer for name, answer in answers.items()})
    return described | {name: _described(answer) for name, answer in answers.items()} | unusable


def _described(line: dict[str, Any]) -> Described:
    if "problem" in line:
        return Unusable(line["problem"], line["nearest"], line["remedy"])
    return Description(
        line["use"],
        tuple(Field(f["name"], from_json(f["kind"]), f["default"], f["needed"]) for f in line["options"]),
        None if line["reads"] is None else tuple(line["reads"]),
        tuple(line["emits"]),
        tuple(line.get("tells", ())),
    )
