"""What the service is told at the start of a session: our options, and any other field under `live`, as plain data.

The keys are those of the SDK's `LiveConnectConfig`, which checks them (`gemini.check`). `live` is merged over ours, so
every field that we set can still be changed there; null removes one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.config.options import OptionError
from pipeline.live.functions import Declaration
from pipeline.live.pauses import PAUSE_NS

AS_GIVEN = ("labels", "tools")
"""Fields whose keys are the person's own data: their case is never changed."""

TurnDetection = Literal["server", "client"]
DETECTION = "realtime_input_config.automatic_activity_detection"
_MARGIN_NS = 200_000_000
"""Silence that is sent beyond what ends a turn: the service hears the end of speech in pieces."""


@dataclass(frozen=True)
class ServerVad:
    """When the service takes speech for begun and ended; what is left out is the service's own default."""

    start_sensitivity: Literal["high", "low"] | None = None
    end_sensitivity: Literal["high", "low"] | None = None
    prefix_padding_ms: int | None = None
    """Speech needed before a beginning counts."""
    silence_duration_ms: int | None = None
    """Silence needed before an end counts: the largest part of the wait for an answer."""


@dataclass(frozen=True)
class Compression:
    """The service forgets the oldest of a long conversation; without it a session ends after 15 minutes."""

    enabled: bool = True
    trigger_tokens: int | None = None
    """The context's length at which it begins; null: the service's own, 80 % of what the model takes."""
    target_tokens: int | None = None
    """What is left of it then; null: half of that."""


@dataclass(frozen=True)
class Wanted:
    """The session that the options ask for."""

    model: str
    voice: str = ""
    instruction: str = ""
    language: str = ""
    modalities: Sequence[str] = ("AUDIO",)
    input_transcription: bool = True
    output_transcription: bool = True
    server_vad: ServerVad = field(default_factory=ServerVad)
    turn_detection: TurnDetection = "server"
    compression: Compression = Compression(enabled=False)
    live: Mapping[str, Any] = field(default_factory=dict)


def instruction(text: str, file: Path | None) -> str:
    """The instruction as text and as a file, one after the other. Raises OSError, UnicodeDecodeError."""
    read = file.read_text("utf-8").strip() if file is not None else ""
    return "\n\n".join(part for part in (text, read) if part)


def config(
    wanted: Wanted, *, handle: str | None = None, history_first: bool = False, functions: Sequence[Declaration] = ()
) -> dict[str, Any]:
    """The fields of a `LiveConnectConfig`.

    `handle` resumes a session. `history_first`: a context follows that the service must take in without answering;
    models from 3.1 on close with 1007 on client content that was not announced so.
    """
    ours: dict[str, Any] = {
        "response_modalities": list(wanted.modalities),
        "session_resumption": {"handle": handle} if handle else {},
    }
    if wanted.instruction:
        ours["system_instruction"] = wanted.instruction
    if "AUDIO" in wanted.modalities:
        ours["speech_config"] = _speech(wanted)
        if wanted.output_transcription:
            ours["output_audio_transcription"] = {}
    if wanted.input_transcription:
        ours["input_audio_transcription"] = {"language_codes": [wanted.language]} if wanted.language else {}
    vad: dict[str, Any] = {"disabled": True} if wanted.turn_detection == "client" else _vad(wanted.server_vad)
    if vad:
        ours["realtime_input_config"] = {"automatic_activity_detection": vad}
    if wanted.compression.enabled:
        ours["context_window_compression"] = _compression(wanted.compression)
    if functions:
        given = wanted.live.get("tools")
        ours["tools"] = [*(given if isinstance(given, list) else ()), declared(functions, wanted.model)]
    if history_first:
        ours["history_config"] = {"initial_history_in_client_content": True}
    live = snake_keys(wanted.live)
    if functions:
        live.pop("tools", None)  # both, not one over the other
    return merged(ours, live)


