"""`use:` as people write it: `module:Class`, `module`, the short name of a stage that ships, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pipeline.config.tree import Node

BUILTIN: Final = "pipeline.stages"


def builtin_stages() -> list[str]:
    """Short names of the stages that ship, from their files: nothing is imported."""
    folder = Path(__file__).resolve().parents[1] / "stages"
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def modules(name: str, use: str | None) -> tuple[list[str], str]:
    """The modules that may be meant, the first that exists counts, and the class (empty: the module's only one)."""
    if use is None:
        return [f"{BUILTIN}.{name}"], ""
    module, _, cls = use.partition(":")
    if "." in module:
        return [module], cls
    return [f"{BUILTIN}.{module}", module], cls


def same_program(name: str, base: Node, over: Node) -> bool:
    """Whether the stage `name` still is the program that `base` says, once `over` lies on it."""
    if not over.table.keys() & {"use", "command"}:
        return True
    old, new = _command(base), _command(over)
    if old is not None or new is not None:
        return bool(old == new)
    (old_modules, old_class), (new_modules, new_class) = _used(name, base), _used(name, over)
    return old_modules == new_modules and (not old_class or not new_class or old_class == new_class)


def _command(stage: Node) -> object:
    command = stage.table.get("command")
    return None if command is None else command.plain()


def _used(name: str, stage: Node) -> tuple[str, str]:
    use = stage.table.get("use")
    found, cls = modules(name, use.value if use is not None and isinstance(use.value, str) else None)
    return found[0], cls
