"""Arguments against the JSON schema of a function: the first thing that does not fit, in words for the model. Pure.

The part of JSON schema that functions and MCP servers use. What is not known here (`$ref`, `pattern`, …) fits: the one
that declared it checks it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.config.errors import nearest

WORDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}
SHOWN = 60
"""Characters of a wrong value that are said."""


def misfit(schema: Mapping[str, Any], value: Any, path: str = "", *, closed: bool = False) -> str:
    """Why `value` does not fit; empty if it does. `closed`: properties that the schema does not name are wrong."""
    if isinstance(members := schema.get("anyOf", schema.get("oneOf")), list):
        return _of_several([member for member in members if isinstance(member, Mapping)], value, path)
    kinds = schema.get("type")
    named = [kinds] if isinstance(kinds, str) else kinds if isinstance(kinds, list) else []
    if named and not any(_is(kind, value) for kind in named):
        return _said(path, f"expected {' or '.join(WORDS.get(str(kind), str(kind)) for kind in named)}", value)
    choices = schema.get("enum")
    if isinstance(choices, list) and value not in choices:
        return _said(path, f"expected one of {', '.join(map(str, choices))}", value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _bounds(schema, value, path)
    if isinstance(value, Mapping):
        return _of_table(schema, value, path, closed)
    if isinstance(value, list) and isinstance(items := schema.get("items"), Mapping):
        for index, item in enumerate(value):
            if problem := misfit(items, item, f"{path}[{index}]"):
                return problem
    return ""


def _is(kind: object, value: Any) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":  # JSON does not tell 5 from 5.0
            return (isinstance(value, int) and not isinstance(value, bool)) or (
                isinstance(value, float) and value.is_integer()
            )
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, Mapping)
        case "null":
            return value is None
    return True


def _of_several(members: list[Mapping[str, Any]], value: Any, path: str) -> str:
    problems = [misfit(member, value, path) for member in members]
    if not problems or not all(problems):
        return ""
    # What has the right type was meant: its problem says more than that no type fits.
    deep = [p for member, p in zip(members, problems, strict=True) if "type" in member and _is(member["type"], value)]
    return deep[0] if deep else problems[0]


def _of_table(schema: Mapping[str, Any], value: Mapping[str, Any], path: str, closed: bool) -> str:
    properties = schema.get("properties")
    known: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}
    required = schema.get("required")
    for name in required if isinstance(required, list) else ():
        if name not in value:
            return f"{_below(path, name)}: is missing"
    others = schema.get("additionalProperties", not closed)
    for name, item in value.items():
        below = _below(path, name)
        if isinstance(inner := known.get(name), Mapping):
            problem = misfit(inner, item, below)
        elif isinstance(others, Mapping):
            problem = misfit(others, item, below)
        elif others is False and name not in known:
            near = nearest(str(name), known)
            meant = f"; did you mean {near}?" if near else f"; known: {', '.join(known) or 'none'}"
            problem = f"{below}: unknown argument{meant}"
        else:
            problem = ""
        if problem:
            return problem
    return ""


def _bounds(schema: Mapping[str, Any], value: float, path: str) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if isinstance(low, int | float) and value < low:
        return _said(path, f"expected {low} or more", value)
    if isinstance(high, int | float) and value > high:
        return _said(path, f"expected {high} or less", value)
    return ""


def _below(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


def _said(path: str, expected: str, value: Any) -> str:
    got = repr(value)
    got = got if len(got) <= SHOWN else got[:SHOWN] + "…"
    return f"{path}: {expected}, got {got}" if path else f"{expected}, got {got}"
