"""The types of parameters: from annotations to JSON schema, and from JSON values to what the function expects. Pure.

str, int, float, bool, list, list[T], dict, dict[str, T], Literal, Enum, dataclasses, `T | None`, unions of these, and
`Annotated[T, "description"]`.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}
KNOWN = "str, int, float, bool, list, dict, Literal, Enum, a dataclass, or one of these | None"


class Unfit(TypeError):
    """A type that no JSON value can fill. The text says which, and what can be used."""


def schema(annotation: Any, _open: tuple[type, ...] = ()) -> dict[str, Any]:
    """The JSON schema of an annotation. Raises Unfit."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        words = next((word for word in args[1:] if isinstance(word, str)), "")
        return schema(args[0], _open) | ({"description": words} if words else {})
    if annotation is Any:
        return {}
    if isinstance(annotation, type) and annotation in SIMPLE:
        return {"type": SIMPLE[annotation]}
    if origin is Literal:
        return _choices(args)
    if origin in (Union, types.UnionType):
        return _union([schema(arg, _open) for arg in args if arg is not type(None)], nullable=type(None) in args)
    if origin is list or (origin is tuple and len(args) == 2 and args[1] is Ellipsis):
        return {"type": "array", "items": schema(args[0], _open)}
    if origin is dict and args[0] is str:
        values = schema(args[1], _open)
        return {"type": "object"} | ({"additionalProperties": values} if values else {})
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _choices([_spelled(member) for member in annotation])
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        if annotation in _open:
            raise Unfit(f"{annotation.__name__} holds itself")
        return _table(annotation, (*_open, annotation))
    raise Unfit(f"{getattr(annotation, '__name__', annotation)!s} is no type that the model can fill; use {KNOWN}")


def convert(annotation: Any, value: Any) -> Any:
    """A value that fits the schema as the annotation wants it: enum members, dataclasses, 5.0 as 5.

    Raises Unfit when nothing fits after all.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return convert(args[0], value)
    if origin in (Union, types.UnionType):
        return _convert_union(args, value)
    if origin in (list, tuple) and isinstance(value, list):
        return origin(convert(args[0], item) for item in value)
    if origin is dict and isinstance(value, Mapping):
        return {key: convert(args[1], item) for key, item in value.items()}
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if annotation is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return next(member for member in annotation if _spelled(member) == value)
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation) and isinstance(value, Mapping):
        hints = typing.get_type_hints(annotation, include_extras=True)
        return annotation(**{key: convert(hints[key], item) for key, item in value.items()})
    return value


def hints(function: Any) -> dict[str, Any]:
    """The annotations of a function, evaluated. Raises Unfit for one that names nothing."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception as error:  # it evaluates what a person wrote
        raise Unfit(f"an annotation can't be evaluated: {error}") from error


def _convert_union(args: tuple[Any, ...], value: Any) -> Any:
    if value is None:
        return None
    from pipeline.tools.arguments import misfit

    for arg in args:
        if arg is not type(None) and not misfit(schema(arg), value):
            return convert(arg, value)
    raise Unfit(f"{value!r} fits none of its types")


def _spelled(member: enum.Enum) -> str | int | float:
    """An enum member as the model writes it: its value where that is plain, else its name."""
    plain = isinstance(member.value, str | int | float) and not isinstance(member.value, bool)
    return member.value if plain else member.name


def _choices(values: typing.Sequence[Any]) -> dict[str, Any]:
    kinds = {type(value) for value in values if value is not None}
    if not kinds or not kinds <= {str, int, float, bool}:
        raise Unfit(f"a choice among {', '.join(map(repr, values))}: use texts or numbers")
    if kinds == {str}:
        return {"type": "string", "enum": list(values)}
    return {"enum": list(values)} | ({"type": SIMPLE[kinds.pop()]} if len(kinds) == 1 else {})


def _union(members: list[dict[str, Any]], *, nullable: bool) -> dict[str, Any]:
    if len(members) == 1 and not nullable:
        return members[0]
    if len(members) == 1 and isinstance(kind := members[0].get("type"), str) and "enum" not in members[0]:
        return {**members[0], "type": [kind, "null"]}
    return {"anyOf": [*members, *([{"type": "null"}] if nullable else [])]}


def _table(table: Any, open_: tuple[type, ...]) -> dict[str, Any]:
    found = hints(table)
    fields = [field for field in dataclasses.fields(table) if field.init]
    missing = dataclasses.MISSING
    needed = [field.name for field in fields if field.default is missing and field.default_factory is missing]
    properties = {field.name: schema(found[field.name], open_) for field in fields}
    return {"type": "object", "properties": properties, "additionalProperties": False} | (
        {"required": needed} if needed else {}
    )
