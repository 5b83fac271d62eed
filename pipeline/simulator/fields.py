"""Reading values out of a message that anybody may have sent."""

from typing import Any

from pipeline.simulator.refusal import invalid_argument
from pipeline.simulator.wire import Message


def table(value: object, where: str) -> Message:
    """A JSON object; None counts as an empty one. Raises `Refused`."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid_argument(f"{where} must be an object")
    return value


def items(value: object, where: str) -> list[Any]:
    """A JSON list; None counts as empty, and one object as a list of one. Raises `Refused`."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise invalid_argument(f"{where} must be a list")
    return value


def text(value: object, where: str) -> str:
    """A string; None counts as empty. Raises `Refused`."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise invalid_argument(f"{where} must be a string")
    return value


def flag(value: object, where: str) -> bool:
    """A boolean; None counts as false. Raises `Refused`."""
    if value is None:
        return False
    if not isinstance(value, bool):
        raise invalid_argument(f"{where} must be true or false")
    return value


def whole(value: object, where: str, default: int) -> int:
    """A whole number from 0 on, also one written as a string, as the protocol allows. Raises `Refused`."""
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise invalid_argument(f"{where} must be a whole number")
    try:
        number = int(value)
    except (ValueError, OverflowError) as error:
        raise invalid_argument(f"{where} must be a whole number") from error
    if not 0 <= number < 1 << 31:
        raise invalid_argument(f"{where} must be from 0 to 2147483647")
    return number


def words(content: object, where: str) -> str:
    """All text of a Content, of its parts, or of a plain string. Raises `Refused`."""
    if isinstance(content, str):
        return content
    parts = items(table(content, where).get("parts"), f"{where}.parts")
    return " ".join(filter(None, (text(table(part, where).get("text"), f"{where}.parts.text") for part in parts)))
