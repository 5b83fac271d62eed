"""What a function returned, as plain JSON of a bounded size. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import os
import uuid
from collections.abc import Mapping
from typing import Any

DEEPEST = 40
"""Levels of tables in tables: what holds itself ends there."""


class Unsayable(Exception):
    """A result that can't be given to the model. The text says why and what to return instead."""


def plain(value: Any, _depth: int = 0) -> Any:
    """`value` in None, bool, int, float, str, list and dict. Raises Unsayable naming the type that is none of these."""
    if _depth > DEEPEST:
        raise Unsayable(f"the result has more than {DEEPEST} levels; return something flat")
    if isinstance(value, enum.Enum):
        return plain(value.value, _depth + 1)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Unsayable(f"the result holds {value}, which JSON has no number for; return None or a text instead")
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), _depth + 1) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item, _depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, _depth + 1) for item in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | uuid.UUID | os.PathLike | datetime.timedelta):
        return str(value)
    kind = type(value).__name__
    raise Unsayable(f"it returned a {kind}, which the model can't be given; return text, numbers, lists or tables")


def bounded(value: Any, most_bytes: int) -> Any:
    """`value`, plain. A text over `most_bytes` of UTF-8 is cut, and says so. Raises Unsayable for anything else."""
    if isinstance(value, str):
        # the length first: 100 MB are not encoded to find out that they are too many
        data = value[: most_bytes + 1].encode("utf-8", "replace")
        if len(value) <= most_bytes and len(data) <= most_bytes:
            return value.encode("utf-8", "replace").decode()
        kept = data[:most_bytes].decode("utf-8", "ignore")
        return f"{kept}… [cut: {len(value)} characters, the first {len(kept)} are here]"
    simple = plain(value)
    size = len(json.dumps(simple, ensure_ascii=False).encode("utf-8", "replace"))
    if size > most_bytes:
        raise Unsayable(f"the result has {size} bytes, more than {most_bytes}; ask for less at once")
    return simple
