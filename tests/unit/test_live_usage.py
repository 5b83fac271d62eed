"""What a report adds, what it costs, and when that is enough."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.options import check_value, kind_of
from pipeline.live import effects as fx
from pipeline.live import messages as m
from pipeline.live.budget import BELIEVED_S, Budget, BudgetOptions
from pipeline.live.memory import Memory
from pipeline.live.prices import TABLE, Price, price_of
from pipeline.live.usage import AUDIO_PER_S, Counts, Meter, Tokens, tokens_of

pytestmark = pytest.mark.unit

S = 1_000_000_000


def report(prompt: int, response: int, **more: Any) -> m.Usage:
    return m.Usage(prompt, response, total=prompt + response, **more)


# Counting


def test_a_report_is_split_by_kind_and_what_it_does_not_explain_is_kept() -> None:
    usage = m.Usage(522, 42, 136, 7, 564, {"text": 332, "audio": 165, "document": 3}, {"audio": 42})
    tokens = tokens_of(usage)
    assert tokens.taken == {"text": 332, "audio": 165, "other": 25, "tool": 7}
    assert tokens.given == {"audio": 42, "thoughts": 136}
    assert tokens.total == 522 + 42 + 136 + 7
    assert tokens_of(m.Usage(total=90)).taken == {"other": 90}
    assert tokens_of(report(10, 5, prompt_by_modality={"text": 12})).taken == {"text": 12}


def spoken(meter: Meter, reports: list[tuple[int, int]], seconds: list[float], **how: Any) -> list[int]:
    meter.line_up(resumed=False)
    news = []
    for (prompt, response), length in zip(reports, seconds, strict=True):
        meter.received(audio_s=length, **how)
        news.append(meter.reported(report(prompt, response)).total)
        meter.turn_complete()
    return news


def test_the_context_of_each_turn_is_billed_again() -> None:
    assert spoken(Meter(), [(143, 19), (181, 24), (224, 24)], [0.8, 1, 1]) == [162, 205, 248]


def test_counts_that_grow_with_the_session_are_sums() -> None:
    meter = Meter()
    sums = [(150, 100), (400, 200), (800, 300), (1400, 350)]
    assert spoken(meter, sums, [4, 4, 4, 2]) == [250, 350, 500, 650]
    assert meter.sums


def test_a_count_that_falls_was_no_sum() -> None:
    meter = Meter()
    assert spoken(meter, [(150, 100), (300, 40), (400, 400)], [4, 1, 1]) == [250, 340, 800]
    assert not meter.sums


def test_what_is_configured_is_not_watched() -> None:
    assert spoken(Meter("session"), [(150, 100), (300, 110)], [4, 4]) == [250, 160]
    assert spoken(Meter("turn"), [(150, 100), (300, 200)], [4, 4]) == [250, 500]


def test_a_report_that_comes_again_in_its_turn_is_counted_once_and_another_generation_apart() -> None:
    meter = Meter()
    meter.line_up(resumed=False)
    assert meter.reported(report(500, 10)).total == 510
    assert meter.reported(report(500, 10)).total == 0
    assert meter.reported(report(500, 60)).total == 50
    assert meter.reported(report(570, 30)).total == 600, "after a tool"
    meter.turn_complete()
    assert meter.reported(report(570, 30)).total == 600, "another turn"


def test_sums_go_on_with_a_session_and_begin_anew_with_a_fresh_one() -> None:
    meter = Meter("session")
    spoken(meter, [(150, 100), (400, 200)], [4, 4])
    meter.line_up(resumed=True)
    assert meter.reported(report(500, 210)).total == 110
    meter.line_up(resumed=True)
    assert meter.reported(report(50, 10)).total == 60, "resumed, but counted from nothing"
    meter.line_up(resumed=False)
    assert meter.reported(report(600, 300)).total == 900


@given(st.integers(0, 2**32), st.sampled_from(["turn", "snapshots", "session"]), st.sampled_from([25, 32]))
def test_however_it_counts_the_sum_is_right(seed: int, way: str, per_s: int) -> None:
    rng = random.Random(seed)
    meter, counted, true = Meter(), 0, 0
    meter.line_up(resumed=False)
    context, sums = 300, [0, 0]
    for _ in range(rng.randrange(2, 12)):
        seconds = rng.uniform(2, 12)
        answer = int(seconds * per_s)
        context += rng.randrange(20, 200)
        sums = [sums[0] + context, sums[1] + answer]
        true += context + answer
        for part in (0.3, 0.3, 1.0) if way == "snapshots" else (1.0,):
            meter.received(audio_s=seconds if part == 1.0 else 0.0)
            usage = report(*sums) if way == "session" else report(context, int(answer * part))
            counted += meter.reported(usage).total
        meter.turn_complete()
        context += answer
    assert abs(counted - true) <= 0.1 * true


def test_tokens_add_up() -> None:
    both = Tokens({"text": 1}, {"audio": 2}) + Tokens({"text": 2, "audio": 1}, {})
    assert both == Tokens({"audio": 1, "text": 3}, {"audio": 2})
    assert both.since(Tokens({"text": 5})) == Tokens({"audio": 1}, {"audio": 2})
    assert AUDIO_PER_S == 25


def test_an_answer_that_its_line_was_lost_under_is_counted_as_far_as_it_came() -> None:
    meter = Meter()
    meter.line_up(resumed=False)
    meter.received(audio_s=2)
    assert meter.unreported() == Tokens({}, {"other": 50})
    meter.reported(report(300, 50, prompt_by_modality={"audio": 300}))
    assert meter.unreported().total == 0, "counted"
    meter.turn_complete()
    assert meter.unreported().total == 0, "over"
    meter.received(audio_s=1, letters=20)
    assert meter.unreported() == Tokens({"audio": 300}, {"other": 30})
    meter.line_up(resumed=True)
    assert meter.unreported().total == 0


# Prices


@pytest.mark.parametrize(
    "model",
    [
        "gemini-3.8-live",
        "models/gemini-3.8-live-extended-thinking",
        "gemini-3.1-flash-live-preview",
        "gemini-2.5-flash-native-audio-preview-12-2025",
        "projects/p/locations/l/publishers/google/models/gemini-live-2.5-flash-native-audio",
    ],
)
def test_live_models_have_prices(model: str) -> None:
    price = price_of(model, {})
    assert price is not None
    assert (price.audio_in, price.audio_out) == (3.00, 12.00)
    for way, kind in (("in", "text"), ("in", "video"), ("in", "tool"), ("out", "thoughts"), ("out", "other")):
        assert price.of(way, kind)
    assert price.of("in", "other") == 3.00 / 1e6, "the dearest"


def test_what_nobody_knows_has_no_price_and_what_is_configured_counts_first() -> None:
    assert price_of("gemini-9-live", {}) is None
    assert price_of("gemini-9-live", {"gemini-9*": Price()}) is None
    own = price_of("models/gemini-3.8-live", {"gemini-*": Price(text_in=9), "gemini-3.8-live": Price(audio_in=4)})
    assert own == Price(0.75, 4, 1.00, 1.00, 4.50, 12.00)
    assert price_of("gemini-9-live", {"models/gemini-9-live": Price(audio_in=1)}) == Price(audio_in=1)
    assert Price(audio_in=1).of("out", "audio") is None
    assert all(pattern.startswith("gemini-") for pattern in TABLE)


def test_a_budget_is_read_from_a_configuration() -> None:
    kind = kind_of(BudgetOptions)
    prices = {"gemini-9-live": {"text_in": 1, "audio_out": 2.5}}
    assert check_value(kind, {"visit_usd": 0.3, "day_usd": 8, "counts": "turn", "prices": prices}) == []
    assert check_value(kind, {"visit_usd": 0})
    assert check_value(kind, {"prices": {"gemini-9-live": {"sound_in": 1}}})


# Money


class Shop:
    """A budget with a calendar."""

    def __init__(self, memory: Memory | None = None, model: str = "gemini-3.8-live", **options: Any) -> None:
        self.day = "2026-11-30"
        self.memory = memory or Memory(visit=1)
        self.budget = Budget(self.memory, BudgetOptions(**options), model, lambda: self.day)
        self.now = 0
        self.budget.line_up(resumed=False)

    def turn(self, prompt: int = 1000, response: int = 0, turn: int = 1) -> dict[str, Any]:
        usage = report(prompt, response, prompt_by_modality={"audio": prompt}, response_by_modality={"audio": response})
        self.budget.reported(usage)
        self.budget.turn_complete()
        [told, _] = self.budget.told(turn)
        assert isinstance(told, fx.Tell)
        return dict(told.body)

    def wait(self, seconds: float) -> list[fx.Effect]:
        effects: list[fx.Effect] = []
        for _ in range(int(seconds // 60)):
            self.now += 60 * S
            effects += self.budget.tick(self.now)
        return effects


def test_a_turn_is_told_with_what_it_and_the_visit_and_the_day_have_cost() -> None:
    shop = Shop()
    assert shop.turn(1_000_000, 100_000) == {
        "turn": 1,
        "in": {"audio": 1_000_000},
        "out": {"audio": 100_000},
        "usd": 4.2,
        "visit_usd": 4.2,
        "day_usd": 4.2,
    }
    assert shop.turn(1_000_000, 100_000, 2)["visit_usd"] == 8.4
    assert shop.budget.told(3) == []
    shop.memory.forget_visit()
    assert (shop.turn()["visit_usd"], shop.memory.spent.day_usd) == (0.003, pytest.approx(8.403))
    assert {(line.day, line.way, line.kind): line.tokens for line in shop.memory.used} == {
        ("2026-11-30", "in", "audio"): 2_001_000,
        ("2026-11-30", "out", "audio"): 200_000,
    }


def test_a_model_without_a_price_is_unknown_not_free() -> None:
    shop = Shop(model="gemini-9-live", day_usd=1.0)
    [note] = shop.budget.started()
    assert isinstance(note, fx.Note)
    assert "prices.gemini-9-live" in note.fields["reason"]
    assert "can't hold" in shop.budget.fault
    body = shop.turn(10_000_000, 5)
    assert (body["in"], body["usd"], body["visit_usd"], body["day_usd"]) == ({"audio": 10_000_000}, None, None, None)
    assert shop.budget.capped == ""
    assert Shop(model="gemini-9-live").budget.fault == ""
    [used] = [line for line in shop.memory.used if line.way == "in"]
    assert used.usd is None


def test_old_prices_are_said_to_be_old() -> None:
    shop = Shop()
    assert shop.budget.started() == []
    shop.day = "2027-11-30"
    [note] = shop.budget.started()
    assert isinstance(note, fx.Note)
    assert "2026-10-09" in note.fields["reason"]
    shop = Shop(prices={"gemini-3.8-live": Price(audio_in=4)})
    shop.day = "2027-11-30"
    assert shop.budget.started() == []


def test_caps_close_and_say_until_when() -> None:
    shop = Shop(visit_usd=0.30, day_usd=0.50)
    shop.turn(90_000)
    assert shop.budget.capped == ""
    assert shop.budget.reason == ""
    shop.turn(20_000)
    assert shop.budget.capped == "visit"
    assert "0.33 of 0.30" in shop.budget.reason
    assert "next visitor" in shop.budget.reason
    shop.memory.forget_visit()
    assert shop.budget.capped == ""
    shop.turn(60_000)
    assert shop.budget.capped == "day"
    assert "day_usd" in shop.budget.reason
    shop.memory.forget_visit()
    assert shop.budget.capped == "day"
    shop.day = "2026-12-01"
    assert [type(effect) for effect in shop.wait(60)] == [fx.Note, fx.Save]
    assert shop.budget.capped == ""


def test_a_clock_that_is_set_back_gives_no_second_budget() -> None:
    shop = Shop(day_usd=0.50)
    shop.turn(200_000)
    for day in ("2026-11-29", "1970-01-01", "2026-11-30"):
        shop.day = day
        assert shop.wait(3_600) == []
        assert shop.budget.capped == "day"
    shop.day = "2026-11-01"
    shop.turn(10)
    assert shop.memory.spent.day == "2026-11-30"
    assert "set back" in shop.budget.reason
    again = Shop(shop.memory, day_usd=0.50)
    again.day = "2026-11-29"
    assert again.wait(3_600) == []
    assert again.budget.capped == "day", "nor does a restart"


def test_a_clock_that_was_wrong_by_years_closes_for_a_day_at_most() -> None:
    shop = Shop(day_usd=0.50)
    shop.day = "2038-01-19"
    shop.turn(200_000)
    shop.day = "2026-11-30"
    shop.wait(BELIEVED_S - 120)
    assert shop.budget.capped == "day"
    shop.wait(240)
    assert shop.budget.capped == ""
    assert shop.memory.spent.day == "2026-11-30"


@pytest.mark.parametrize("counts", ["auto", "turn", "session"])
def test_counts_are_a_matter_of_configuration(counts: Counts) -> None:
    shop = Shop(counts=counts)
    shop.turn(1000, 500)
    assert shop.turn(2000, 900)["in"] == {"audio": 1000 if counts == "session" else 2000}
