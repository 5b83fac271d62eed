"""What is lost where a place of the pipeline is filled by a stage that lacks a promise of PROTOCOL.md, section 9."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pipeline.config import voices
from pipeline.config.descriptions import Described, Description
from pipeline.config.tables import StageTable

OWES: Final = {
    "frontend": {
        "speech_started": "a new session can't replay a question from its start",
        "speech_ended": "no latency of a turn is known, an idle line is not reopened in time",
    },
    "session": {"flush": "speech that was interrupted plays on"},
    "playback": {"heard": "transcripts run ahead of what was heard, epochs begin anew with a new session"},
    "tools": {"tool_result": "the model waits for ever"},
}
"""Place to the events that it owes, and what is lost without them."""
MEMORY: Final = {
    "capture": "what is said while frontend is replaced is lost",
    "frontend": "what is said while session is away is lost",
    "session": "a restarted playback falls silent in mid-answer",
}
"""What a place must keep for readers that come back; our library does, a program has to by itself."""
WAV_SOURCE: Final = "pipeline.stages.wav_source:"
EVERYTHING: Final = "*"


def _ends(stages: Sequence[StageTable]) -> Iterator[str]:
    """A microphone that can't speak, a mouth that is missing."""
    for table in stages:
        if (table.use or "").startswith(WAV_SOURCE) and not table.options.get("files"):
            yield f"stages.{table.name}: no `files`: nothing is ever said"
    if any(table.name == "session" for table in stages) and not any("reply" in table.inputs for table in stages):
        yield "stages.playback: missing, and no other stage reads `reply`: answers are not heard"


def warnings(stages: Sequence[StageTable], described: Mapping[str, Described]) -> Iterator[str]:
    """One line for each promise that is not seen."""
    options = {table.name: table.options for table in stages}
    if options.get("session", {}).get("opens") == "wake" and not options.get("frontend", {}).get("wake_word"):
        yield "stages.session.opens: wake, and frontend has no wake_word: nobody can open the line; add one"
    yield from _ends(stages)
    yield from voices.unknown(stages)
    for table in stages:
        owed = OWES.get(table.name, {})
        if table.command is not None:
            kept = {"a memory (`replays`)": MEMORY[table.name]} if table.name in MEMORY else {}
            for what, lost in {**kept, **{f"event.{name}": lost for name, lost in owed.items()}}.items():
                yield f"stages.{table.name}: a program in this place has to bring {what}: without it {lost}"
            continue
        found = described.get(table.name)
        if not isinstance(found, Description) or EVERYTHING in found.tells:
            continue
        for name, lost in owed.items():
            if name not in found.tells:
                yield f"stages.{table.name}: {found.use} never tells event.{name}: {lost}"
