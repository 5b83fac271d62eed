"""A class of a person's own, named in the configuration as `module:Class`."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Plugged:
    """`{use: module:Class}`."""

    use: str


def plugged(use: str, key: str, methods: tuple[str, ...]) -> Any:
    """The class. Raises ValueError naming `key` for what is no `module:Class` or lacks a method, and what its import
    raises."""
    module, _, name = use.partition(":")
    if not module or not name:
        raise ValueError(f"{key}: expected module:Class, not {use!r}")
    found = getattr(importlib.import_module(module), name, None)
    if not isinstance(found, type):
        raise ValueError(f"{key}: {module} has no class {name}")
    missing = [method for method in methods if not callable(getattr(found, method, None))]
    if missing:
        raise ValueError(f"{key}: {use} has no method {', '.join(missing)}")
    return found
