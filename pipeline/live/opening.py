"""Who may open a paid line, and what of the voice before that is nobody's business."""

from __future__ import annotations

from typing import Literal

from pipeline.live.course import Course
from pipeline.live.effects import Effect, Save
from pipeline.live.parts import Parts
from pipeline.live.uplink import RECENT_NS
from pipeline.live.want import Want

Opens = Literal["always", "speech", "wake", "trigger", "presence"]
"""always: the line is never closed for idleness. speech: whoever speaks opens it. wake, trigger, presence: nothing that
is said goes up before the wake word, before any `trigger`, before `visitor_arrived`."""
WAKE = "wake word"
"""How a trigger by a wake word says who it is."""


SENTENCE_NS = 5_000_000_000
"""A sentence that was begun no longer before goes up whole: its wake word stood at the beginning or in the middle."""


class Opening:
    """Keeps the line shut until it is opened, and shuts it when the visit or the line is over."""

    def __init__(self, parts: Parts, course: Course, want: Want, opens: Opens) -> None:
        self._parts, self._course, self._want, self._opens = parts, course, want, opens
        self._gated = opens in ("wake", "trigger", "presence")
        self._visited = False

    @property
    def shut(self) -> bool:
        """Nobody has opened it: what is said is not for the service."""
        return self._want.shut

    def start(self) -> None:
        """This stage is up. A visit that was open has a visitor who has opened it."""
        self._visited = self._parts.visit.id is not None
        self._want.shut = self._gated and not self._visited

    def by_trigger(self, by: str) -> bool:
        """Somebody or something triggers. True if it may open the line, or may keep it open."""
        if self._opens == "presence" or (self._opens == "wake" and not by.startswith(WAKE)):
            return not self.shut
        self._want.shut = False
        return True

    def by_person(self) -> None:
        """A sensor that is believed saw somebody, or somebody typed."""
        self._want.shut = False

    def by_presence(self) -> bool:
        """A sensor saw somebody. True if it may open the line, or need not."""
        if self._opens in ("wake", "trigger"):
            return not self.shut
        self._want.shut = False
        return True

    def opened(self) -> list[Effect]:
        """It was shut until now: all but the sentence under way was not meant for the service."""
        uplink = self._parts.uplink
        if uplink.seen_t is None:
            return []
        return [*self._course.answered(uplink.seen_t - (RECENT_NS if uplink.quiet else SENTENCE_NS)), Save()]

    def speech_ended(self, at_t: int) -> list[Effect]:
        """Somebody spoke before it was opened: nobody will answer that, not after the next trigger either."""
        return [*self._course.answered(at_t), Save()]

    def tick(self, *, idle: bool) -> None:
        """Time passes. `idle`: the line is closed, for nobody needs it."""
        visited, self._visited = self._visited, self._parts.visit.id is not None
        if self._gated and (idle or (visited and not self._visited)):
            self._want.shut = True
