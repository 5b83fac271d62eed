"""The types that an option can have, as data: they cross from the process that imports a stage to the one that checks.

A stage writes Python annotations: bool, int, float, str, Path, None, Any, Literal[...], unions, list[...],
tuple[..., ...], dict[str, ...], and frozen dataclasses for tables. `Annotated[int, Range(0, 100)]` bounds a number.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

_SIMPLE: dict[Any, str] = {
    Any: "any",
    type(None): "none",
    None: "none",
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    Path: "path",
    list: "list",
    dict: "dict",
}


@dataclass(frozen=True)
class Range:
    """Bounds of a number, both included: `volume: Annotated[int, Range(0, 100)] = 70`."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Kind:
    """One type."""

    name: str
    """any, none, bool, int, float, str, path, choice, list, dict, table, union."""
    choices: tuple[Any, ...] = ()
    item: Kind | None = None
    """Of a list or of a dict's values; None: anything."""
    members: tuple[Kind, ...] = ()
    """Of a union."""
    fields: tuple[Field, ...] = ()
    """Of a table; nothing else may stand in it."""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Field:
    """One key of a table."""

    name: str
    kind: Kind
    default: Any = None
    """As it would be written in YAML."""
    needed: bool = False
    """Has no default."""


def kind_of(annotation: Any, _open: tuple[type, ...] = ()) -> Kind:
    """The kind of an annotation. Raises TypeError for one that YAML cannot fill."""
    if isinstance(annotation, typing.Hashable) and annotation in _SIMPLE:
        return Kind(_SIMPLE[annotation])
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _bounded(kind_of(args[0], _open), args[1:])
    if origin is Literal:
        return Kind("choice", choices=args)
    if origin in (Union, types.UnionType):
        return Kind("union", members=tuple(kind_of(arg, _open) for arg in args))
    if origin is list or (origin is tuple and len(args) == 2 and args[1] is Ellipsis):
        return Kind("list", item=kind_of(args[0], _open))
    if origin is dict and args[0] is str:
        return Kind("dict", item=kind_of(args[1], _open))
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        if annotation in _open:
            raise TypeError(f"{annotation.__name__} holds itself")
        return Kind("table", fields=table_fields(annotation, (*_open, annotation)))
    raise TypeError(
        f"{getattr(annotation, '__name__', annotation)!s} is no type for an option: use bool, int, float, str, Path, "
        "Literal, list, dict[str, …], a frozen dataclass, or a union of them"
    )


def table_fields(table: type, _open: tuple[type, ...] = ()) -> tuple[Field, ...]:
    """The keys of a dataclass. Raises TypeError as `kind_of` does."""
    try:
        hints = typing.get_type_hints(table, include_extras=True)
    except NameError as error:
        raise TypeError(f"{table.__name__}: {error}; define it at the top of the module") from error
    fields = []
    for field in dataclasses.fields(table):
        if not field.init:
            continue
        kind = kind_of(hints[field.name], _open)
        if field.default is not dataclasses.MISSING:
            fields.append(Field(field.name, kind, written(field.default)))
        elif field.default_factory is not dataclasses.MISSING:
            fields.append(Field(field.name, kind, written(field.default_factory())))
        else:
            fields.append(Field(field.name, kind, needed=True))
    return tuple(fields)


def written(value: Any) -> Any:
    """A default as it would stand in YAML."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: written(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
    if isinstance(value, dict):
        return {str(key): written(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [written(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def words(kind: Kind) -> str:
    """What a person should write, in words."""
    match kind.name:
        case "int" | "float":
            return ("a whole number" if kind.name == "int" else "a number") + _bounds(kind)
        case "choice":
            return " or ".join(spelled(choice) for choice in kind.choices)
        case "list":
            return f"a list [ … ] with {words(kind.item)} in each place" if kind.item else "a list [ … ]"
        case "table":
            return "a table with " + ", ".join(field.name for field in kind.fields)
        case "union":
            return " or ".join(words(member) for member in kind.members)
    return {
        "any": "anything",
        "none": "null",
        "bool": "true or false",
        "str": "text",
        "path": "a file name",
        "dict": "a table of KEY: VALUE",
    }[kind.name]


def spelled(value: Any) -> str:
    """A value as it would be written, short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    text = str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def named(value: Any) -> str:
    """A value with its type, for a message."""
    if isinstance(value, str):
        return f"the text '{spelled(value)}'"
    return f"the number {spelled(value)}" if type(value) in (int, float) else spelled(value)


def as_json(kind: Kind) -> dict[str, Any]:
    """For the pipe between the processes."""
    return dataclasses.asdict(kind)


def from_json(data: dict[str, Any]) -> Kind:
    """The other way. Raises KeyError, TypeError for what `as_json` did not write."""
    return Kind(
        data["name"],
        tuple(data["choices"]),
        None if data["item"] is None else from_json(data["item"]),
        tuple(from_json(member) for member in data["members"]),
        tuple(Field(f["name"], from_json(f["kind"]), f["default"], f["needed"]) for f in data["fields"]),
        data["low"],
        data["high"],
    )


def _bounded(kind: Kind, extras: tuple[Any, ...]) -> Kind:
    for extra in extras:
        if isinstance(extra, Range):
            if kind.name not in ("int", "float"):
                raise TypeError("Range bounds int and float only")
            kind = dataclasses.replace(kind, low=extra.low, high=extra.high)
    return kind


def _bounds(kind: Kind) -> str:
    if kind.low is not None and kind.high is not None:
        return f" from {kind.low:g} to {kind.high:g}"
    if kind.low is not None:
        return f" of {kind.low:g} or more"
    return f" of {kind.high:g} or less" if kind.high is not None else ""
