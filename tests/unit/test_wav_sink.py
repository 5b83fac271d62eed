"""The speaker that is a file: what it says when another takes its place."""

from __future__ import annotations

import wave

import pytest

from pipeline import Audio
from pipeline.stages.wav_sink import WavSink
from pipeline.testing import Trial, blocks

pytestmark = pytest.mark.unit


def answer(begin: int, seconds: float) -> list[Audio]:
    """Sample n of it has the value n + 1."""
    count = int(seconds * 24_000)
    pcm = b"".join((1 + n).to_bytes(2, "little") for n in range(begin, count))
    return blocks(Audio("reply", pcm, 24_000, 1, epoch=3, at=begin), ms=40)


def test_who_takes_over_goes_on_at_the_sample_at_which_it_was_stopped() -> None:
    with Trial(WavSink) as old:
        old.hear(*answer(0, 1.0))
        old.pass_time(0.5)
        assert isinstance(old.stage, WavSink)
        path = old.stage._wav.path
        old.stage.stop()
        with wave.open(str(path)) as file:
            written = [sample for sample in _samples(file) if sample]
        stopped = old.events("heard")[-1]
    assert stopped == {"epoch": 3, "at": len(written), "buffered_to": 24_000}
    assert written == list(range(1, len(written) + 1))
    with Trial(WavSink) as new:
        new.hear(*answer(stopped["at"], 1.0))
        assert new.events("heard") == [{"epoch": 3, "at": stopped["at"], "buffered_to": stopped["at"]}]
        new.pass_time(1.0)
        assert new.events("audible")[0]["at"] == stopped["at"]
        assert new.events("heard")[-1] == {"epoch": 3, "at": 24_000, "buffered_to": 24_000}


def _samples(file: wave.Wave_read) -> list[int]:
    data = file.readframes(file.getnframes())
    return [int.from_bytes(data[at : at + 2], "little", signed=True) for at in range(0, len(data), 2)]
