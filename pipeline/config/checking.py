"""A tree against a kind: what does not fit becomes findings with file and line, what fits becomes plain values."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from pipeline.config.errors import Findings
from pipeline.config.kinds import Field, Kind
from pipeline.config.options import Problem, check_value
from pipeline.config.tree import Node, Path_


def settle(fields: Sequence[Field], node: Node, above: Path_, findings: Findings) -> dict[str, Any]:
    """The entries of a table that fit, as Python values; null ones are left out. The others are added to `findings`.

    `above` is the table's own place. Relative file names become absolute: they start where they were written.
    """
    kind = Kind("table", fields=tuple(fields))
    problems, as_text = _check(kind, node)
    for problem in problems:
        _report(problem, node, above, findings)
    bad = {problem.path[0] for problem in problems if problem.path}
    values = node.plain(as_text=as_text)
    kinds = {field.name: field.kind for field in fields}
    return {key: _located(kinds[key], value, node.table[key]) for key, value in values.items() if key not in bad}


def _check(kind: Kind, node: Node) -> tuple[list[Problem], frozenset[Path_]]:
    """Problems, and where the words of a variable are meant although they look like a number: text is wanted there."""
    problems = check_value(kind, node.plain(nulls=True))
    texts = {p.path for p in problems if (found := node.at(p.path)).from_variable and not isinstance(found.value, str)}
    if not texts:
        return problems, frozenset()
    again = check_value(kind, node.plain(nulls=True, as_text=frozenset(texts)))
    helped = frozenset(texts - {problem.path for problem in again})
    return check_value(kind, node.plain(nulls=True, as_text=helped)), helped


def _report(problem: Problem, node: Node, above: Path_, findings: Findings) -> None:
    found = node.at(problem.path)
    got = " a secret (not shown)" if found.secret else f" {problem.got}"
    findings.add(
        found.origin,
        ".".join((*above, *problem.path)),
        problem.problem + (got if problem.got else ""),
        expected=problem.expected,
        nearest=problem.nearest,
        remedy="" if found.secret else problem.remedy,
    )


def _located(kind: Kind, value: Any, node: Node) -> Any:
    if kind.name == "union":
        kind = next((member for member in kind.members if not check_value(member, value)), kind)
    if kind.name == "path" and isinstance(value, str):
        return os.path.join(node.origin.folder, os.path.expanduser(value))
    if isinstance(value, dict):
        kinds = {field.name: field.kind for field in kind.fields}
        default = kind.item or Kind("any")
        return {key: _located(kinds.get(key, default), item, node.table[key]) for key, item in value.items()}
    if isinstance(value, list) and kind.item is not None and isinstance(node.value, list):
        return [_located(kind.item, item, inner) for item, inner in zip(value, node.value, strict=True)]
    return value
