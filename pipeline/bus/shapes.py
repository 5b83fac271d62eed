"""What the body of a known event must hold, so that who writes it wrong is named and no reader falls over it. Pure.

A field that is `nil` counts as absent; one that is not listed, and an event that is not, may be anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

WHOLE, NUMBER, TEXT, TRUTH, LIST, MAP = "int >= 0", "a finite number", "str", "bool", "a list", "a map"
LIMIT: Final = 2**63
"""Whole numbers end here, for they are times and samples, and reckoned with in 64 bits."""

SHAPES: Final[Mapping[str, Mapping[str, str]]] = {
    "state": {"state": TEXT, "reason": TEXT, "replays": LIST},
    "listening": {"id!": TEXT, "stream!": TEXT, "to": TEXT},
    "replayed": {"id!": TEXT, "stream": TEXT, "lost_ms": NUMBER},
    "speech_started": {"t!": WHOLE},
    "speech_ended": {"t!": WHOLE, "start_t": WHOLE},
    "gate": {"closed": TRUTH, "reason": TEXT},
    "duck": {"on!": TRUTH, "db": NUMBER, "fade_ms": NUMBER},
    "barge_in": {"t": WHOLE, "verdict!": TEXT, "reason": TEXT},
    "hearing": {"verdict!": TEXT, "reason": TEXT},
    "level": {"rms_dbfs": NUMBER, "peak_dbfs": NUMBER, "noise_floor_dbfs": NUMBER},
    "flush": {"epoch!": WHOLE, "cause": TEXT},
    "heard": {"epoch!": WHOLE, "at!": WHOLE, "buffered_to!": WHOLE},
    "audible": {"epoch": WHOLE, "at": WHOLE, "t!": WHOLE},
    "prompt": {"name": TEXT, "on!": TRUTH, "t": WHOLE, "ms": NUMBER},
    "caption": {"who!": TEXT, "text!": TEXT, "final": TRUTH, "turn": WHOLE},
    "turn_started": {"turn": WHOLE, "kind": TEXT},
    "turn_ended": {"turn": WHOLE, "kind": TEXT, "outcome": TEXT, "reason": TEXT},
    "first_audio": {"turn": WHOLE, "epoch": WHOLE, "at": WHOLE, "since_speech_end_ms": NUMBER},
    "interrupted": {"by": TEXT, "turn": WHOLE, "after_ms": NUMBER, "heard_text": TEXT},
    "connection": {"up!": TRUTH, "reason": TEXT, "attempt": WHOLE, "service": TEXT, "kind": TEXT},
    "answered": {"t!": WHOLE},
    "usage": {"usd": NUMBER, "visit_usd": NUMBER, "day_usd": NUMBER, "in": MAP, "out": MAP},
    "tools": {"declarations!": LIST},
    "tool_call": {"id!": TEXT, "name!": TEXT, "args": MAP, "turn": WHOLE},
    "tool_cancelled": {"id!": TEXT},
    "tool_result": {"id!": TEXT, "name": TEXT},
    "tool_taken": {"id!": TEXT},
    "visit": {"open!": TRUTH},
    "text_in": {"text!": TEXT, "id": TEXT},
    "play": {"name!": TEXT, "cause": TEXT, "loop": TRUTH},
    "play_stop": {"name!": TEXT},
    "mute": {"muted!": TRUTH, "by": TEXT},
    "volume": {"percent!": NUMBER},
    "stage": {"stage!": TEXT, "state!": TEXT, "reason": TEXT},
    "recorded": {"file!": TEXT},
}
"""By event and field; `!`: it is nothing without that field."""

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    WHOLE: (int,), NUMBER: (int, float), TEXT: (str,), TRUTH: (bool,), LIST: (list,), MAP: (dict,)
}  # fmt: skip
_FIELDS: Final = {
    event: [(key.removesuffix("!"), kind, key.endswith("!")) for key, kind in shape.items()]
    for event, shape in SHAPES.items()
}


def misfit(name: str, body: Mapping[str, Any]) -> str:
    """What is wrong with the body of `event.<name>`, or ""."""
    for key, kind, owed in _FIELDS.get(name, ()):
        value = body.get(key)
        if value is None:
            if owed:
                return f"expected `{key}` to be {kind}, got nothing"
            continue
        found = type(value)  # `isinstance` would take True for a number
        if found not in _TYPES[kind]:
            return f"expected `{key}` to be {kind}, got {found.__name__}"
        if (kind is WHOLE and not 0 <= value < LIMIT) or (kind is NUMBER and not isfinite(value)):
            return f"expected `{key}` to be {kind}, got {value}"
    return ""