def checked(wanted: Wanted, check: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    """The fields of a session with everything in it, as `check` accepts them. Raises OptionError, naming the key."""
    fields = config(wanted, handle="checked", history_first=True)
    try:
        check(fields)
    except ValueError as error:
        raise OptionError(f"live: {error}") from error
    try:
        check_turns(wanted, fields)
    except ValueError as error:
        raise OptionError(str(error)) from error
    return fields


def takes_history_first(fields: Mapping[str, Any]) -> bool:
    """The session waits for a history that ends with `turnComplete`, and answers none of it."""
    return bool((fields.get("history_config") or {}).get("initial_history_in_client_content"))


def compresses(fields: Mapping[str, Any]) -> bool:
    """The service forgets the oldest of the session, which then ends neither after 15 minutes nor, with pictures, 2."""
    return (fields.get("context_window_compression") or {}).get("sliding_window") is not None


def leaves_turns_to_the_service(fields: Mapping[str, Any]) -> bool:
    """The service's own voice detection is on; without it, voice outside of activities is refused."""
    return not _detection(fields).get("disabled")


def check_turns(wanted: Wanted, fields: Mapping[str, Any]) -> None:
    """Raises ValueError, naming the key, where two options disagree about who detects turns."""
    client = wanted.turn_detection == "client"
    if client == leaves_turns_to_the_service(fields):
        expected = "true, for `turn_detection: client`" if client else "false; see `turn_detection: client`"
        raise ValueError(f"live: {DETECTION}.disabled: expected {expected}")
    if client and wanted.server_vad != ServerVad():
        raise ValueError("server_vad: has no effect with `turn_detection: client`; see `client_vad`")


def pause_ns(fields: Mapping[str, Any]) -> int:
    """For how long silence is sent behind a gate that closes: by then the service has taken the turn for over."""
    return max(PAUSE_NS, (_detection(fields).get("silence_duration_ms") or 0) * 1_000_000 + _MARGIN_NS)


def _detection(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return (fields.get("realtime_input_config") or {}).get("automatic_activity_detection") or {}


def declared(functions: Sequence[Declaration], model: str) -> dict[str, Any]:
    """The functions as a tool of the SDK. Whether the model waits for one is said only where `model` has a choice."""
    return {"function_declarations": [_function(each, model) for each in functions]}


def _function(function: Declaration, model: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": function["name"], "description": str(function.get("description") or "")}
    if function.get("parameters"):
        fields["parameters_json_schema"] = function["parameters"]
    if "3.1" not in model:  # which waits for each, and knows no word for it
        blocking = bool(function.get("blocking", True)) and "extended-thinking" not in model
        if not blocking or "gemini-2" not in model:
            fields["behavior"] = "BLOCKING" if blocking else "NON_BLOCKING"
    return fields


def _compression(compression: Compression) -> dict[str, Any]:
    window = {} if compression.target_tokens is None else {"target_tokens": compression.target_tokens}
    begins = {} if compression.trigger_tokens is None else {"trigger_tokens": compression.trigger_tokens}
    return {**begins, "sliding_window": window}


def _speech(wanted: Wanted) -> dict[str, Any]:
    speech: dict[str, Any] = {}
    if wanted.voice:
        speech["voice_config"] = {"prebuilt_voice_config": {"voice_name": wanted.voice}}
    if wanted.language:
        speech["language_code"] = wanted.language
    return speech


def _vad(vad: ServerVad) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "start_of_speech_sensitivity": vad.start_sensitivity and f"START_SENSITIVITY_{vad.start_sensitivity.upper()}",
        "end_of_speech_sensitivity": vad.end_sensitivity and f"END_SENSITIVITY_{vad.end_sensitivity.upper()}",
        "prefix_padding_ms": vad.prefix_padding_ms,
        "silence_duration_ms": vad.silence_duration_ms,
    }
    return {key: value for key, value in fields.items() if value is not None}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid on it, table by table; null removes."""
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def snake_keys(value: Any) -> Any:
    """Keys like `speechConfig` as `speech_config`, so that both spellings meet; the person's own data stays."""
    if isinstance(value, Mapping):
        named = ((snake(str(key)), inner) for key, inner in value.items())
        return {key: inner if key in AS_GIVEN else snake_keys(inner) for key, inner in named}
    return [snake_keys(inner) for inner in value] if isinstance(value, list) else value


def snake(name: str) -> str:
    """`speechConfig` as `speech_config`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
