"""Messages as a later version of the service may send them: with more in them than a client of today knows."""

from typing import Any

from pipeline.simulator.wire import USER_DATA, Message

NEW_FIELD = {"novelty": {"of": "tomorrow", "levels": [1, {"deep": True}]}}
NEW_WORD = "REASON_OF_TOMORROW"


def with_unknown(message: Message) -> Message:
    """`message` with a new field at every level, and a new word where the service gives one."""
    return {name: _with(item) for name, item in message.items()} | NEW_FIELD


def _with(value: Any) -> Any:
    if isinstance(value, list):
        return [_with(item) for item in value]
    if not isinstance(value, dict):
        return value
    more = {"turnCompleteReason": NEW_WORD} if value.get("turnComplete") else {}
    return {name: item if name in USER_DATA else _with(item) for name, item in value.items()} | more | NEW_FIELD
