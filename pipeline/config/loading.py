"""`load`: a file to a `Pipeline`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pipeline.config.descriptions import Described, describe_stages
from pipeline.config.errors import ConfigErrors, Findings
from pipeline.config.machine import read_stages, read_top
from pipeline.config.promises import warnings
from pipeline.config.settings import settings
from pipeline.config.sources import find, gather
from pipeline.config.tables import Pipeline
from pipeline.config.variables import substitute
from pipeline.config.watchers import with_watchers


class Describer(Protocol):
    """What classes say of themselves, and which interpreter has them (None: this one)."""

    def __call__(
        self,
        uses: Mapping[str, str | None],
        config_dir: Path,
        environ: Mapping[str, str],
        /,
        *,
        python: str | None = None,
    ) -> Mapping[str, Described]: ...


def load(
    path_or_name: str,
    sets: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
    describer: Describer = describe_stages,
) -> Pipeline:
    """The pipeline that a file describes, `sets` (`a.b.c=VALUE`) laid over it.

    `path_or_name` is a path or a name in configs/. Raises ConfigErrors with everything that is wrong with it.
    """
    findings = Findings()
    file = Path(os.path.abspath(find(path_or_name)))
    try:
        tree = substitute(gather(file, sets, environ, findings), environ, findings)
    except ConfigErrors as error:
        findings.take(error.errors)
        findings.raise_any()
        raise

    tree = with_watchers(tree, findings)
    top = read_top(tree, file.stem, findings)
    stages, described = read_stages(
        tree, top, environ, findings, lambda uses, python: describer(uses, file.parent, environ, python=python)
    )
    findings.raise_any()
    return Pipeline(
        name=top.name,
        language=top.language,
        stages=tuple(stages),
        file=file,
        config_dir=file.parent,
        log=top.log,
        curve=top.curve,
        budget_ms=top.budget_ms,
        sets=tuple(sets),
        warnings=tuple(warnings(stages, described)),
        version=top.version,
        settings=tuple(settings(tree, top, stages, described)),
    )
