"""Options of a stage: from a class to a description, from YAML values to attributes. Pure; stages use it themselves.

A stage's options are its annotated class attributes with defaults, those of its bases up to `Stage` included:

    class Gain(Stage):
        db: Annotated[float, Range(-60, 60)] = 6.0
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import sys
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

from pipeline.config.errors import nearest, one_line, sentence
from pipeline.config.kinds import Field, Kind, Range, kind_of, named, spelled, words, written

__all__ = ["OptionError", "Problem", "Range", "build_options", "check_options", "check_value", "describe_options"]

RESERVED = (
    "use",
    "python",
    "command",
    "adapter",
    "inputs",
    "emits",
    "endpoint",
    "env",
    "required",
    "remote",
    "restart",
)
"""Words beside the options of a stage."""


class OptionError(Exception):
    """Options that a stage cannot run with. The text has one line for each, with key, expectation and remedy."""


@dataclass(frozen=True)
class Problem:
    """One value that does not fit."""

    path: tuple[str, ...]
    """Keys from the table down."""
    problem: str
    expected: str = ""
    nearest: str = ""
    got: str = ""
    """The value that does not fit; apart from `problem` because it may be a secret."""
    remedy: str = ""

    def __str__(self) -> str:
        problem = self.problem + (f" {self.got}" if self.got else "")
        text = sentence(problem, self.nearest, self.expected, self.remedy)
        return one_line(": ".join(part for part in (".".join(self.path), text) if part))


def describe_options(cls: type, base: type) -> tuple[Field, ...]:
    """The options of a class derived from `base`. Raises TypeError naming an annotation that YAML cannot fill."""
    fields = []
    for name, annotation in _annotations(cls, base).items():
        try:
            kind = kind_of(annotation)
        except TypeError as error:
            raise TypeError(f"option '{name}': {error}") from error
        if name in RESERVED:
            raise TypeError(f"option '{name}': this word is reserved beside the options; choose another name")
        fields.append(Field(name, kind, written(getattr(cls, name))))
    return tuple(fields)


def check_options(options: Iterable[Field], values: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the values; nothing if they fit. Null stands for the default."""
    return check_value(Kind("table", fields=tuple(options)), values)


def check_value(kind: Kind, value: Any, path: tuple[str, ...] = ()) -> list[Problem]:
    """What is wrong with one value and all below it."""
    match kind.name:
        case "any":
            return []
        case "table" if isinstance(value, Mapping):
            return _check_table(kind, value, path)
        case "dict" if isinstance(value, Mapping):
            items = [(str(key), item) for key, item in value.items() if item is not None]
        case "list" if isinstance(value, list | tuple):
            items = [(str(index), item) for index, item in enumerate(value)]
        case "union":
            return _check_union(kind, value, path)
        case _:
            if _fits(kind, value):
                return []
            return [_misfit(kind, value, path)]
    if kind.item is None:
        return []
    return [problem for key, item in items for problem in check_value(kind.item, item, (*path, key))]


