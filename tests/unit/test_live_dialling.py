"""The ladder: resume, tell a fresh session what was said, begin an empty one; how long to wait; when nobody dials."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.live import messages as m
from pipeline.live.backoff import SPREAD, STEADY_S, Backoff
from pipeline.live.dialling import STUBBORN, URGENT_FOR_S, URGENT_RARE_S, URGENT_S, Dialling, Next
from pipeline.live.failures import CALM_S, RARE_S, SOON_S, Failure, of_close, of_status
from tests.rig.talk import SECOND, S, Talk

pytestmark = pytest.mark.unit

INTERNAL = of_close(1011, "Internal error encountered.")
UNAVAILABLE = of_close(1011, "The service is currently unavailable.")
BAD_HANDLE = of_close(1007, "Invalid session handle", resuming=True)
INVALID = of_close(1007, "Request contains an invalid argument.")
KEY = of_status(401)
LOST = of_close(1006, "")


class Dialled:
    """A conversation that knows something, and the attempts to have a line for it."""

    def __init__(self, **options: Any) -> None:
        self.talk = Talk(**options)
        self.ladder = Dialling(self.talk.core, Backoff(lambda: 0.5))

    def spoke(self) -> None:
        """One turn on a line of its own, with a handle."""
        self.talk.up()
        self.ladder.began(self.talk.now)
        self.talk.asks()
        self.talk.says(m.PersonSaid("one", True), m.MachineSaid("a"), SECOND, m.GenerationComplete(), m.TurnComplete())
        self.talk.says(m.Handle("H1", True))
        self.talk.hears(1, 24_000)
        self.ended(None)

    def could_not(self, failure: Failure) -> Next:
        return self.ladder.could_not(self.talk.now, self.ladder.plan(), failure)

    def ended(self, failure: Failure | None, told: bool = True) -> Next:
        plan = self.ladder.plan()
        self.talk.down()
        return self.ladder.ended(self.talk.now, plan, failure, told=told)

    @property
    def rung(self) -> str:
        plan = self.ladder.plan()
        return "resume" if plan.handle else "seeded" if plan.context else "empty"

    def wait_s(self) -> float | None:
        return self.ladder.wait_s(self.talk.now)


def test_a_handle_that_is_refused_is_forgotten_and_the_fresh_session_told_at_once() -> None:
    dialled = Dialled()
    dialled.spoke()
    assert dialled.rung == "resume"
    follows = dialled.could_not(BAD_HANDLE)
    assert (follows.failure, follows.wait_s) == (None, 0)
    assert dialled.rung == "seeded"
    assert dialled.wait_s() == 0
    assert dialled.talk.memory.handle is None


def test_1011_to_a_handle_is_tried_again_shortly_then_without_it_then_with_it_again() -> None:
    dialled = Dialled()
    dialled.spoke()
    for _ in range(STUBBORN - 1):
        assert 0 < dialled.could_not(INTERNAL).wait_s < 0.5
        assert dialled.rung == "resume"
    assert dialled.could_not(INTERNAL).wait_s == 0
    assert dialled.rung == "seeded"
    assert dialled.could_not(INTERNAL).failure is INTERNAL
    assert dialled.rung == "resume", "it was not the handle's fault"


def test_a_service_that_is_away_costs_no_handle() -> None:
    dialled = Dialled()
    dialled.spoke()
    for failure in [UNAVAILABLE, LOST, KEY] * 10:
        dialled.could_not(failure)
        assert dialled.rung == "resume"


def test_a_session_that_is_resumed_and_thrown_out_is_left_too() -> None:
    dialled = Dialled()
    dialled.spoke()
    for _ in range(STUBBORN):
        assert dialled.rung == "resume"
        dialled.talk.up(resumed=True)
        dialled.ladder.began(dialled.talk.now)
        dialled.ended(INTERNAL, told=False)
    assert dialled.rung == "seeded"


def test_who_refuses_the_transcript_gets_an_empty_session_and_later_ones_are_told_again() -> None:
    dialled = Dialled()
    dialled.spoke()
    dialled.talk.memory.forget_handle()
    assert dialled.rung == "seeded"
    dialled.talk.up()
    dialled.ladder.began(dialled.talk.now)
    assert dialled.ended(INVALID, told=False).failure is None
    assert dialled.rung == "empty"
    dialled.talk.up()
    dialled.ladder.began(dialled.talk.now)
    dialled.talk.now += int(STEADY_S * S)
    dialled.ended(LOST)
    assert dialled.rung == "seeded"


def test_a_setup_that_is_refused_with_its_history_is_tried_without() -> None:
    dialled = Dialled()
    dialled.spoke()
    dialled.talk.memory.forget_handle()
    dialled.could_not(INVALID)
    assert dialled.rung == "empty"


def test_without_resumption_every_session_is_fresh() -> None:
    dialled = Dialled()
    dialled.spoke()
    dialled.ladder = Dialling(dialled.talk.core, Backoff(lambda: 0.5), resumes=False)
    assert dialled.rung == "seeded"


def test_who_waits_for_an_answer_is_hurried_for_but_not_for_ever() -> None:
    dialled = Dialled()
    for _ in range(10):
        dialled.could_not(UNAVAILABLE)
    assert dialled.wait_s() == pytest.approx(CALM_S)
    dialled.talk.asks()
    assert dialled.wait_s() is not None
    dialled.could_not(UNAVAILABLE)
    assert dialled.wait_s() == pytest.approx(URGENT_S)
    dialled.talk.now += int((URGENT_FOR_S + 1) * S)
    dialled.could_not(UNAVAILABLE)
    assert dialled.wait_s() == pytest.approx(CALM_S)


@pytest.mark.parametrize(("failure", "urgent_s"), [(UNAVAILABLE, URGENT_S), (KEY, URGENT_RARE_S)])
def test_whoever_asks_again_late_in_an_outage_is_hurried_for_anew(failure: Failure, urgent_s: float) -> None:
    dialled = Dialled()
    dialled.talk.asks()
    for _ in range(12):
        dialled.could_not(failure)
    dialled.talk.wait(URGENT_FOR_S + 1)
    dialled.could_not(failure)
    dialled.talk.wait(urgent_s + 0.5)
    assert (dialled.wait_s() or 0) > 0
    dialled.talk.asks()
    assert dialled.wait_s() == 0
    dialled.could_not(failure)
    assert dialled.wait_s() == pytest.approx(urgent_s)


def test_a_bad_key_is_tried_seldom_though_somebody_waits() -> None:
    dialled = Dialled()
    for _ in range(12):
        dialled.could_not(KEY)
    assert dialled.wait_s() == pytest.approx(RARE_S)
    dialled.talk.asks()
    dialled.could_not(KEY)
    assert dialled.wait_s() == pytest.approx(URGENT_RARE_S)


def test_an_idle_machine_does_not_dial_until_somebody_needs_it() -> None:
    dialled = Dialled(idle_s=5.0)
    dialled.spoke()
    dialled.talk.up()
    dialled.talk.wait(6)
    assert dialled.wait_s() is None
    dialled.talk.asks()
    assert dialled.wait_s() == 0


FAILURES = st.sampled_from([INTERNAL, UNAVAILABLE, BAD_HANDLE, INVALID, KEY, LOST, of_close(1008, "x"), of_status(429)])
STEPS = st.one_of(
    st.tuples(st.just("fails"), FAILURES, st.booleans()),
    st.tuples(st.just("lives"), st.one_of(st.none(), FAILURES), st.booleans()),
    st.tuples(st.just("speaks"), st.none(), st.booleans()),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=60))
def test_whatever_happens_it_goes_on_and_never_in_a_hot_loop(steps: list[tuple[str, Any, bool]]) -> None:
    dialled = Dialled()
    dialled.spoke()
    attempts, began = 0, dialled.talk.now
    for step, failure, flag in steps:
        wait_s = dialled.wait_s()
        assert wait_s is not None
        assert wait_s <= RARE_S * (1 + SPREAD)
        dialled.talk.now += int(wait_s * S)
        if step == "speaks":
            dialled.talk.asks(0.2)
            continue
        attempts += 1
        plan = dialled.ladder.plan()
        assert not (plan.handle and plan.context)
        if step == "fails":
            dialled.ladder.could_not(dialled.talk.now, plan, failure)
            continue
        dialled.talk.up(resumed=plan.handle is not None)
        dialled.ladder.began(dialled.talk.now)
        if flag:
            dialled.talk.says(m.Handle("H2", True))
        dialled.ended(failure, told=flag)
    took_s = max(0.1, (dialled.talk.now - began) / S)
    # Three rungs at once, twice rolled in vain, and the first waits are short; then it is one attempt in a while.
    assert attempts <= 14 + 4 * took_s


def test_failures_far_from_everything_wait_longer_each_time() -> None:
    dialled = Dialled()
    waits = [dialled.could_not(LOST).wait_s for _ in range(8)]
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(SOON_S)
