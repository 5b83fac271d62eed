"""Samples, channels, levels, gain: edges and odd sizes."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio import pcm

pytestmark = pytest.mark.unit

FULL_SCALE = np.array([-32768, 32767, 0, -1, 1], np.int16)


@given(st.binary(max_size=400).filter(lambda b: len(b) % 2 == 0))
def test_bytes_survive_the_way_there_and_back(raw: bytes) -> None:
    assert pcm.to_bytes(pcm.to_samples(raw)) == raw


@pytest.mark.parametrize(("raw", "channels"), [(b"\0", 1), (b"\0" * 6, 2), (b"\0" * 10, 4)])
def test_half_a_frame_is_refused_by_name(raw: bytes, channels: int) -> None:
    with pytest.raises(ValueError, match=f"{len(raw)} bytes are not whole frames of {channels} channels"):
        pcm.to_samples(raw, channels)


def test_shapes() -> None:
    assert pcm.to_samples(bytes(12)).shape == (6,)
    assert pcm.to_samples(bytes(12), 3).shape == (2, 3)
    assert pcm.to_samples(b"", 2).shape == (0, 2)


def test_mix_of_loud_channels_does_not_wrap() -> None:
    loud = np.full((4, 6), 32767, np.int16)
    assert np.array_equal(pcm.pick(loud, "mix"), np.full(4, 32767))
    assert np.array_equal(pcm.pick(-loud, "mix"), np.full(4, -32767))


def test_one_channel_of_many() -> None:
    block = np.arange(12, dtype=np.int16).reshape(3, 4)
    assert pcm.pick(block, "left").tolist() == [0, 4, 8]
    assert pcm.pick(block, "right").tolist() == [1, 5, 9]
    assert pcm.pick(block, "3").tolist() == [3, 7, 11]
    assert pcm.pick(block[:, :2], "mix").tolist() == [0, 4, 8]


@pytest.mark.parametrize("channel", ["mix", "left", "right", "0"])
def test_a_mono_microphone_has_but_one_channel_to_choose(channel: str) -> None:
    assert pcm.pick(FULL_SCALE, channel) is FULL_SCALE


@pytest.mark.parametrize("channel", ["4", "9"])
def test_a_channel_that_is_not_there_is_named(channel: str) -> None:
    with pytest.raises(ValueError, match=rf"has 4 \(0 to 3\), so there is no channel {channel}"):
        pcm.pick(np.zeros((2, 4), np.int16), channel)


@pytest.mark.parametrize("channel", ["", "-1", "middle", "1.0"])
def test_a_channel_that_is_no_channel_is_refused(channel: str) -> None:
    with pytest.raises(ValueError, match="expected mix, left, right or a number"):
        pcm.pick(np.zeros((2, 2), np.int16), channel)


def test_levels() -> None:
    sine = (np.sin(np.arange(1600) * 2 * np.pi / 16) * 32767).astype(np.int16)
    assert pcm.level(sine).peak_dbfs == pytest.approx(0.0, abs=0.01)
    assert pcm.level(sine).rms_dbfs == pytest.approx(-3.01, abs=0.01)
    assert pcm.level(np.zeros(5, np.int16)) == pcm.Level(-120.0, -120.0)
    assert pcm.level(np.empty((0, 2), np.int16)) == pcm.Level(-120.0, -120.0)
    assert pcm.level(FULL_SCALE[:1]).peak_dbfs == 0.0
    assert pcm.level(FULL_SCALE[4:]).peak_dbfs == pytest.approx(-90.3, abs=0.1)


@given(st.lists(st.integers(-32768, 32767), max_size=50), st.floats(0, 50))
def test_gain_clips_and_never_wraps(values: list[int], factor: float) -> None:
    samples = np.array(values, np.int16)
    louder = pcm.gain(samples, factor).astype(int)
    expected = np.clip(samples.astype(float) * factor, -32768, 32767)
    assert np.all(np.abs(louder - expected) <= 1)


def test_volume_rises_without_a_jump_and_ends_at_one() -> None:
    factors = [pcm.volume_factor(p) for p in range(101)]
    assert factors[0] == 0.0
    assert factors[100] == 1.0
    assert all(a < b for a, b in pairwise(factors))
    assert max(b - a for a, b in pairwise(factors)) < 0.06
    assert pcm.volume_factor(70) == pytest.approx(10 ** (-15 / 20))
    assert (pcm.volume_factor(-5), pcm.volume_factor(900)) == (0.0, 1.0)
