"""What travels on the socket: JSON in one letter case, audio in base64.

Clients mix camelCase and snake_case within one message, use either base64 alphabet, padded or not, and send text or
binary frames. Everything behind this file sees camelCase and bytes. Keys that are the user's own (arguments of a
function, its result, labels, JSON schemas) are never touched: `order_id` must come back as `order_id`.
"""

import base64
import binascii
import json
import re
from typing import Any

from pipeline.simulator.refusal import Refused, invalid_argument

Message = dict[str, Any]

USER_DATA = frozenset(
    {"args", "response", "labels", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema"}
)
"""Below these keys nothing is renamed."""

DEEPEST = 64
"""Levels of nesting. Real messages have about ten; a client must not be able to exhaust our stack."""

_SNAKE = re.compile(r"_+([a-zA-Z0-9])")
_STANDARD = str.maketrans("-_", "+/", " \t\r\n")


def read_frame(frame: str | bytes) -> Message:
    """One frame from a client as a message with camelCase keys.

    Raises `Refused` (1007) for anything that is no JSON object.
    """
    try:
        text = frame if isinstance(frame, str) else frame.decode("utf-8")
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(1007, "Invalid JSON payload received. Unexpected token.", f"no JSON: {error}") from error
    if not isinstance(value, dict):
        raise invalid_argument(f"a message must be a JSON object, not {type(value).__name__}")
    renamed = _camel(value, 0)
    assert isinstance(renamed, dict)
    return renamed


def write_frame(message: Message) -> bytes:
    """A message as the service sends it: pure ASCII JSON in a binary frame."""
    return json.dumps(message, separators=(",", ":")).encode("ascii")


def read_base64(data: object) -> bytes:
    """Bytes of a blob, from either alphabet, padded or not, in lines or in one. Raises `Refused` (1007)."""
    if not isinstance(data, str):
        raise invalid_argument("`data` of a blob must be a base64 string")
    text = data.translate(_STANDARD).rstrip("=")
    try:
        return binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise invalid_argument(f"`data` is no base64: {error}") from error


def write_base64(data: bytes) -> str:
    """A blob as the service writes it: the standard alphabet, padded."""
    return base64.b64encode(data).decode("ascii")


def camel_name(name: str) -> str:
    """`turn_complete` and `turnComplete` are both `turnComplete`."""
    return _SNAKE.sub(lambda found: found.group(1).upper(), name)


def _camel(value: object, depth: int) -> object:
    if depth > DEEPEST:
        raise invalid_argument(f"nested deeper than {DEEPEST} levels")
    if isinstance(value, list):
        return [_camel(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    renamed: Message = {}
    for key, item in value.items():
        name = camel_name(key)
        if name in renamed:
            raise invalid_argument(f"{name} is given twice, in two letter cases")
        renamed[name] = item if name in USER_DATA else _camel(item, depth + 1)
    return renamed


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
