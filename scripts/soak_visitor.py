"""The visitor: asks, waits for the answer, asks again. Knows nothing but what sounds at the speaker."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from scripts.soak_judge import Question
from scripts.soak_world import Mouth, Recording, SpeakerEar

PATIENCE_S = 15.0
"""How long a visitor waits for the first sound of an answer, from the moment that the world is whole."""
WHOLE = 0.85
"""Share of an answer's usual length from which it counts as told to its end."""
HANGING_S = 5.0
"""After so long a silence in mid-answer nothing more is expected."""
QUIET_S = 0.7
"""Silence that ends an answer which was told to its end."""
GAP_S = (0.5, 2.5)
"""Between an answer and the next question."""


class Visitor:
    """Call `look` many times a second."""

    def __init__(
        self, seed: int, mouth: Mouth, ear: SpeakerEar, sentences: Sequence[Recording], answer_s: float
    ) -> None:
        """`answer_s`: how long an answer usually sounds."""
        self._dice, self._mouth, self._ear = random.Random(f"visitor {seed}"), mouth, ear
        self._sentences, self._answer_s = sentences, answer_s
        self.questions: list[Question] = []
        self.resting = True
        """Between two questions."""
        self._next_at = time.monotonic()
        self._heard = 0

    def look(self, *, broken: bool, asks: bool) -> None:
        """`broken`: the world is not whole, so patience has not begun. `asks`: ask another question when it is time."""
        now = time.monotonic()
        if self.resting:
            if asks and now >= self._next_at and self._silent_s(now) > QUIET_S:
                self._ask()
            return
        question = self.questions[-1]
        if self._mouth.speaking:
            return
        question.unheard_s = self._mouth.unheard_s
        self._listen(question, now)
        if broken:
            self._patient_since = now
        if question.answer is None:
            if now - max(self._patient_since, question.ends) > PATIENCE_S:
                self._rest(now)
            return
        whole = question.sounded_s >= WHOLE * self._answer_s
        if self._silent_s(now) > (QUIET_S if whole else HANGING_S):
            self._rest(now)

    def _ask(self) -> None:
        said = self._sentences[len(self.questions) % len(self._sentences)]
        self._mouth.say(said)
        self.questions.append(Question(len(self.questions) + 1, said, self._mouth.began))
        self.resting, self._patient_since = False, self._mouth.began
        self._heard = len(self._ear.loud)

    def _listen(self, question: Question, now: float) -> None:
        loud = self._ear.loud
        for at in loud[self._heard : len(loud)]:
            if at >= question.ends:
                question.answer = at if question.answer is None else question.answer
                question.sounded_s += 0.01
            self._heard += 1

    def _silent_s(self, now: float) -> float:
        return now - self._ear.loud[-1] if self._ear.loud else 1e9

    def _rest(self, now: float) -> None:
        self.resting, self._next_at = True, now + self._dice.uniform(*GAP_S)
