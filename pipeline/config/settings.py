"""Every value of a configuration with the place it comes from, and the text in which a person reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pipeline.config import service
from pipeline.config.descriptions import Described, Description
from pipeline.config.kinds import written
from pipeline.config.tables import Setting, StageTable
from pipeline.config.tree import Node, Path_
from pipeline.config.yaml_text import core_scalar

if TYPE_CHECKING:
    from pipeline.config.machine import Top

COLUMN: Final = 56
"""Where the origins stand."""
HIDDEN: Final = '"***"'
_PLAIN_WORD: Final = re.compile(r"[A-Za-z0-9_./+][A-Za-z0-9_./+:@%-]*( [A-Za-z0-9_./+(][A-Za-z0-9_./+:@%()-]*)*")


def settings(
    tree: Node, top: Top, stages: Sequence[StageTable], described: Mapping[str, Described]
) -> Iterator[Setting]:
    """Every value in the order in which it is shown: the machine, its stages along the audio, the log."""
    for key in ("version", "name", "language"):
        yield from _flat((key,), getattr(top, key), tree)
    for table in stages:
        yield from _stage(table, tree, described.get(table.name))
    yield from _flat(("restart",), written(top.restart), tree)
    yield from _flat(("log",), written(top.log), tree)
    if top.curve.folder is not None:
        yield from _flat(("curve",), written(top.curve), tree)
    yield from _flat(("budget_ms",), top.budget_ms, tree)


def _stage(table: StageTable, tree: Node, found: Described | None) -> Iterator[Setting]:
    above = ("stages", table.name)
    if table.name not in tree.at(("stages",)).table:
        yield Setting((*above, "use"), table.use, "because of session.service")
        return
    if table.command is not None:
        yield from _flat((*above, "command"), list(table.command), tree)
        if table.emits:
            yield from _flat((*above, "emits"), list(table.emits), tree)
    else:
        yield from _flat((*above, "use"), table.use, tree)
        if table.python is not None:
            yield from _flat((*above, "python"), table.python, tree)
    for stream, producer in table.inputs.items():
        path = (*above, "inputs", stream)
        yield from _flat(path, f"{producer}/{stream}", tree, "wired")
    options = dict(table.options)
    if isinstance(found, Description):
        options = {field.name: _filled(field.default, options.get(field.name)) for field in found.options}
    for key, value in options.items():
        node = _exactly(tree, (*above, key))
        if table.name == service.SESSION and key == "service" and (node is None or value != node.value):
            why = "no key is set" if value == service.SIMULATOR else "it is said how to reach Gemini"
            yield Setting((*above, key), value, f"auto: {why}")
            continue
        yield from _flat((*above, key), value, tree)
    if table.endpoint is not None:
        yield from _flat((*above, "endpoint"), table.endpoint, tree)
    if table.remote is not None:
        yield from _flat((*above, "remote"), table.remote, tree)
    yield from _flat((*above, "env"), table.env, tree)
    yield from _flat((*above, "required"), table.required, tree)
    said = _exactly(tree, (*above, "restart"))
    if said is not None and said.table:
        yield from _flat((*above, "restart"), {key: getattr(table.restart, key) for key in said.table}, tree)


def _filled(default: Any, value: Any) -> Any:
    """What is written, laid over the defaults of its table."""
    if isinstance(default, dict) and isinstance(value, dict):
        return {**default, **{key: _filled(default.get(key), item) for key, item in value.items()}}
    return default if value is None else value


def _flat(path: Path_, value: Any, tree: Node, otherwise: str = "default") -> Iterator[Setting]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat((*path, key), item, tree, otherwise)
        return
    node = _exactly(tree, path)
    secret = node is not None and any(inner.secret for _, inner in node.walk())
    yield Setting(path, value, otherwise if node is None or node.value is None else str(node.origin), secret)


def _exactly(tree: Node, path: Path_) -> Node | None:
    node: Node | None = tree
    for step in path:
        node = node.table.get(step) if node is not None else None
    return node


def resolved(lines: Sequence[Setting]) -> Iterator[str]:
    """The settings as YAML, a value a line, its origin beside it. Secrets are stars."""
    before: Path_ = ()
    for setting in lines:
        shared = 0
        while shared < len(setting.path) - 1 and before[shared : shared + 1] == setting.path[shared : shared + 1]:
            shared += 1
        for depth in range(shared, len(setting.path) - 1):
            yield f"{'  ' * depth}{flow(setting.path[depth])}:"
        indent = "  " * (len(setting.path) - 1)
        shown = HIDDEN if setting.secret else flow(setting.value)
        text = f"{indent}{flow(setting.path[-1])}: {shown}"
        yield f"{text:<{COLUMN}} # {setting.origin}"
        before = setting.path


def flow(value: Any) -> str:
    """A value on one line of YAML."""
    if isinstance(value, list):
        return f"[{', '.join(flow(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{flow(key)}: {flow(item)}' for key, item in value.items())}}}"
    if value is None:
        return "null"
    if isinstance(value, str):
        plain = _PLAIN_WORD.fullmatch(value) and isinstance(core_scalar(value), str) and not value.endswith(":")
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return ".inf" if value > 0 else "-.inf"
    return ".nan" if value != value else json.dumps(value)
