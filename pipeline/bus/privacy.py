"""What of a message may be kept: everything, no sound, or neither sound nor words; secrets never."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

from pipeline.log import HIDDEN, hide

Privacy = Literal["everything", "no_audio", "no_words"]

SPOKEN: Final = frozenset(
    {"caption", "text_in", "tool_call", "tool_result", "interrupted", "tools", "end_visit", "say", "history"}
)
"""Events that carry what somebody said or what a function was asked and answered."""
SAFE: Final = frozenset(
    (
        "state",
        "stage",
        "listening",
        "replayed",
        "speech_started",
        "speech_ended",
        "gate",
        "level",
        "rate_off",
        "flush",
        "heard",
        "audible",
        "underrun",
        "turn_started",
        "turn_ended",
        "first_audio",
        "connection",
        "answered",
        "visit",
        "visitor_arrived",
        "visitor_left",
        "mute",
        "volume",
        "source_ended",
        "recorded",
        "usage",
        "duck",
        "barge_in",
        "talked_over",
        "prompt",
        "play",
        "play_stop",
        "hearing",
        "verdict",
        "trigger",
        "tool_cancelled",
        "incident",
        "latency",
        "clipping",
        "write_tape",
        "tape_written",
        "tape_ended",
    )
)
"""Events of this package that carry no words of a conversation. Those of a stage that we do not know may."""
WORDLESS: Final = frozenset({"id", "name", "who", "kind", "by", "outcome", "turn", "stream", "to"})
"""Texts of a spoken event that say no word of it."""

SECRET_KEY: Final = re.compile(
    r"(api|access|private|secret)?_?(key|token|password|secret|credential)s?$", re.IGNORECASE
)
SECRET_VALUE: Final = re.compile(r"AIza[0-9A-Za-z_-]{30,}|ya29\.[0-9A-Za-z._-]{20,}|auth_tokens/[0-9A-Za-z._-]{8,}")
"""A Google API key, an OAuth access token, an ephemeral token."""


def keep(topic: str, fields: Mapping[str, Any], privacy: Privacy, secrets: Iterable[str] = ()) -> dict[str, Any]:
    """The message as it may be kept. Sound left out is told by `pcm_bytes`, a word by its count of characters."""
    kept = dict(fields)
    if "pcm" in kept and privacy != "everything":
        kept["pcm_bytes"] = len(kept["pcm"]) if isinstance(kept["pcm"], bytes) else 0
        kept["pcm"] = b""
    if topic.startswith("image.") and privacy != "everything":
        kept = {key: len(value) if isinstance(value, bytes) else value for key, value in kept.items()}
    body = kept.get("body")
    if isinstance(body, dict):
        known = tuple(secrets)
        kept["body"] = _walk(body, lambda text: _hide(text, known))
        if privacy == "no_words" and topic.removeprefix("event.") not in SAFE:
            kept["body"] = _without_words(kept["body"], topic.removeprefix("event.") in SPOKEN)
    return kept


def _without_words(body: Mapping[str, Any], spoken: bool) -> dict[str, Any]:
    return {
        key: value if spoken and key in WORDLESS and isinstance(value, str) else _walk(value, _counted)
        for key, value in body.items()
    }


def _counted(text: str) -> str:
    return f"({len(text)} characters)"


def _hide(text: str, known: tuple[str, ...]) -> str:
    return SECRET_VALUE.sub(HIDDEN, hide(text, known))


def _walk(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, list):
        return [_walk(item, change) for item in value]
    if isinstance(value, dict):
        return {
            change(key) if isinstance(key, str) else key: HIDDEN
            if isinstance(key, str) and SECRET_KEY.search(key) and isinstance(item, str)
            else _walk(item, change)
            for key, item in value.items()
        }
    return value
