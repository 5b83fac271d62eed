"""When a sample was at the device, from observations that are only ever late."""

import random
from itertools import pairwise

import pytest

from pipeline.audio.deviceclock import DeviceClock

pytestmark = pytest.mark.unit

MS = 1_000_000
NS = 1_000_000_000


def run(clock: DeviceClock, true_rate: float, seconds: float, late_ms: float, seed: int = 3) -> list[float]:
    """Errors in ms of each block's time, a read of 20 ms at a time that returns up to `late_ms` late."""
    dice, errors = random.Random(seed), []
    block = clock.rate // 50
    for n in range(1, int(seconds * 50)):
        now = int(n * block * NS / true_rate) + int(dice.uniform(0, late_ms) * MS)
        clock.observe(n * block, now)
        errors.append((clock.time_of((n - 1) * block) - (n - 1) * block * NS / true_rate) / MS)
    return errors


def test_the_jitter_of_reads_does_not_show() -> None:
    errors = run(DeviceClock(48000), 48000, 30, late_ms=8)
    steady = errors[100:]
    assert max(steady) < 2.5
    assert min(steady) >= 0
    steps = [abs(b - a) for a, b in pairwise(steady)]
    assert max(steps) < 2.5


@pytest.mark.parametrize("ppm", [-20_000, -200, 50, 20_000])
def test_it_follows_a_clock_that_drifts(ppm: int) -> None:
    errors = run(DeviceClock(48000), 48000 * (1 + ppm / 1e6), 60, late_ms=2)
    assert max(abs(e) for e in errors[200:]) < 30


def test_missing_sound_is_a_step_and_time_goes_on() -> None:
    clock = DeviceClock(16000)
    clock.observe(320, 20 * MS)
    clock.observe(640, 40 * MS + 2 * NS)
    assert clock.steps == 1
    assert clock.time_of(640) == 40 * MS + 2 * NS
    assert clock.index_at(2 * NS + 60 * MS) == 960


def test_before_the_first_observation_there_is_no_time() -> None:
    clock = DeviceClock(16000)
    assert not clock.running
    with pytest.raises(RuntimeError, match="observe"):
        clock.time_of(0)
    with pytest.raises(RuntimeError, match="observe"):
        clock.index_at(0)
