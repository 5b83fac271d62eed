"""From one message of the SDK to our own values. Reads attributes only: needs no import of the SDK.

Several fields may come in one message, and every one is taken. Nothing here raises for a field that is missing, empty
or of an unknown value: what the service adds tomorrow must not end a conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pipeline.live import messages as m

UNSAID_S = 5.0
"""For the end of a line of which only is said that it is near: time for a gap, and nothing is lost if it is late."""
PLAYED_RATE = 24_000
"""Hertz of the answers, where the media type does not say."""


def incoming(message: Any) -> tuple[m.Incoming, ...]:
    """The values in a `LiveServerMessage`, in the order to act on them."""
    content = message.server_content
    values: list[m.Incoming] = []
    if content is not None:
        if content.interrupted:
            values.append(m.Interrupted())
        values += _person(content)
        values += _parts(content)
        values += _machine(content)
        values += _grounding(content)
    if message.tool_call is not None:
        for call in message.tool_call.function_calls or ():
            values.append(m.ToolCall(call.id or "", call.name or "", call.args or {}))
    if message.tool_call_cancellation is not None:
        values.append(m.ToolCallsCancelled(tuple(message.tool_call_cancellation.ids or ())))
    values += _session(message)
    if content is not None:
        values += _ends(content)
    return tuple(values)


def _person(content: Any) -> Iterator[m.Incoming]:
    if content.input_transcription is not None:
        yield m.PersonSaid(content.input_transcription.text or "", bool(content.input_transcription.finished))
    if content.interim_input_transcription is not None:
        yield m.PersonSaid(content.interim_input_transcription.text or "", interim=True)


def _machine(content: Any) -> Iterator[m.Incoming]:
    """After the sound of the same message: whoever has not heard that has not heard its words."""
    if content.output_transcription is not None:
        yield m.MachineSaid(content.output_transcription.text or "")


def _parts(content: Any) -> Iterator[m.Incoming]:
    parts = content.model_turn.parts if content.model_turn is not None else None
    for part in parts or ():
        if part.inline_data is not None:
            kind = part.inline_data.mime_type or "audio/pcm"
            if kind.startswith("audio/"):
                yield m.Speech(part.inline_data.data or b"", rate_of(kind))
            else:
                yield m.OtherPart(kind)
        elif part.text is not None:
            yield m.Text(part.text, bool(part.thought))
        else:
            named = sorted(part.model_dump(exclude_none=True))
            yield m.OtherPart(", ".join(named) or "empty")


def _grounding(content: Any) -> Iterator[m.Incoming]:
    found = content.grounding_metadata
    if found is not None:
        pages = (chunk.web.uri for chunk in found.grounding_chunks or () if chunk.web is not None)
        yield m.Grounding(tuple(found.web_search_queries or ()), tuple(uri for uri in pages if uri))
    read = content.url_context_metadata
    if read is not None:
        yield m.Grounding(sources=tuple(page.retrieved_url for page in read.url_metadata or () if page.retrieved_url))


def _session(message: Any) -> Iterator[m.Incoming]:
    if message.session_resumption_update is not None:
        update = message.session_resumption_update
        yield m.Handle(update.new_handle or "", bool(update.resumable and update.new_handle))
    if message.go_away is not None:
        left_s = seconds(message.go_away.time_left)
        yield m.GoAway(UNSAID_S if left_s is None else left_s)
    if message.voice_activity is not None:
        kind = "start" if "START" in _word(message.voice_activity.voice_activity_type) else "end"
        yield m.VoiceActivity(kind, seconds(message.voice_activity.audio_offset))
    if message.voice_activity_detection_signal is not None:
        word = _word(message.voice_activity_detection_signal.vad_signal_type)
        yield m.VoiceActivity("start" if word.endswith("SOS") else "end")
    if message.usage_metadata is not None:
        yield _usage(message.usage_metadata)


def _ends(content: Any) -> Iterator[m.Incoming]:
    if content.generation_complete:
        yield m.GenerationComplete()
    if content.waiting_for_input:
        yield m.WaitingForInput()
    status = _word(content.interaction_status)
    if content.turn_complete:
        goes_on = status in ("IN_PROGRESS", "REQUIRES_ACTION")
        yield m.TurnComplete(_word(content.turn_complete_reason), goes_on)
    elif status == "IDLE":
        yield m.Idle()


def _usage(usage: Any) -> m.Usage:
    return m.Usage(
        prompt=usage.prompt_token_count or 0,
        response=usage.response_token_count or 0,
        thoughts=usage.thoughts_token_count or 0,
        tool_use=usage.tool_use_prompt_token_count or 0,
        total=usage.total_token_count or 0,
        prompt_by_modality=_by_modality(usage.prompt_tokens_details),
        response_by_modality=_by_modality(usage.response_tokens_details),
    )


def _by_modality(details: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for detail in details or ():
        word = _word(detail.modality).lower()
        counts[word] = counts.get(word, 0) + (detail.token_count or 0)
    return counts


def _word(value: Any) -> str:
    """An enum of the SDK, also one that it does not know, as its word."""
    return "" if value is None else str(getattr(value, "value", value))


def seconds(duration: Any) -> float | None:
    """`"9.5s"` as 9.5; None for what is no duration."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*s?\s*", str(duration or ""))
    return float(match.group(1)) if match else None


def rate_of(media_type: str) -> int:
    """Hertz in `audio/pcm;rate=24000`; 24,000 where it says none."""
    match = re.search(r"rate=(\d+)", media_type)
    return int(match.group(1)) if match and int(match.group(1)) > 0 else PLAYED_RATE
