"""The supervisor's loop: whose fault it is that a turn comes late."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.supervisor.loop import LATE_S, Loop

pytestmark = pytest.mark.unit


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loop(clock: Clock) -> Iterator[Loop]:
    loop = Loop(clock)
    yield loop
    loop.close()


@pytest.mark.parametrize("stands_still_s", [LATE_S / 2, 1.5])
def test_a_machine_that_stands_still_in_mid_turn_is_forgiven_before_anybody_is_judged(
    loop: Loop, clock: Clock, stands_still_s: float
) -> None:
    done: list[str] = []
    reads = 0

    def read() -> None:
        nonlocal reads
        reads += 1
        done.append("read")
        if reads == 2:  # the first is before the wait, the second at the begin of the turn
            clock.now += stands_still_s

    def judge() -> None:
        done.append("judged")
        loop.finish(0)

    loop.first, loop.late = read, lambda late_s: done.append(f"late {late_s:g}")
    loop.after(0.0, judge)
    loop.run()
    stood = ["late 1.5", "read"] if stands_still_s > LATE_S else []
    assert done == ["read", "read", *stood, "judged"]
