"""The transcript of an answer, cut where playback says that hearing ended, at a word.

The service generates faster than it is heard, and sends words and sound apart from each other. Whatever is told to the
model later must not claim that the person heard what was cut off, so in doubt this says less.
"""

from __future__ import annotations

from bisect import bisect_right

RATE = 24_000
SENTENCE_ENDS = ".!?…:;,"
FASTEST_CHARS_S = 22
"""Nobody speaks faster. Bounds what can have been heard while the words run ahead of the sound."""


class AnswerText:
    """The words of one answer within one epoch. Places are samples of 24 kHz of that epoch."""

    def __init__(self, epoch: int, start_at: int) -> None:
        self.epoch = epoch
        self.start_at = start_at
        self.end_at = start_at
        self.complete = False
        """All of its sound and words are here, as far as the service says."""
        self._text = ""
        self._seam = False
        """A function was called: what follows is another sentence, though the service puts no space between them."""
        self._marks: list[tuple[int, int]] = []
        """(end of the sound, length of the text) at each piece of text: roughly what was spoken by when."""

    @property
    def text(self) -> str:
        """All of it, heard or not."""
        return " ".join(self._text.split())

    def begins(self, epoch: int, at: int) -> None:
        """Its first sound goes to `at` of `epoch`; words that came ahead of it are kept."""
        self.epoch, self.start_at, self.end_at = epoch, at, at
        self._marks = [(at, len(self._text))] if self._text else []

    def sound(self, end_at: int) -> None:
        """Sound was sent up to `end_at`."""
        self.end_at = max(self.end_at, end_at)

    def words(self, piece: str) -> None:
        """A piece of the transcript came."""
        if not piece:
            return
        if self._seam and self._text:
            self._sew(self._text[-1], piece[0])
        self._text += piece
        mark = (self.end_at, len(self._text))
        if self._marks and self._marks[-1][0] == mark[0]:
            self._marks[-1] = mark
        else:
            self._marks.append(mark)

    def called(self) -> None:
        """The answer waits for a function, and goes on behind it."""
        self._seam = True

    def cut(self) -> None:
        """The line is gone: what another one adds begins with a word of its own."""
        if self._text:
            self._text += " "

    def _sew(self, before: str, after: str) -> None:
        """A space, once the sentence from before the call is over: its last pieces may come behind the call."""
        if before.isspace() or after.isspace():
            self._seam = False
        elif before in SENTENCE_ENDS or after.isupper():
            self._text, self._seam = f"{self._text} ", False

    def heard(self, at: int) -> str:
        """What was heard by place `at`: a prefix that ends at a word; all of a whole answer if all was heard."""
        if at >= self.end_at and self.complete:
            return self.text
        length = min(self._spoken_by(at), (max(0, at - self.start_at) * FASTEST_CHARS_S) // RATE)
        if length <= 0:
            return ""
        if length < len(self._text) and not self._text[length].isspace():
            cut = max(self._text.rfind(" ", 0, length), self._text.rfind("\n", 0, length))
            length = max(cut, 0)
        return " ".join(self._text[:length].split())

    def _spoken_by(self, at: int) -> int:
        """Characters spoken by `at`, straight lines between the marks."""
        if at <= self.start_at or not self._text or self.end_at == self.start_at:
            return 0
        points = [(self.start_at, 0), *(mark for mark in self._marks if mark[0] > self.start_at)]
        if points[-1][0] < self.end_at:
            points.append((self.end_at, len(self._text)))
        else:
            points[-1] = (self.end_at, len(self._text))
        at = min(at, self.end_at)
        index = bisect_right([place for place, _ in points], at) - 1
        if index >= len(points) - 1:
            return points[-1][1]
        (place, chars), (next_place, next_chars) = points[index], points[index + 1]
        return chars + (next_chars - chars) * (at - place) // (next_place - place)
