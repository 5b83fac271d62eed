"""One turn of the person, and what the model is doing about it."""

import enum
from collections import Counter
from dataclasses import dataclass, field

from pipeline.simulator.fault import Answer
from pipeline.simulator.replies import NOTHING, Choice
from pipeline.simulator.usage import Tokens


class Phase(enum.Enum):
    """What the model is doing."""

    IDLE = enum.auto()
    THINKING = enum.auto()
    SPEAKING = enum.auto()
    PLAYING = enum.auto()
    CALLING = enum.auto()


@dataclass
class Turn:
    """One turn of the person. `kind`: speech, text, or tool (a late result that the model speaks of by itself)."""

    kind: str
    typed: str = ""
    seconds: float = 0.0
    tokens: Tokens = field(default_factory=Counter)
    choice: Choice = field(default_factory=lambda: Choice(NOTHING, None, 0))
    answer: Answer = field(default_factory=Answer)
    begun: bool = False
    called: bool = False
    sent_words: str = ""
    sent_samples: int = 0

    @property
    def words(self) -> str:
        """What the person said, as far as anyone can know."""
        if self.kind != "speech":
            return self.typed
        return self.choice.reply.heard or f"[speech, {self.seconds:.1f} s]"
