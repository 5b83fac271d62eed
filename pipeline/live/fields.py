"""Names the field of a session that does not fit, and the nearest one that would. Knows pydantic, not the SDK."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from pipeline.live.setup import snake


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first field of `model` that did not fit: its key, what was expected, the nearest name."""
    # Where several kinds of table are possible, pydantic names each of them: the deepest mistake is the person's.
    wrong = max(error.errors(), key=lambda one: (one["type"] == "extra_forbidden", len(one["loc"])))
    tables, path = _walk(model, wrong["loc"][:-1])
    last = str(wrong["loc"][-1])
    key = ".".join([*path, last])
    if wrong["type"] != "extra_forbidden":
        return f"{key}: {wrong['msg']}, got {str(wrong.get('input'))[:80]!r}"
    return f"{key}: unknown field{_nearest(snake(last), tables)}"


def explain_word(text: str, fields: Mapping[str, Any], enums: Any) -> str:
    """`NOPE is not a valid ActivityHandling` with the key that holds it and the words of that enum in `enums`."""
    word, _, kind = text.partition(" is not a valid ")
    key = next(_keys_of(fields, word), "")
    enum = getattr(enums, kind.strip(), None)
    words = [str(member.value) for member in enum] if isinstance(enum, type) and issubclass(enum, Enum) else []
    near = difflib.get_close_matches(word.upper(), words, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(words)}"
    return f"{key}: {word!r} is not a valid {kind}; {hint}"


def _walk(model: type[BaseModel], path: Iterable[str | int]) -> tuple[list[type[BaseModel]], list[str]]:
    """The tables that may stand at `path`, and its keys as a person wrote them, without pydantic's own steps."""
    tables, key = [model], []
    for step in path:
        named = [table for table in tables if table.__name__ == step]
        name = snake(str(step))
        fields = [table.model_fields[name] for table in tables if name in table.model_fields]
        if fields:
            tables = [table for field in fields for table in _tables(field.annotation)]
        elif named:
            tables = named
            continue
        elif isinstance(step, str):
            tables = []
        if fields or isinstance(step, int) or not tables:
            key.append(str(step))
    return tables, key


def _tables(annotation: Any) -> Iterator[type[BaseModel]]:
    for part in get_args(annotation):
        yield from _tables(part)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation


def _nearest(name: str, tables: Sequence[type[BaseModel]]) -> str:
    known = sorted({name for table in tables for name in table.model_fields})
    near = difflib.get_close_matches(name, known, 1)
    if not known:
        return ""
    return f"; did you mean '{near[0]}'?" if near else f"; known here: {', '.join(known)}"


def _keys_of(value: Any, word: str, path: tuple[str, ...] = ()) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _keys_of(inner, word, (*path, str(key)))
    elif isinstance(value, list):
        for inner in value:
            yield from _keys_of(inner, word, path)
    elif isinstance(value, str) and re.fullmatch(re.escape(word), value, re.IGNORECASE):
        yield ".".join(path)
