"""Who said what from when to when, as a tape tells it. Pure.

A person's words come from the service when they have been said: their time is that of the speech the front end heard.
The machine's run ahead of its voice: theirs begins when it is audible, and ends with the last word on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from pipeline.bus.tape import Entry

SHORTEST_NS = 1_000_000_000
"""Of words of which nobody knows when they were said."""
SOUNDS = ("audio.voice", "audio.played")
"""What is put into a WAV file, whose beginning is ours."""


class Cue(NamedTuple):
    """ns since the first sound of both sides, or since the first message of a tape without any."""

    start_ns: int
    end_ns: int
    who: str
    text: str


class Subtitles:
    """Give it every message of a tape, then take `cues`."""

    def __init__(self) -> None:
        self._first_ns: int | None = None
        self._zero_ns: int | None = None
        self._last_ns = 0
        self._cues: list[Cue] = []
        self._open: dict[tuple[str, Any], tuple[int, str]] = {}
        self._utterances: list[tuple[int, int | None]] = []
        self._given = 0
        """Utterances that some words belong to already."""
        self._begins: dict[int, int] = {}
        """Of each turn, its first utterance."""
        self._audible: list[int] = []

    def hear(self, entry: Entry) -> None:
        """The next message."""
        self._last_ns = entry.ns
        self._first_ns = entry.ns if self._first_ns is None else self._first_ns
        if entry.topic in SOUNDS:
            t = entry.fields.get("t")
            if isinstance(t, int) and entry.fields.get("replay") is None:
                self._zero_ns = t if self._zero_ns is None else min(t, self._zero_ns)
            return
        body = entry.fields.get("body")
        if isinstance(body, dict):
            self._event(entry.topic, body, entry.ns)

    def cues(self) -> list[Cue]:
        """In the order of their beginnings; words that were under way at the end of the tape are among them."""
        for (who, _), (start, text) in self._open.items():
            self._say(start, self._last_ns, who, text)
        self._open.clear()
        zero = self._zero_ns if self._zero_ns is not None else self._first_ns or 0
        moved = [Cue(max(0, cue.start_ns - zero), max(0, cue.end_ns - zero), cue.who, cue.text) for cue in self._cues]
        return sorted(moved)

    def _event(self, topic: str, body: dict[Any, Any], ns: int) -> None:
        t, turn = body.get("t"), body.get("turn")
        if topic == "event.speech_started" and isinstance(t, int):
            self._utterances.append((t, None))
        elif topic == "event.speech_ended" and isinstance(t, int) and self._utterances:
            self._utterances[-1] = self._utterances[-1][0], t
        elif topic == "event.turn_started" and isinstance(turn, int) and len(self._utterances) > self._given:
            self._begins.setdefault(turn, len(self._utterances) - 1)
        elif topic == "event.audible" and isinstance(t, int):
            self._audible.append(t)
        elif topic == "event.caption" and isinstance(who := body.get("who"), str):
            self._caption(who, turn if isinstance(turn, int) else -1, body, ns)

    def _caption(self, who: str, turn: int, body: dict[Any, Any], ns: int) -> None:
        text = str(body.get("text", "")).strip()
        start, _ = self._open.get((who, turn), (ns, ""))
        if not body.get("final"):
            self._open[who, turn] = start, text
            return
        self._open.pop((who, turn), None)
        if who == "person":
            self._say(*self._spoken(turn, start, ns), who, text)
            return
        sounded = [t for t in self._audible if start - SHORTEST_NS <= t <= ns]
        self._audible.clear()
        begin = sounded[0] if sounded else start
        self._say(begin, max(ns, begin), who, text)

    def _spoken(self, turn: int, start: int, ns: int) -> tuple[int, int]:
        later = [first for other, first in self._begins.items() if other > turn and first > self._given]
        mine = self._utterances[self._given : min(later, default=len(self._utterances))]
        self._given += len(mine)
        if not mine:
            return start, max(ns, start + SHORTEST_NS)
        end = mine[-1][1]
        return mine[0][0], max(mine[0][0], ns if end is None else end)

    def _say(self, start_ns: int, end_ns: int, who: str, text: str) -> None:
        if text:
            self._cues.append(Cue(start_ns, end_ns, who, text))


def cues_of(entries: Iterable[Entry]) -> list[Cue]:
    """Of a whole tape."""
    subtitles = Subtitles()
    for entry in entries:
        subtitles.hear(entry)
    return subtitles.cues()
