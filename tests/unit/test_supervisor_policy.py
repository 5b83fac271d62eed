"""What follows each way in which a stage can end."""

import signal
from dataclasses import replace

import pytest

from pipeline.supervisor.policy import (
    EXHAUSTED_S,
    RESTART_AGAIN_S,
    Action,
    Exit,
    History,
    Rules,
    backoff_s,
    decide,
    how_it_ended,
)

pytestmark = pytest.mark.unit

REQUIRED = Rules()
OPTIONAL = Rules(required=False)
SESSION = Rules(ends_pipeline=True)
CRASH = Exit(status=1, started=99.0)
FRESH = History()


@pytest.mark.parametrize(
    ("rules", "exit", "kind", "state", "code", "after_s"),
    [
        # the world: not counted, the first time at once
        (REQUIRED, Exit(69, started=100.0), "start", "degraded", 0, 0.0),
        (OPTIONAL, Exit(69, started=100.0), "start", "degraded", 0, 0.0),
        (REQUIRED, Exit(-9, 90.0, 5.0, "no beat for 2.1 s", owns_device=True), "start", "degraded", 0, 0.0),
        # its own: counted
        (REQUIRED, Exit(-9, 90.0, 5.0, "no beat for 2.1 s"), "start", "restarting", 0, 0.0),
        (REQUIRED, CRASH, "start", "restarting", 0, 0.0),
        (REQUIRED, Exit(0, 99.0), "start", "restarting", 0, 0.0),
        (REQUIRED, Exit(0, 99.0, bye="stop"), "start", "restarting", 0, 0.0),
        (REQUIRED, Exit(-signal.SIGSEGV, 99.0, owns_device=True), "start", "restarting", 0, 0.0),
        # configuration
        (REQUIRED, Exit(78, 99.0), "end_pipeline", "failed", 78, 0.0),
        (OPTIONAL, Exit(78, 99.0), "stay_down", "failed", 0, 0.0),
        # complete
        (SESSION, Exit(0, 50.0, bye="ended"), "end_pipeline", "ended", 0, 0.0),
        (SESSION, Exit(-11, 50.0, bye="ended"), "end_pipeline", "ended", 0, 0.0),
        (REQUIRED, Exit(0, 50.0, bye="ended"), "stay_down", "ended", 0, 0.0),
        (SESSION, Exit(0, 50.0), "start", "restarting", 0, 0.0),
    ],
)
def test_table(rules: Rules, exit: Exit, kind: str, state: str, code: int, after_s: float) -> None:
    action = decide(rules, FRESH, exit, now=100.0)
    assert (action.kind, action.state, action.code) == (kind, state, code)
    assert action.after_s == pytest.approx(after_s)
    counted = kind == "start" and state == "restarting"
    world = 100.0 if state == "degraded" else None
    assert replace(action.history, quick=0) == (History((100.0,), 1) if counted else History(world_ended=world))


@pytest.mark.parametrize(
    ("ended", "started", "after_s"),
    [(99.0, 100.0, 1.5), (99.0, 99.2, 0.7), (91.0, 91.0, 0.0), (90.0, 100.0, 0.0), (None, 100.0, 0.0)],
)
def test_while_the_world_goes_on_starts_are_one_to_two_seconds_apart(
    ended: float | None, started: float, after_s: float
) -> None:
    action = decide(REQUIRED, History(world_ended=ended), Exit(69, started=started), now=100.0)
    assert action.after_s == pytest.approx(after_s)


def test_world_is_never_counted_however_often() -> None:
    history, now = FRESH, 0.0
    for times in range(10_000):
        action = decide(REQUIRED, history, Exit(69, started=now), now, dice=0.99)
        assert action.kind == "start"
        assert 1.0 <= action.after_s <= 2.0 or times == 0
        history, now = action.history, now + action.after_s
    assert replace(history, world_ended=None) == FRESH


def crash_for_ever(
    rules: Rules, times: int, *, systemd: bool = False, live_s: float = 0.0, status: int = 1
) -> list[Action]:
    history, now, actions = FRESH, 1000.0, []
    for _ in range(times):
        action = decide(rules, history, replace(CRASH, status=status, live_s=live_s), now, under_systemd=systemd)
        actions.append(action)
        history, now = action.history, now + action.after_s + live_s + 0.2
    return actions


def test_backoff_is_at_once_then_doubles_to_30_s() -> None:
    waits = [action.after_s for action in crash_for_ever(OPTIONAL, 14)]
    assert waits == pytest.approx([0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30, 30, 30])


@pytest.mark.parametrize(("dice", "share"), [(0.0, 0.8), (0.5, 1.0), (0.999999, 1.2)])
def test_backoff_varies_by_a_fifth(dice: float, share: float) -> None:
    assert backoff_s(3, dice) == pytest.approx(0.4 * share, rel=1e-3)
    assert backoff_s(10**9, dice) == pytest.approx(30 * share, rel=1e-3)


