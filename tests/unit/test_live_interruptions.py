"""A thousand interruptions, here and by the service, at every stage of an answer: nothing stale, nothing new cut."""

from __future__ import annotations

import random

import pytest

from pipeline.live import effects as fx
from pipeline.live import messages as m
from tests.rig.talk import MS, Talk

pytestmark = pytest.mark.unit

PIECE_MS = 40


class Round:
    """One question, its answer of generation `number`, and how it is cut. The service hears of things late."""

    def __init__(self, talk: Talk, number: int, dice: random.Random) -> None:
        self.talk, self.dice = talk, dice
        self.tag = number % 250 + 1
        self.begun = len(talk.done)

    def piece(self) -> m.Speech:
        return m.Speech(bytes([self.tag, 0]) * (24 * PIECE_MS))

    def spoken(self) -> list[fx.Speak]:
        """Pieces of this generation that went to the speaker."""
        return [e for e in self.talk.done[self.begun :] if isinstance(e, fx.Speak) and e.pcm[0] == self.tag]

    def stale(self, since: int) -> list[fx.Effect]:
        """Pieces of this generation that were spoken after it was silenced, which was not before `since`."""
        after: list[fx.Effect] = []
        silenced = False
        for effect in self.talk.done[since:]:
            silenced = silenced or (isinstance(effect, fx.Tell) and effect.name == "flush")
            if silenced and isinstance(effect, fx.Speak) and effect.pcm[0] == self.tag:
                after.append(effect)
        return after

    def play(self) -> None:
        """The speaker has played some of what it was given."""
        epochs = self.talk.core.downlink.epochs
        self.talk.hears(epochs.epoch, self.dice.randrange(epochs.heard_at, epochs.at + 1))

    def answer(self) -> str:
        """The service answers, up to a stage that chance takes; returns the stage."""
        talk, dice = self.talk, self.dice
        talk.asks(0.3)
        talk.wait(0.3)
        self.pieces = dice.randrange(2, 30)
        for _ in range(self.pieces):
            talk.says(self.piece())
            if dice.random() < 0.2:
                self.play()
        stage = dice.choice(["generating", "generated", "over"])
        if stage != "generating":
            talk.says(m.GenerationComplete())
        if stage == "over":
            talk.says(m.TurnComplete())
        return stage

    def cut(self, stage: str) -> None:
        """The person speaks over it."""
        talk, dice = self.talk, self.dice
        here, there = dice.choice([(True, True), (True, False), (False, True)])
        if here:
            talk.do(talk.core.barge_in(talk.now))
        if stage == "generating" and not here:
            there = True
        if stage == "generating":
            for _ in range(dice.randrange(0, 20)):
                talk.now += dice.randrange(0, 60) * MS
                talk.says(self.piece())  # on their way when the service noticed
        if (stage == "generating" or there) and stage != "over":
            talk.says(m.Interrupted())
        if stage != "over":
            talk.says(m.TurnComplete())
        elif there and dice.random() < 0.5:
            talk.says(m.Interrupted(), m.TurnComplete())  # to a generation that it has long ended


@pytest.mark.parametrize("seed", [1, 2])
def test_1000_interruptions_leave_no_stale_sound_and_cut_no_new_answer(seed: int) -> None:
    dice = random.Random(seed)
    talk = Talk()
    talk.up()
    for number in range(1000):
        cut = Round(talk, number, dice)
        stage = cut.answer()
        since = len(talk.done)
        cut.cut(stage)
        assert cut.stale(since) == [], f"round {number}, {stage}"
        before = len(talk.done)
        fresh = Round(talk, number + 125, dice)
        talk.asks(0.2)
        for _ in range(10):
            talk.says(fresh.piece())
        talk.says(m.GenerationComplete())
        assert len(fresh.spoken()) == 10, f"round {number}, {stage}: the new answer is not whole"
        epochs = {e.epoch for e in fresh.spoken()}
        assert len(epochs) == 1
        later = [e for e in talk.done[before:] if isinstance(e, fx.Tell) and e.name == "flush"]
        assert all(e.body["epoch"] <= min(epochs) for e in later), f"round {number}, {stage}: the new answer is cut"
        talk.hears(talk.core.downlink.epochs.epoch, talk.core.downlink.epochs.at)
        talk.says(m.TurnComplete())
        talk.wait(0.1)
        del talk.done[: max(0, len(talk.done) - 50)]
