"""Who speaks while the machine does: a linear filter, what of its error the echo explains, a room that changes."""

import numpy as np
import pytest

from pipeline.audio.linear import BLOCK, BLOCKS, LinearCanceller
from pipeline.audio.near_end import HOP, NearEnd
from tests.rig import acoustics as ac
from tests.rig.acoustics import RATE, Wave
from tests.rig.ears import onset_s

pytestmark = pytest.mark.unit

BEGIN, NS = 10_000_000_000, 1_000_000_000
FRAME = 160


def judged(near: NearEnd, mic: Wave, played: Wave, begin: int = 0) -> np.ndarray:
    """What is said of each hop, sound from sample `begin` on."""
    heard, said, out = ac.as_samples(mic), ac.as_samples(played), []
    for at in range(0, heard.size - FRAME + 1, FRAME):
        near.lay(BEGIN + (begin + at) * NS // RATE, heard[at : at + FRAME], said[at : at + FRAME])
        while (len(out) + 1) * HOP <= at + FRAME:
            out.append(near.judge(BEGIN + (begin + len(out) * HOP) * NS // RATE))
    return np.array(out)


def second(at: float) -> int:
    """The hop that holds it."""
    return int(at * RATE) // HOP


def power_db(sound: np.ndarray) -> float:
    return ac.db(float(np.sqrt(np.mean(np.square(sound)))))


def test_the_linear_filter_takes_most_of_an_echo_out_and_goes_on_after_a_gap() -> None:
    counter = ac.counter(12, seed=2, delay_ms=100, hiss_dbfs=-70)
    canceller, left = LinearCanceller(), np.zeros(12 * RATE)
    played = counter.played.astype(np.float32)
    for at in range(0, 12 * RATE - BLOCK + 1, BLOCK):
        if at == 10 * RATE // BLOCK * BLOCK:
            canceller.resume(np.zeros(BLOCKS * BLOCK, np.float32))
            canceller.resume(played[at - BLOCKS * BLOCK : at])
        error, echo = canceller.cancel(counter.mic[at : at + BLOCK].astype(np.float32), played[at : at + BLOCK])
        assert np.allclose(error + echo, counter.mic[at : at + BLOCK], atol=1e-6)
        left[at : at + BLOCK] = error
    for part in (slice(8 * RATE, 10 * RATE), slice(10 * RATE, 12 * RATE - BLOCK)):
        assert power_db(counter.mic[part]) - power_db(left[part]) >= 12


def test_the_filter_stays_finite_whatever_it_hears() -> None:
    canceller, rng = LinearCanceller(), np.random.default_rng(4)
    square = np.where(np.arange(BLOCK) // 16 % 2, 1.0, -1.0).astype(np.float32)
    sounds = (square, -square, np.zeros(BLOCK, np.float32), rng.normal(0, 1e-5, BLOCK).astype(np.float32))
    for _ in range(600):
        mic, played = rng.integers(4, size=2)
        left, echo = canceller.cancel(sounds[mic], sounds[played])
        assert np.isfinite(left).all()
        assert np.isfinite(echo).all()
    for _ in range(50):
        left, _ = canceller.cancel(square, square)
    assert power_db(left) < -20


@pytest.mark.parametrize("delay_ms", [30, 150])
def test_a_soft_voice_over_the_machine_is_heard_and_the_machine_is_not(delay_ms: float) -> None:
    people = tuple((6.0 + 6 * n, ac.PEOPLE[n]) for n in range(3))
    counter = ac.counter(24, seed=5, delay_ms=delay_ms, echo_dbfs=-32, hiss_dbfs=-65, people=people)
    said = judged(NearEnd(), counter.mic, counter.played)
    for begin, name in people:
        onset = begin + onset_s(ac.person(name))
        assert said[second(onset) : second(onset + 0.25)].max() > 0.6
        said[second(begin) : second(begin + ac.person(name).size / RATE + 0.5)] = 0
    assert (said[second(3) :] > 0.35).mean() < 0.01


def test_a_room_that_changes_unannounced_is_not_taken_for_somebody() -> None:
    counter = ac.counter(20, seed=7, delay_ms=60, hiss_dbfs=-65)
    moved = ac.at_level(ac.echoed(counter.played, seed=8, delay_ms=90), -26)
    mic = counter.mic.copy()
    mic[10 * RATE :] = (moved + counter.hiss)[10 * RATE :]
    said = judged(NearEnd(), mic, counter.played)
    assert (said[second(10) : second(12)] > 0.35).sum() <= 1, "until it is seen that the filter does not fit"


def test_it_says_nothing_of_a_hop_that_it_was_not_told_of() -> None:
    near, silence = NearEnd(), np.zeros(FRAME, np.int16)
    assert near.judge(BEGIN) == 0
    for frame in range(4):
        near.lay(BEGIN + frame * NS // 100, silence, silence)
    assert near.judge(BEGIN - NS // 100) == 0, "it begins before"
    assert near.judge(BEGIN + NS // 100) == 0, "its end is not here yet"


def test_it_knows_the_room_again_after_the_machine_was_silent() -> None:
    near, people = NearEnd(), ((2.0, ac.PEOPLE[1]),)
    first = ac.counter(10, seed=3, delay_ms=60, echo_dbfs=-32, hiss_dbfs=-65)
    again = ac.counter(8, seed=3, delay_ms=60, echo_dbfs=-32, hiss_dbfs=-65, people=people)
    judged(near, first.mic, first.played)
    said = judged(near, again.mic, again.played, 30 * RATE)
    onset = 2 + onset_s(ac.person(people[0][1]))
    assert said[: second(onset) - 1].max() < 0.35
    assert said[second(onset) : second(onset + 0.25)].max() > 0.6
