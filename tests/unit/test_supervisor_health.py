"""Beats, start deadlines, deafness; nobody is blamed for what the supervisor missed."""

import pytest

from pipeline.supervisor.health import (
    BEAT_S,
    DEAF_FRAMES,
    DUMB_S,
    START_S,
    STARVED_S,
    Pulse,
    deafness,
    dumbness,
    hang,
)

pytestmark = pytest.mark.unit


def live_at(now: float) -> Pulse:
    pulse = Pulse.begun(now)
    pulse.live(now)
    return pulse


def test_a_start_has_its_own_clock() -> None:
    pulse = Pulse.begun(0.0)
    assert hang(pulse, START_S) == ""
    assert "20 s" in hang(pulse, START_S + 0.01)


def test_a_primed_process_may_wait_for_ever_and_then_has_its_time_to_go_live() -> None:
    pulse = Pulse.begun(0.0)
    pulse.primed()
    assert hang(pulse, 1e6) == ""
    pulse.told_to_go(1e6)
    assert hang(pulse, 1e6 + START_S) == ""
    assert hang(pulse, 1e6 + START_S + 0.01)


def test_beats_before_live_neither_help_nor_hurt() -> None:
    pulse = Pulse.begun(0.0)
    pulse.beat(1.0, "", {}, {})
    assert hang(pulse, 10.0) == ""
    assert hang(pulse, START_S + 0.1)


def test_two_seconds_without_a_beat_are_a_hang() -> None:
    pulse = live_at(0.0)
    pulse.beat(0.5, "live", {}, {})
    assert hang(pulse, 0.5 + BEAT_S) == ""
    assert hang(pulse, 0.5 + BEAT_S + 0.1) == "no beat for 2.1 s"


def silent(until: float, share: float) -> str:
    """What is said of a process that got no processor for `share` of its silence, looked at each 0.1 s."""
    pulse, now = live_at(0.0), 0.0
    while now < until:
        now += 0.1
        if pulse.doubtful(now):
            pulse.kept_waiting(1000.0 + share * now)
        if reason := hang(pulse, now):
            return reason
    return ""


def test_who_got_no_processor_is_not_hung() -> None:
    assert silent(BEAT_S + 0.2, share=0.0).startswith("no beat for 2.")
    assert silent(5.0, share=0.9) == ""
    assert "without a processor" in silent(10.0, share=0.9)


def test_nobody_starves_for_ever() -> None:
    assert silent(BEAT_S + STARVED_S - 0.2, share=1.0) == ""
    assert silent(BEAT_S + STARVED_S + 1.0, share=1.0) == "no beat for 8.1 s, 6.0 of it without a processor"


def test_with_each_beat_hunger_is_counted_afresh() -> None:
    pulse = live_at(0.0)
    pulse.kept_waiting(5.0)
    pulse.kept_waiting(9.0)
    pulse.beat(6.0, "live", {}, {})
    pulse.kept_waiting(9.0)
    assert pulse.starved_s == 0.0
    assert hang(pulse, 6.0 + BEAT_S + 0.1) == "no beat for 2.1 s"


@pytest.mark.parametrize("state", ["waiting", "muted", "degraded"])
def test_every_state_owes_beats(state: str) -> None:
    pulse = live_at(0.0)
    pulse.beat(0.5, state, {}, {})
    assert hang(pulse, 3.0)


def test_a_late_supervisor_moves_every_deadline() -> None:
    starting, living = Pulse.begun(0.0), live_at(0.0)
    for pulse in (starting, living):
        pulse.forgive(30.0)
    assert hang(starting, START_S + 29.0) == ""
    assert hang(living, BEAT_S + 29.9) == ""
    assert hang(living, BEAT_S + 30.1)


