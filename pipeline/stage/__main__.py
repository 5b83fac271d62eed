"""`python -m pipeline.stage`: the process of a stage that is named by `module:Class`."""

from __future__ import annotations

import importlib
import sys
import traceback

from pipeline import exits
from pipeline.stage.brief import Brief, NotStarted
from pipeline.stage.life import run
from pipeline.stage.stage import Stage


def load(use: str) -> type[Stage]:
    """The class that `module:Class` names. Raises ImportError, AttributeError, TypeError, or what the import raises."""
    module, _, name = use.partition(":")
    cls = getattr(importlib.import_module(module), name)
    if not (isinstance(cls, type) and issubclass(cls, Stage)):
        raise TypeError(f"{use} is no pipeline.Stage")
    return cls


def main() -> None:
    """Run the stage of this process's environment."""
    try:
        brief = Brief.from_environment()
    except NotStarted as error:
        print(error, file=sys.stderr)
        sys.exit(exits.CONFIG)
    sys.path.insert(0, str(brief.config_dir))  # so that a person's modules lie beside their configuration
    try:
        cls = load(brief.use)
    except Exception as error:
        traceback.print_exc()
        last = f"`use: {brief.use}` can't be imported: {type(error).__name__}: {error}"  # what `status` says of it
        print(last, file=sys.stderr)
        sys.exit(exits.CONFIG)
    run(cls, brief)


if __name__ == "__main__":
    main()