def build_options(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of a stage class, as attributes to set: tables built, defaults copied. Raises OptionError."""
    base = _stage_base(cls)
    try:
        fields = describe_options(cls, base)
    except TypeError as error:
        raise OptionError(f"{cls.__module__}.{cls.__qualname__}: {error}") from error
    if problems := check_options(fields, values):
        raise OptionError("\n".join(str(problem) for problem in problems))
    built = {}
    for name, annotation in _annotations(cls, base).items():
        given = values.get(name)
        if given is None:
            built[name] = copy.deepcopy(getattr(cls, name))  # a list in the class is shared by all who change it
            continue
        try:
            built[name] = build_value(annotation, given)
        except ValueError as error:  # a table's __post_init__
            raise OptionError(f"{name}: {error}") from error
    return built


def build_value(annotation: Any, value: Any) -> Any:
    """A value that fits, as the annotation wants it: dataclasses for tables, float for int, Path for text."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return build_value(args[0], value)
    if origin in (Union, types.UnionType):
        member = next(arg for arg in args if not check_value(kind_of(arg), value))
        return build_value(member, value)
    if origin is list or origin is tuple:
        return origin(build_value(args[0], item) for item in value)
    if origin is dict:
        return {key: build_value(args[1], item) for key, item in value.items() if item is not None}
    if annotation is float or annotation is Path:
        return annotation(value)
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return _build_table(annotation, value)
    return value


def _build_table(table: type, value: Mapping[str, Any]) -> Any:
    import typing

    hints = typing.get_type_hints(table, include_extras=True)
    return table(**{key: build_value(hints[key], item) for key, item in value.items() if item is not None})


def _check_table(kind: Kind, value: Mapping[str, Any], path: tuple[str, ...]) -> list[Problem]:
    fields = {field.name: field for field in kind.fields}
    problems = []
    for key, item in value.items():
        if key not in fields:
            known = f"one of {', '.join(fields)}" if fields else "none: it has no options"
            problems.append(Problem((*path, key), "unknown option", known, nearest(key, fields)))
        elif item is not None:
            problems += check_value(fields[key].kind, item, (*path, key))
    for field in kind.fields:
        if field.needed and value.get(field.name) is None:
            problems.append(Problem(path, f"'{field.name}' is missing", f"{field.name}: {words(field.kind)}"))
    return problems


def _check_union(kind: Kind, value: Any, path: tuple[str, ...]) -> list[Problem]:
    tries = [(member, check_value(member, value, path)) for member in kind.members]
    if any(not problems for _, problems in tries):
        return []
    for member, problems in tries:  # a table with one wrong key was meant as a table
        if member.name in ("table", "dict") and isinstance(value, Mapping):
            return problems
        if member.name == "list" and isinstance(value, list):
            return problems
    return [_misfit(kind, value, path)]


def _misfit(kind: Kind, value: Any, path: tuple[str, ...]) -> Problem:
    members = kind.members or (kind,)
    choices = [choice for member in members for choice in member.choices if isinstance(choice, str)]
    near = nearest(value, choices) if isinstance(value, str) else ""
    kinds = {member.name for member in members}
    remedy = ""
    if isinstance(value, int | float) and kinds & {"str", "path"}:
        remedy = f'put it in quotes: "{spelled(value)}"'
    elif isinstance(value, str) and "list" in kinds:
        remedy = f"put it in brackets: [{spelled(value)}]"
    return Problem(path, "got", words(kind), near, named(value), remedy)


def _fits(kind: Kind, value: Any) -> bool:
    match kind.name:
        case "none":
            return value is None
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool) and _within(kind, value)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool) and _within(kind, value)
        case "str":
            return isinstance(value, str)
        case "path":
            return isinstance(value, str | Path) and str(value) != ""
        case "choice":
            return any(value == choice and type(value) is type(choice) for choice in kind.choices)
    return False


def _within(kind: Kind, value: float) -> bool:
    try:
        if not math.isfinite(value):
            return False
    except OverflowError:  # an int beyond every float
        return False
    return (kind.low is None or value >= kind.low) and (kind.high is None or value <= kind.high)


def _stage_base(cls: type) -> type:
    """`Stage`, whose own attributes are no options. Found by its name, because it imports this module."""
    name = ("pipeline.stage.stage", "Stage")
    return next((base for base in cls.__mro__ if (base.__module__, base.__name__) == name), object)


def _annotations(cls: type, base: type) -> dict[str, Any]:
    """Annotated public attributes with a value in `cls` and its bases below `base`, evaluated; bases come first.

    Raises TypeError for one that would hide what the library has under that name.
    """
    found: dict[str, Any] = {}
    for owner in reversed(cls.__mro__):
        if issubclass(base, owner):
            continue
        space = {**vars(sys.modules.get(owner.__module__, inspect)), **vars(owner)}
        for name, annotation in inspect.get_annotations(owner).items():
            if name.startswith("_") or not hasattr(cls, name) or _is_class_variable(annotation):
                continue
            if isinstance(getattr(base, name, None), int | float | tuple):
                continue  # `grace_s`, `reads`, `emits`: set in a class, not in YAML
            if hasattr(base, name) or name in inspect.get_annotations(base):
                raise TypeError(f"option '{name}': {base.__name__}.{name} has this name already; choose another")
            found[name] = _evaluated(name, annotation, space) if isinstance(annotation, str) else annotation
    return found


def _is_class_variable(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return annotation.removeprefix("typing.").startswith("ClassVar")
    return annotation is ClassVar or get_origin(annotation) is ClassVar


def _evaluated(name: str, annotation: str, space: dict[str, Any]) -> Any:
    try:
        return eval(annotation, space)
    except Exception as error:  # it runs what a person wrote
        raise TypeError(f"option '{name}': the annotation {annotation} can't be evaluated: {error}") from error
