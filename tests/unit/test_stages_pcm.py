"""Programs on a pipe: one that hangs is told from one that waits."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from pipeline import Audio
from pipeline.stages.pcm import FIRST_S, HUNG_S, Pcm
from pipeline.testing import Trial

pytestmark = [pytest.mark.unit, pytest.mark.timeout(30)]


def trial(program: list[str], reads: str = "", says: str = "") -> Trial:
    """A stage of that program, wired."""
    made = Trial(Pcm, program=program)
    inputs = {reads: "frontend"} if reads else {}
    made.stage.brief = replace(made.stage.brief, inputs=inputs, emits=(says,) if says else ())
    return made


def block(number: int, **place: int) -> Audio:
    place = place or {"t": number * 20_000_000}
    return Audio("voice", np.full(320, 1 + number % 100, np.int16).tobytes(), 16_000, 1, **place)


def give(on: Trial, number: int) -> None:
    """Speech in its own time, as far as the program keeps up with it."""
    for each in range(number):
        had = len(on.emitted)
        on.hear(block(each))
        deadline = time.monotonic() + 10
        while len(on.emitted) == had:
            on.pass_time(0.005)
            assert time.monotonic() < deadline


def later(on: Trial, seconds: float) -> None:
    """At once, whatever the stage waits for."""
    on.now_ns += int(seconds * 1e9)
    on.pass_time(0.001)


def test_a_microphone_that_gives_nothing_is_hung() -> None:
    with trial(["sleep", "100"], says="mic") as on:
        later(on, FIRST_S - 1)
        with pytest.raises(RuntimeError, match="sleep has given no sound for 20 s: it hangs"):
            later(on, 2)


def test_a_filter_may_rest_while_it_is_given_nothing_and_not_while_it_is() -> None:
    with trial(["cat"], "voice", "voice") as on:
        give(on, 20)
        later(on, 600)
        give(on, 5)
        assert b"".join(audio.pcm for audio in on.emitted[:20]) == b"".join(block(n).pcm for n in range(20))
        os.kill(on.stage._child.pid, signal.SIGSTOP)  # type: ignore[attr-defined]
        on.hear(block(30))
        later(on, HUNG_S - 1)
        with pytest.raises(RuntimeError, match="cat has given no sound for 5 s"):
            later(on, 2)


def test_an_answer_that_comes_at_once_waits_for_a_speaker_that_plays_in_its_own_time() -> None:
    with trial(["sleep", "100"], reads="reply") as on:
        on.hear(*(block(n, epoch=1, at=n * 480) for n in range(1_000)))
        assert on.stage.dropped_bytes == 0  # type: ignore[attr-defined]
        on.hear(block(0, epoch=2, at=0))
        assert on.stage._owed_bytes <= 640, "what was said before must no longer be heard"  # type: ignore[attr-defined]
        with pytest.raises(RuntimeError, match="sleep has taken no sound for 5 s"):
            later(on, HUNG_S + 1)
