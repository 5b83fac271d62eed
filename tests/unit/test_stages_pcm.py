"""Programs on a pipe: one that hangs is told from one that waits."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pipeline import Audio
from pipeline.stages.pcm import FIRST_S, HUNG_S, Pcm
from pipeline.testing import Trial

pytestmark = [pytest.mark.unit, pytest.mark.timeout(30)]


def trial(program: list[str], reads: str = "", says: str = "", rate: int = 16_000) -> Trial:
    """A stage of that program, wired."""
    made = Trial(Pcm, program=program, rate=rate)
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
        wait_until(on, lambda had=had: len(on.emitted) > had)  # type: ignore[misc]


def wait_until(on: Trial, said: Callable[[], object]) -> None:
    """Let the program work; the stage's clock goes as the wall's."""
    deadline = time.monotonic() + 10
    while not said():
        on.pass_time(0.001)
        time.sleep(0.001)  # between looks at another process
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


def test_what_is_said_after_a_flush_has_the_places_of_what_it_was_made_from() -> None:
    """Most of an answer never reached the program: what it says next is not that answer."""

    def reply(number: int, epoch: int) -> Audio:
        return Audio("reply", bytes(960), 24_000, 1, epoch=epoch, at=number * 480)

    with trial(["cat"], "reply", "reply", rate=24_000) as on:
        os.kill(on.stage._child.pid, signal.SIGSTOP)  # type: ignore[attr-defined]
        on.hear(*(reply(n, epoch=1) for n in range(500)), *(reply(n, epoch=2) for n in range(3)))
        os.kill(on.stage._child.pid, signal.SIGCONT)  # type: ignore[attr-defined]
        wait_until(on, lambda: on.emitted and on.emitted[-1].epoch == 2)
        assert [audio.at for audio in on.emitted if audio.epoch == 1] == [0, 480, 960, 1440]
        assert next(audio.at for audio in on.emitted if audio.epoch == 2) == 0


def test_a_program_that_gives_less_than_it_takes_costs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.stages.pcm.PLACES", 10)
    halve = [sys.executable, "-SEc", "import os\nwhile d := os.read(0, 1280): os.write(1, d[: len(d) // 2])"]
    with trial(halve, "voice", "voice") as on:
        for n in range(0, 100, 2):
            had = len(on.emitted)
            on.hear(block(n), block(n + 1))
            wait_until(on, lambda had=had: len(on.emitted) > had)  # type: ignore[misc]
        assert (on.emitted[-1].t or 0) > 80 * 20_000_000, "what it says moves on"
