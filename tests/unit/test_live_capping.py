"""When the money is spent the turn is finished, a goodbye said and the line closed, until the day or the visit ends."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.live import effects as fx
from pipeline.live import messages as m
from pipeline.live.budget import Budget, BudgetOptions
from pipeline.live.capping import AGAIN_S, FINISH_S
from pipeline.live.memory import Memory
from tests.rig.talk import MS, SECOND, Talk, sent

pytestmark = pytest.mark.unit

DEAR = m.Usage(100_000, 0, total=100_000, prompt_by_modality={"audio": 100_000})
"""0.30 USD."""


class Shop:
    """A conversation with a budget and a calendar."""

    def __init__(self, **caps: float) -> None:
        self.day = "2026-11-30"
        memory = Memory()
        budget = Budget(memory, BudgetOptions(**caps), "gemini-3.8-live", lambda: self.day)  # type: ignore[arg-type]
        self.talk = Talk(memory, budget=budget, idle_s=20.0)
        self.talk.up()

    def turn(self, *between: m.Incoming) -> None:
        self.talk.asks()
        self.talk.says(
            m.PersonSaid("How much?", True), SECOND, *between, DEAR, m.GenerationComplete(), m.TurnComplete()
        )

    def hears_all(self) -> None:
        epochs = self.talk.core.downlink.epochs
        self.talk.hears(epochs.epoch, epochs.at)

    def played(self) -> list[str]:
        return [body["name"] for body in self.talk.told("play")]


def closed(shop: Shop) -> bool:
    return shop.talk.core.want.reason == "capped"


def test_each_turn_is_told_with_its_cost_and_late_counts_come_after() -> None:
    shop = Shop()
    shop.turn()
    assert [(body["turn"], body["usd"], body["day_usd"]) for body in shop.talk.told("usage")] == [(1, 0.3, 0.3)]
    names = [effect.name for effect in shop.talk.done if isinstance(effect, fx.Tell)]
    assert names.index("usage") == names.index("turn_ended") + 1
    shop.talk.says(m.Usage(100_000, 1_000, 100, total=1, prompt_by_modality={"audio": 100_000}))
    late = shop.talk.told("usage")[1]
    assert (late["turn"], late["out"]) == (1, {"other": 1_000, "thoughts": 100})
    assert "prompt_tokens" not in shop.talk.told("turn_ended")[0]


def test_the_answer_is_finished_and_heard_before_the_goodbye() -> None:
    shop = Shop(day_usd=0.20)
    shop.talk.asks()
    shop.talk.says(SECOND, DEAR)
    shop.talk.wait(1)
    assert shop.talk.told("flush") == []
    shop.talk.says(SECOND, m.GenerationComplete(), m.TurnComplete())
    shop.talk.wait(1)
    assert shop.played() == [], "it is not heard yet"
    shop.hears_all()
    shop.talk.wait(0.1)
    assert shop.played() == ["goodbye"]
    assert shop.talk.told("play")[0]["cause"] == "capped"
    assert closed(shop)
    assert fx.HangUp() in shop.talk.done
    assert shop.talk.told("flush") == []
    assert "0.30 of 0.20" in shop.talk.core.budget.reason


def test_an_answer_without_an_end_is_cut() -> None:
    shop = Shop(day_usd=0.20)
    shop.talk.asks()
    shop.talk.says(DEAR)
    for _ in range(int(FINISH_S) + 2):
        shop.talk.says(SECOND)
        shop.talk.wait(1)
        if closed(shop):
            break
    assert shop.played() == ["goodbye"]
    assert shop.talk.told("turn_ended")[-1]["reason"] == "capped"
    assert shop.talk.told("flush")[-1]["cause"] == "capped", "what was not heard is not heard any more"


@pytest.mark.parametrize("back", [True, False])
def test_a_cap_that_is_reached_in_an_answer_whose_line_is_lost_ends_with_a_goodbye_and_opens_tomorrow(
    back: bool,
) -> None:
    shop = Shop(day_usd=0.20)
    shop.talk.asks()
    shop.talk.says(m.PersonSaid("How much?", True), m.MachineSaid("It is"), SECOND, SECOND, DEAR)
    shop.talk.down()
    shop.talk.wait(3)
    assert not closed(shop), "the answer is finished, on the next line"
    if back:
        assert any("Say the rest" in each.text for each in sent(shop.talk.up()) if isinstance(each, fx.SendText))
        shop.talk.says(SECOND, m.GenerationComplete(), m.TurnComplete())
        shop.hears_all()
    shop.talk.wait(1 if back else FINISH_S)
    assert shop.played() == ["goodbye"]
    assert closed(shop)
    shop.day = "2026-12-01"
    shop.talk.wait(70)
    shop.talk.asks()
    assert shop.talk.core.want.reason is None
    shop.talk.up()
    shop.talk.voice_to(shop.talk.now)
    shop.talk.says(SECOND, m.GenerationComplete(), m.TurnComplete())
    assert shop.talk.told("turn_ended")[-1]["outcome"] == "answered"


def test_who_speaks_to_it_is_told_and_not_answered_tomorrow() -> None:
    shop = Shop(day_usd=0.20)
    shop.turn()
    shop.hears_all()
    shop.talk.wait(0.1)
    shop.talk.down()
    turns = len(shop.talk.told("turn_started"))
    shop.talk.wait(AGAIN_S)
    end = 0
    for _ in range(3):
        end = shop.talk.asks(0.5)
        shop.talk.wait(2)
    assert shop.played() == ["goodbye", "capped"]
    assert sent(shop.talk.do(shop.talk.core.text_in(shop.talk.now, "hello?"))) == []
    assert len(shop.talk.told("turn_started")) == turns
    assert shop.talk.memory.answered_t is not None
    assert shop.talk.memory.answered_t >= end
    shop.talk.wait(70)
    assert shop.talk.told("visit")[-1]["open"] is False
    shop.talk.do(shop.talk.core.visitor_arrived(shop.talk.now))
    assert shop.played() == ["goodbye", "capped", "capped"]
    assert closed(shop)
    shop.day = "2026-12-01"
    shop.talk.wait(0.1)
    assert not closed(shop)
    shop.talk.asks()
    assert fx.Dial() in shop.talk.done
    assert len(shop.talk.told("turn_started")) == turns + 1


def test_a_visit_that_is_capped_ends_and_the_next_one_is_served() -> None:
    shop = Shop(visit_usd=0.20)
    shop.turn()
    shop.hears_all()
    shop.talk.wait(0.1)
    assert closed(shop)
    shop.talk.wait(40)
    shop.talk.asks(0.3)  # the same visitor: it is one visit
    shop.talk.wait(40)
    assert closed(shop)
    shop.talk.wait(21)
    assert shop.talk.told("visit")[-1]["open"] is False
    assert not closed(shop)


def test_what_is_said_while_the_goodbye_is_due_ends_with_an_outcome() -> None:
    shop = Shop(day_usd=0.20)
    shop.turn()
    start = shop.talk.now
    shop.talk.do(shop.talk.core.speech_started(shop.talk.now, start))
    shop.hears_all()
    shop.talk.wait(0.2)
    assert shop.talk.told("turn_ended")[-1]["outcome"] == "empty"
    shop.talk.voice_to(shop.talk.now)
    effects = shop.talk.do(shop.talk.core.speech_ended(shop.talk.now, shop.talk.now - 300 * MS, start))
    assert [effect.name for effect in effects if isinstance(effect, fx.Tell)] in ([], ["answered"])
    assert not shop.talk.core.turns.open


def test_a_capped_machine_that_starts_again_is_capped() -> None:
    shop = Shop(day_usd=0.20)
    shop.turn()
    memory = shop.talk.killed()
    budget = Budget(memory, BudgetOptions(day_usd=0.20), "gemini-3.8-live", lambda: "2026-11-30")
    options: dict[str, Any] = {"budget": budget, "now": shop.talk.now}
    after = Talk(memory, **options)
    after.wait(0.1)
    assert after.core.want.reason == "capped"


def test_the_machine_began_while_the_person_still_spoke() -> None:
    talk = Talk()
    talk.up()
    talk.do(talk.core.speech_started(talk.now, talk.now))
    talk.now += 2_000 * MS
    talk.says(SECOND)
    talk.now += 700 * MS
    talk.do(talk.core.speech_ended(talk.now, talk.now - 200 * MS, None))
    assert talk.told("talked_over") == [{"turn": 1, "ms": 500}]
