"""What is typed to the machine. It is owed until it was answered, whichever line or process dies meanwhile."""

from __future__ import annotations

from pipeline.live.course import Course
from pipeline.live.effects import Effect, Note, Save, SendText
from pipeline.live.parts import Parts
from pipeline.live.turn import Kind

TAKEN = 16
"""Texts that are remembered as taken: who tells them tells them again to each session that comes."""
REPORT_S = 2.0
"""A playback that lives repeats its newest report to a new session at once, and while it speaks each 100 ms."""
_NS = 1_000_000_000


class Texts:
    """One after the other: of several at once the service answers only the last."""

    def __init__(self, parts: Parts, course: Course) -> None:
        self._parts, self._course = parts, course
        self._began_ns = 0

    def known(self, name: str) -> bool:
        """It was taken before; empty: it has no name to know it by. Else it is now."""
        taken = self._parts.memory.texts_taken
        if name and name in taken:
            return True
        taken += [name] if name else []
        del taken[:-TAKEN]
        return False

    def given(self, now_ns: int, text: str, kind: Kind, *, connected: bool) -> list[Effect]:
        """A text that is to be answered."""
        effects = self._course.changes(self._parts.turns.text_sent(now_ns, text, kind), now_ns)
        self._course.keep_turn()
        return [*effects, *([SendText(text)] if connected else []), Save()]

    def restored(self, now_ns: int) -> list[Effect]:
        """Those that waited behind the turn of a session that died."""
        self._began_ns = now_ns
        effects: list[Effect] = []
        for text in list(self._parts.memory.texts):
            effects += self._course.changes(self._parts.turns.text_sent(now_ns, text), now_ns)
        self._course.keep_turn()
        return effects

    def line_up(self) -> list[Effect]:
        """A fresh line: the text whose turn it is."""
        self._parts.turns.line_up()
        return self.next()

    def tick(self, now_ns: int) -> list[Effect]:
        """Time passes, a line is up and nothing plays. An answer whose playback died with the session is given anew."""
        left, downlink = self._course.left_playing, self._parts.downlink
        if left is None:
            return self.next()
        if not downlink.heard_once and not self._parts.turns.open and now_ns - self._began_ns < REPORT_S * _NS:
            return []
        self._course.left_playing = None
        if downlink.heard_once or self._parts.turns.open:
            return self.next()
        words = (
            f'(Your answer was cut off before it was heard. You had been asked: "{left.text or left.person}". You had '
            f'answered: "{left.machine}". Say that answer again, and nothing about the cut.)'
        )
        again = self.given(now_ns, words, "text", connected=True)
        return [Note("playback died with its answer: it is asked for again", {"was": left.id}), *again]

    def next(self) -> list[Effect]:
        """The text whose turn it is and that the line must still be given."""
        return [SendText(text)] if (text := self._parts.turns.next_text()) else []
