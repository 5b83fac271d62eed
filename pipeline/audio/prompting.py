"""Which prompt or earcon sounds when: one after the other, never over an answer, not again and again. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from pipeline.audio.account import PROMPT
from pipeline.audio.jitter import Chunk
from pipeline.audio.pcm import Samples

_S = 1_000_000_000

AGAIN_NS = 60 * _S
"""The same prompt for the same cause is not repeated sooner: a line that flaps would say it all day."""
STALE_NS = 5 * _S
"""What has waited for so long behind an answer is no news any more."""
LOOP_NS = 30 * _S
"""A loop whose owner died ends all the same."""
FINISH_NS = 3 * _S
"""An answer waits so long for a prompt to finish its sentence; a filler ends at once."""
WAITING = 2
"""Prompts that wait behind what sounds; one more is refused."""
REMEMBERED = 64

FILLERS = ("thinking", "one-moment")
"""Said only to bridge a silence."""
AGAIN_AT_ONCE = ("filler", "command")
"""Causes that may be repeated: each silence is another, and a person who asks again wants to hear it again."""


@dataclass
class Prompt:
    """A sound of ours: 24 kHz mono samples. A source of chunks that belong to no answer."""

    name: str
    samples: Samples
    cause: str = ""
    loop: bool = False
    asked_ns: int = 0
    began_ns: int = 0
    _at: int = field(default=0, init=False)

    @property
    def filler(self) -> bool:
        """Whether it ends as soon as there is an answer."""
        return self.loop or self.cause == "filler" or self.name in FILLERS

    @property
    def drained(self) -> bool:
        """Everything was taken. Never true of a loop."""
        return not self.loop and self._at >= self.samples.size

    def take(self, count: int) -> Chunk | None:
        """At most `count` samples."""
        begin = self._at % self.samples.size if self.loop else self._at
        part = self.samples[begin : begin + count]
        if not part.size:
            return None
        chunk = Chunk(PROMPT, self._at, part)
        self._at += part.size
        return chunk


class Prompting:
    """What was asked for, and what sounds now."""

    def __init__(self) -> None:
        self.current: Prompt | None = None
        self.refused = 0
        self._waiting: deque[Prompt] = deque()
        self._said: dict[tuple[str, str], int] = {}

    def ask(self, prompt: Prompt, now_ns: int, *, answering: bool) -> str:
        """It is wanted now. "" if it will sound, else why not. `answering`: an answer sounds or is about to."""
        why = self._refusal(prompt, now_ns, answering)
        if why:
            self.refused += 1
            return why
        prompt.asked_ns = now_ns
        if prompt.cause not in AGAIN_AT_ONCE and not prompt.filler:
            self._said = {key: at for key, at in self._said.items() if now_ns - at < AGAIN_NS}
            while len(self._said) >= REMEMBERED:
                self._said.pop(next(iter(self._said)))
            self._said[prompt.name, prompt.cause] = now_ns
        self._waiting.append(prompt)
        return ""

    def _refusal(self, prompt: Prompt, now_ns: int, answering: bool) -> str:
        if not prompt.samples.size:
            return "it is empty"
        if prompt.filler and answering:
            return "an answer sounds"
        if any(p.name == prompt.name for p in (*self._waiting, *([self.current] if self.current else []))):
            return "it sounds already"
        said = self._said.get((prompt.name, prompt.cause))
        if said is not None and now_ns - said < AGAIN_NS:
            return "it was said less than a minute ago"
        if len(self._waiting) >= WAITING:
            return "others wait already"
        return ""

    def next(self, now_ns: int) -> Prompt | None:
        """The next one begins, if one waits that is still news."""
        while self._waiting:
            prompt = self._waiting.popleft()
            if now_ns - prompt.asked_ns < STALE_NS:
                prompt.began_ns = now_ns
                self.current = prompt
                return prompt
        return None

    @property
    def waits(self) -> bool:
        """Whether another one is wanted."""
        return bool(self._waiting)

    def stop(self, name: str) -> bool:
        """`name` is wanted no more. True if it sounds now and must be ended."""
        self._waiting = deque(p for p in self._waiting if p.name != name)
        return self.current is not None and self.current.name == name

    def yields(self, now_ns: int, answer_since_ns: int | None) -> bool:
        """Whether the current one must end before it is over: for the answer that is there since, or by its bound."""
        if self.current is None:
            return False
        if self.current.loop and now_ns - self.current.began_ns > LOOP_NS:
            return True
        if self.current.filler:
            return answer_since_ns is not None or bool(self._waiting)
        return answer_since_ns is not None and now_ns - answer_since_ns > FINISH_NS