def test_five_seconds_live_make_the_next_crash_the_first() -> None:
    assert {action.after_s for action in crash_for_ever(REQUIRED, 20, live_s=5.0)} == {0.0}
    assert crash_for_ever(OPTIONAL, 20, live_s=4.9)[-1].after_s > 0


@pytest.mark.parametrize("status", [1, -signal.SIGKILL, -signal.SIGSEGV])
def test_a_stage_that_is_ended_every_eight_seconds_is_back_at_once_each_time(status: int) -> None:
    actions = crash_for_ever(REQUIRED, 200, live_s=8.0, status=status)
    assert {(action.kind, action.after_s) for action in actions} == {("start", 0.0)}


def test_whoever_is_killed_again_and_again_by_somebody_else_is_back_within_two_seconds_for_ever() -> None:
    actions = crash_for_ever(REQUIRED, 200, status=-signal.SIGKILL)
    assert {action.kind for action in actions} == {"start"}
    assert max(action.after_s for action in actions) == 2.0


def test_what_a_stage_worked_is_no_wait_any_more() -> None:
    waits = [action.after_s for action in crash_for_ever(OPTIONAL, 9, live_s=2.0)]
    assert waits == pytest.approx([0, 0, 0, 0, 0, 0, 1.2, 4.4, 10.8])


def test_over_the_burst_the_pipeline_restarts_once_and_then_the_service_manager_takes_over() -> None:
    kinds = [action.kind for action in crash_for_ever(REQUIRED, 12, systemd=True)]
    assert kinds == ["start"] * 5 + ["restart_pipeline"] + ["start"] * 5 + ["end_pipeline"]
    assert crash_for_ever(REQUIRED, 12, systemd=True)[-1].code == 70


def test_over_the_burst_twice_without_a_service_manager_it_is_tried_each_30_s_for_ever() -> None:
    actions = crash_for_ever(REQUIRED, 200)
    assert [action.kind for action in actions].count("restart_pipeline") == 1
    assert {(action.kind, action.after_s) for action in actions[11:]} == {("start", EXHAUSTED_S)}


def test_ten_minutes_later_a_restart_of_the_pipeline_is_worth_another_try() -> None:
    over = History(crashes=(99.0,) * 5, streak=5, pipeline_restarted=100.0 - RESTART_AGAIN_S)
    assert decide(REQUIRED, over, CRASH, 100.0).kind == "restart_pipeline"
    assert decide(REQUIRED, replace(over, pipeline_restarted=101.0 - RESTART_AGAIN_S), CRASH, 100.0).kind == "start"


def test_crashes_outside_the_window_do_not_escalate() -> None:
    history = History(crashes=(30.0,) * 5, streak=5)
    assert decide(REQUIRED, history, CRASH, 100.0).kind == "start"
    assert decide(replace(REQUIRED, window_s=80.0), history, CRASH, 100.0).kind == "restart_pipeline"


def test_an_optional_stage_never_escalates() -> None:
    assert {action.kind for action in crash_for_ever(OPTIONAL, 500)} == {"start"}


def test_once_steady_an_exhausted_stage_is_as_any_other() -> None:
    exhausted = History(exhausted=True, streak=11, crashes=(1.0,), pipeline_restarted=1.0)
    action = decide(REQUIRED, exhausted, replace(CRASH, live_s=31.0), 100.0)
    assert (action.after_s, action.history.exhausted) == (0.0, False)


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "exited 0 unasked"), (3, "exited 3"), (-9, "killed by SIGKILL"), (-40, "killed by signal 40")],
)
def test_words(status: int, words: str) -> None:
    assert how_it_ended(status) == words


def test_reasons_are_what_the_stage_said() -> None:
    gone = Exit(69, 99.0, bye="microphone Jabra is gone: plug it in")
    assert decide(REQUIRED, FRESH, gone, 100.0).reason == "microphone Jabra is gone: plug it in"
    assert decide(REQUIRED, FRESH, Exit(78, 99.0, bye="tape: no such file"), 100.0).reason == "tape: no such file"
    assert "exit 78" in decide(REQUIRED, FRESH, Exit(78, 99.0), 100.0).reason


def test_crashes_right_after_the_start_are_counted_in_a_row_and_kills_from_outside_are_not() -> None:
    history = History()
    for number in (1, 2):
        history = decide(Rules(), history, Exit(-11, 0.0, live_s=0.2), 10.0 * number).history
        assert history.quick == number
    assert decide(Rules(), history, Exit(-9, 0.0, live_s=0.2), 40.0).history.quick == 0
    assert decide(Rules(), history, Exit(-11, 0.0, live_s=8.0), 40.0).history.quick == 0
    assert decide(Rules(), history, Exit(-9, 0.0, live_s=2.5, hang="no beat for 2.1 s"), 40.0).history.quick == 3