def talk(reader_takes: float, producer_sends: float, until: float = 5.0) -> tuple[Pulse, Pulse]:
    """Both beat each 0.5 s from 0 on, with so many blocks a second."""
    reader, producer = live_at(0.0), live_at(0.0)
    for half in range(int(until * 2) + 1):
        now = half / 2
        producer.beat(now, "live", {}, {"voice": int(now * producer_sends)})
        reader.beat(now + 0.1, "live", {"voice": int(now * reader_takes)}, {})
    return reader, producer


def test_deaf_is_who_takes_nothing_while_much_is_sent() -> None:
    reader, producer = talk(0, 50)
    assert deafness(reader, {"voice": producer}) == "deaf: took in nothing of voice while 100 blocks were sent"


@pytest.mark.parametrize(("takes", "sends"), [(50, 50), (1, 50), (0, 0), (0, (DEAF_FRAMES - 1) / 2)])
def test_who_takes_something_or_is_sent_little_is_not_deaf(takes: float, sends: float) -> None:
    reader, producer = talk(takes, sends)
    assert deafness(reader, {"voice": producer}) == ""


def test_deafness_is_found_however_often_a_stage_beats() -> None:
    reader, producer = live_at(0.0), live_at(0.0)
    for tick in range(500):
        producer.beat(tick / 100, "live", {}, {"voice": tick})
        reader.beat(tick / 100, "live", {}, {})
    assert deafness(reader, {"voice": producer})


def test_deafness_needs_two_seconds_of_beats() -> None:
    reader, producer = talk(0, 50, until=1.5)
    assert deafness(reader, {"voice": producer}) == ""


def test_a_reader_that_waits_is_not_deaf() -> None:
    reader, producer = talk(0, 50)
    reader.beat(5.6, "waiting", {"voice": 0}, {})
    assert deafness(reader, {"voice": producer}) == ""


def test_a_producer_that_has_just_returned_is_given_the_same_time() -> None:
    reader, _ = talk(0, 50)
    returned = live_at(3.4)
    for half in range(4):
        returned.beat(3.5 + half / 2, "live", {}, {"voice": 25 * half})
    assert deafness(reader, {"voice": returned}) == ""


def test_deafness_to_one_stream_of_two_is_deafness() -> None:
    reader, producer = talk(0, 50)
    _, quiet = talk(0, 0)
    assert deafness(reader, {"played": quiet, "voice": producer})
    assert deafness(reader, {"played": quiet}) == ""


def test_after_a_pause_of_the_supervisor_deafness_is_judged_afresh() -> None:
    reader, producer = talk(0, 50)
    reader.forgive(3.0)
    producer.forgive(3.0)
    assert deafness(reader, {"voice": producer}) == ""


def beating(until: float, takes: int, sends: int, state: str = "live") -> Pulse:
    """A stage between mic and voice that takes and sends so many blocks a beat."""
    pulse = live_at(0.0)
    for beat in range(int(until / 0.5) + 1):
        pulse.beat(beat * 0.5, state, {"mic": beat * takes, "played": beat}, {"voice": beat * sends})
    return pulse


def test_dumb_is_who_gives_nothing_of_what_it_takes() -> None:
    assert dumbness(beating(DUMB_S, 25, 0), ("mic", "played"), ("voice",)) == (
        "gives nothing: no block of voice for more than 5 s"
    )
    assert dumbness(beating(DUMB_S, 0, 0), (), ("voice",)), "a microphone is given nothing, and owes all the same"


@pytest.mark.parametrize(
    ("pulse", "emits"),
    [
        (beating(DUMB_S - 0.5, 25, 0), ("voice",)),
        (beating(DUMB_S, 25, 1), ("voice",)),
        (beating(DUMB_S, 0, 0), ("voice",)),
        (beating(DUMB_S, 25, 0, "muted"), ("voice",)),
        (beating(DUMB_S, 25, 0), ("reply",)),
    ],
    ids=["too soon", "a little", "given nothing", "muted", "nothing steady"],
)
def test_who_is_not_dumb(pulse: Pulse, emits: tuple[str, ...]) -> None:
    assert dumbness(pulse, ("mic", "played"), emits) == ""
