"""The parts of a conversation, for the rules that need several of them. Each part holds one idea and knows no other."""

from __future__ import annotations

from pipeline.live.budget import Budget
from pipeline.live.downlink import Downlink
from pipeline.live.interruption import Interruption
from pipeline.live.memory import Memory
from pipeline.live.resumption import Resumption
from pipeline.live.talked_over import TalkedOver
from pipeline.live.transcript import Transcript
from pipeline.live.turns import Turns
from pipeline.live.uplink import Uplink
from pipeline.live.visit import Visit


class Parts:
    """All of them, made of what `memory` kept. `line_for` names service and model."""

    def __init__(
        self, memory: Memory, uplink: Uplink, budget: Budget, greeting: str, ends_after_s: float, line_for: str
    ) -> None:
        self.memory = memory
        self.turns = Turns(memory.next_turn)
        self.uplink = uplink
        self.downlink = Downlink(memory)
        self.transcript = Transcript(self.turns, memory)
        self.budget = budget
        self.talked_over = TalkedOver()
        self.interruption = Interruption(self.transcript)
        self.visit = Visit(memory, greeting, ends_after_s)
        self.resumption = Resumption(memory, self.turns, line_for)
