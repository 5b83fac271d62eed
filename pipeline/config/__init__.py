"""A configuration file as typed tables: `load(path_or_name)` gives a `Pipeline` or raises `ConfigErrors`.

Everything that is wrong is found at once, each with file, line, key, what was expected and the remedy. No module of a
stage is imported here: `python -m pipeline.config.describe` does that in a process of its own.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.config.errors import ConfigError, ConfigErrors
    from pipeline.config.loading import load
    from pipeline.config.tables import LogTable, Pipeline, Restart, StageTable

__all__ = ["ConfigError", "ConfigErrors", "LogTable", "Pipeline", "Restart", "StageTable", "load"]

_HOMES = {
    "ConfigError": "errors",
    "ConfigErrors": "errors",
    "LogTable": "tables",
    "Pipeline": "tables",
    "Restart": "tables",
    "StageTable": "tables",
    "load": "loading",
}


def __getattr__(name: str) -> Any:
    """Import the public names when first used: a stage takes `pipeline.config.options` and no YAML parser."""
    import importlib

    if name in _HOMES:
        return getattr(importlib.import_module(f"pipeline.config.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'pipeline.config' has no attribute {name!r}")
