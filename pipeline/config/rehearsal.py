"""What the stages of a pipeline have against their options beyond their types, by way of a child process."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from typing import Final

from pipeline.config.child import Answer, ask
from pipeline.config.errors import ConfigError, ConfigErrors, hide
from pipeline.config.tables import Pipeline, Setting, StageTable

PRIME_S: Final = 60.0
"""Longest wait for all stages of a pipeline: importing the SDK and loading a model takes seconds on a small machine."""
_KEYED: Final = re.compile(r"(?P<key>[a-z_][a-z0-9_]*(\.[A-Za-z0-9_]+)*): (?P<text>.*)", re.DOTALL)
_PLACE: Final = re.compile(r"(?P<file>--set|.+(?=:)):?(?P<line>[0-9]*)")


def rehearse(pipeline: Pipeline, environ: Mapping[str, str] = os.environ, timeout_s: float = PRIME_S) -> None:
    """Have every stage primed in a child process. Raises ConfigErrors with what they refuse."""
    tables = {table.name: table for table in pipeline.stages if table.use is not None}
    answers: dict[str, Answer] = {}
    ends: dict[str, str] = {}
    with _scratch_folder() as scratch:
        requests = [
            {
                "name": table.name,
                "use": table.use,
                "config_dir": str(pipeline.config_dir),
                "scratch_dir": scratch,
                "language": pipeline.language,
                "options": table.options,
                "env": table.env,
            }
            for table in tables.values()
        ]
        for python in dict.fromkeys(table.python for table in tables.values()):
            asked = [request for request in requests if tables[str(request["name"])].python == python]
            given, ended = ask("pipeline.config.rehearse", asked, environ, timeout_s, python=python)
            answers, ends = answers | given, ends | ended
    refused = {name: answer["refused"] for name, answer in answers.items() if answer["refused"]}
    refused |= {name: f"priming it {end}" for name, end in ends.items()}
    if refused:
        secrets = {str(setting.value) for setting in pipeline.settings if setting.secret}
        errors = [
            hide(_error(pipeline, tables[name], line), secrets)
            for name, text in refused.items()
            for line in text.splitlines()
        ]
        raise ConfigErrors(errors)


def _error(pipeline: Pipeline, table: StageTable, text: str) -> ConfigError:
    """A stage says `key: what is wrong`; the key leads to the line."""
    keyed = _KEYED.fullmatch(text)
    path: tuple[str, ...] = ("stages", table.name)
    if keyed is not None and keyed["key"].partition(".")[0] in table.options:
        path, text = (*path, *keyed["key"].split(".")), keyed["text"]
        while (inner := _KEYED.fullmatch(text)) is not None and _written(pipeline.settings, (*path, inner["key"])):
            path, text = (*path, inner["key"]), inner["text"]
    place = _PLACE.fullmatch(_origin(pipeline.settings, path))
    file, line = (place["file"], int(place["line"] or 0)) if place else (pipeline.file.name, 0)
    return ConfigError(file, line, ".".join(path), text)


def _written(settings: tuple[Setting, ...], path: tuple[str, ...]) -> bool:
    return any(setting.path[: len(path)] == path for setting in settings)


def _origin(settings: tuple[Setting, ...], path: tuple[str, ...]) -> str:
    """Where the value at `path` was written, or the first one below it, or else beside it."""
    for length in range(len(path), 1, -1):
        for setting in settings:
            if setting.path[:length] == path[:length] and _PLACE.fullmatch(setting.origin):
                return setting.origin
    return ""


@contextlib.contextmanager
def _scratch_folder() -> Iterator[str]:
    """In place of the run and state directories, which may be a running pipeline's."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="voice-pipeline-check-")
    except OSError:  # no folder for temporary files: what a stage wants to write there fails, as it would on this disk
        yield "/nonexistent"
        return
    with folder as name:
        yield name
