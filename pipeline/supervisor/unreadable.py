"""Which stage says what nobody can read, told by those who read it: it is that one's fault, not its readers'. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

UNREADABLE: Final = "nobody can read what it says"
REMEDY: Final = "mend the program that says it: pipeline/bus/PROTOCOL.md, section 3"
OFTEN: Final = 3
"""A message or two that went wrong are counted by who reads them, and no more."""
QUIET_S: Final = 5.0
"""Without another one for so long, it can be read again."""


@dataclass
class Episode:
    """Malformed messages of one stage, with less than QUIET_S between them."""

    last: float
    words: str
    said: float
    """When those words were true last."""
    number: int = 0


class Unreadable:
    """Malformed messages by who sends them."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._episodes: dict[str, Episode] = {}

    def note(self, now: float, reader: str, writer: str, count: int, words: str) -> None:
        """`reader` has had so many malformed messages of `writer` since it began, the last one described by `words`."""
        before = self._counts.get((reader, writer), 0)
        self._counts[reader, writer] = count
        new = count - before if count >= before else count  # less than before: it is another process
        if new <= 0:
            return
        episode = self._episodes.get(writer)
        if episode is None or now - episode.last > QUIET_S:
            episode = self._episodes[writer] = Episode(now, words, now)
        if words.partition(", got")[0] == episode.words.partition(", got")[0]:
            episode.said = now
        elif now - episode.said > QUIET_S:
            episode.words, episode.said = words, now
        episode.last, episode.number = now, episode.number + new

    def words(self, now: float, writer: str) -> str:
        """Why nobody can read what it says now; "" if they can. The same words as long as they are true."""
        episode = self._episodes.get(writer)
        if episode is None or episode.number < OFTEN or now - episode.last > QUIET_S:
            return ""
        return f"{UNREADABLE}: {episode.words[:200]}"


def told(bus: Any) -> dict[str, tuple[int, str]]:
    """What a beat tells of it, by writer; anybody may have written that beat, so whatever is odd is left out."""
    found = bus.get("unreadable") if isinstance(bus, dict) else None
    if not isinstance(found, dict):
        return {}
    return {
        writer: (entry[0], entry[1])
        for writer, entry in found.items()
        if isinstance(writer, str)
        and isinstance(entry, list)
        and len(entry) == 2
        and isinstance(entry[0], int)
        and isinstance(entry[1], str)
    }
