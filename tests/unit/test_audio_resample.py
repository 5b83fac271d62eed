"""Resampling: tones, impulses, blocks of odd sizes, gaps, and the time of each sample."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio.pcm import Samples
from pipeline.audio.resample import Framer, Resampler, Timed, TimedResampler

pytestmark = pytest.mark.unit

NS = 1_000_000_000
RATES = [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000]


def tone(rate: int, hertz: float, seconds: float = 1.0, amplitude: int = 16000) -> Samples:
    return np.rint(np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate) * amplitude).astype(np.int16)


def through(source: int, target: int, samples: Samples, block: int) -> tuple[Samples, list[int]]:
    swr = Resampler(source, target)
    parts = [swr.convert(samples[i : i + block]) for i in range(0, samples.size, block)]
    return np.concatenate([*parts, swr.drain()]), [p.size for p in parts]


def fit(samples: Samples, rate: int, hertz: float) -> tuple[float, float, float]:
    """Amplitude, delay in s, and signal to noise in dB of a tone in the middle of `samples`."""
    k = np.arange(samples.size)
    base = np.c_[np.sin(2 * np.pi * hertz * k / rate), np.cos(2 * np.pi * hertz * k / rate)]
    inner = slice(samples.size // 8, -samples.size // 8)
    (a, b), *_ = np.linalg.lstsq(base[inner], samples[inner].astype(float), rcond=None)
    rest = samples[inner] - base[inner] @ np.array([a, b])
    snr = 10 * np.log10((a * a + b * b) / 2 / max(1e-9, float(np.mean(rest**2))))
    return float(np.hypot(a, b)), -float(np.arctan2(b, a)) / (2 * np.pi * hertz), float(snr)


@pytest.mark.parametrize("source", RATES)
@pytest.mark.parametrize("target", [16000, 48000])
def test_a_tone_keeps_its_height_its_place_and_its_purity(source: int, target: int) -> None:
    out, _ = through(source, target, tone(source, 1000.0), source // 50)
    amplitude, delay_s, snr = fit(out, target, 1000.0)
    assert amplitude == pytest.approx(16000, rel=0.002)
    assert abs(delay_s) < 2e-6
    assert snr > 80
    assert out.size == pytest.approx(target, abs=1)


@pytest.mark.parametrize("source", [24000, 44100, 48000, 96000])
@pytest.mark.parametrize("nyquists", [1.05, 1.1, 1.25, 1.4])
def test_what_is_above_nyquist_does_not_fold_back(source: int, nyquists: float) -> None:
    if 8000 * nyquists >= source / 2:
        pytest.skip("not in the source either")
    out, _ = through(source, 16000, tone(source, 8000 * nyquists), source // 50)
    inner = out[out.size // 8 : -out.size // 8].astype(float)
    assert 20 * np.log10(max(1e-3, float(np.sqrt(np.mean(inner**2)))) / (16000 / np.sqrt(2))) < -85


@pytest.mark.parametrize(
    ("source", "target", "limit_ms"),
    [(48000, 16000, 1.7), (44100, 16000, 1.7), (8000, 16000, 2.0), (24000, 48000, 0.7), (24000, 44100, 0.7)],
)
def test_delay_and_even_output(source: int, target: int, limit_ms: float) -> None:
    _, sizes = through(source, target, tone(source, 440.0), source // 50)
    assert (target // 50 - sizes[0]) / target * 1000 <= limit_ms
    assert set(sizes[1:]) == {target // 50}


@pytest.mark.parametrize("source", RATES)
def test_an_impulse_comes_out_where_it_went_in(source: int) -> None:
    samples = np.zeros(source, np.int16)
    samples[source // 2] = 30000
    out, _ = through(source, 16000, samples, source // 50)
    power = out.astype(float) ** 2
    centre_s = float((power * np.arange(out.size)).sum() / power.sum()) / 16000
    assert centre_s == pytest.approx(source // 2 / source, abs=10e-6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 1500), min_size=1, max_size=30), st.sampled_from(RATES), st.sampled_from([16000, 48000]))
def test_cutting_into_blocks_changes_nothing(sizes: list[int], source: int, target: int) -> None:
    samples = tone(source, 700.0, seconds=sum(sizes) / source + 0.001)[: sum(sizes)]
    swr = Resampler(source, target)
    parts, begin = [], 0
    for size in sizes:
        parts.append(swr.convert(samples[begin : begin + size]))
        begin += size
    pieces = np.concatenate([*parts, swr.drain()])
    if samples.size:
        whole, _ = through(source, target, samples, samples.size)
        assert np.array_equal(pieces, whole)
    else:
        assert not pieces.size


def test_same_rate_passes_untouched_and_at_once() -> None:
    swr = Resampler(16000, 16000)
    block = tone(16000, 300.0)[:320]
    assert swr.convert(block) is block
    assert not swr.drain().size


def test_each_block_knows_its_time_and_follows_a_slewed_clock() -> None:
    swr = TimedResampler(16000)
    t, got = 5 * NS, []
    for n in range(50):
        got += swr.push(np.zeros(960, np.int16), 48000, t + n * 1000)  # 50 us a second: a slewed clock
        t += NS // 50
    assert got[0].t == 5 * NS
    taken = 0
    for n, block in enumerate(got):
        assert block.t == pytest.approx(5 * NS + n * 1000 + taken * NS // 16000, abs=100)
        taken += block.samples.size
    assert swr.gaps == 0


def test_a_gap_ends_the_old_side_and_starts_the_new_one_with_its_own_time() -> None:
    swr = TimedResampler(16000)
    first = swr.push(tone(48000, 500.0)[:960], 48000, 0)
    held, begun = swr.push(tone(48000, 500.0)[:960], 48000, NS)
    assert (first[0].samples.size, held.samples.size, begun.samples.size) == (294, 26, 294)
    assert held.t == 294 * NS // 16000
    assert begun.t == NS
    assert swr.gaps == 1


def test_a_change_of_rate_in_mid_stream_is_no_gap() -> None:
    swr = TimedResampler(16000)
    out = swr.push(np.zeros(960, np.int16), 48000, 0)
    out += swr.push(np.zeros(882, np.int16), 44100, NS // 50)
    out += swr.push(np.zeros(320, np.int16), 16000, NS // 25)
    out += swr.drain()
    assert sum(b.samples.size for b in out) == 960
    assert swr.gaps == 0


@pytest.mark.parametrize("source", RATES)
@pytest.mark.parametrize("block_ms", [5, 10, 20])
def test_blocks_leave_as_soon_as_their_input_is_there(source: int, block_ms: int) -> None:
    swr, framer = TimedResampler(16000), Framer(16000, 320)
    size, t, last_end, out = source * block_ms // 1000, 0, 0, []
    for n in range(1, 400 // block_ms):
        for block in swr.push(np.zeros(size, np.int16), source, t):
            for framed in framer.push(block):
                out.append(framed.samples.size)
                assert framed.t == pytest.approx(last_end, abs=2000)
                last_end = framed.t + framed.samples.size * NS // 16000
        t += size * NS // source
        if n * block_ms % 20 == 0:
            assert t - last_end < 2.4e6 if size * 1000 == source * block_ms else True
    assert set(out[1:]) <= {320}


def test_the_framer_gives_the_rest_before_a_gap() -> None:
    framer = Framer(16000, 320)
    assert [b.samples.size for b in framer.push(Timed(0, np.zeros(500, np.int16)))] == [320]
    rest, block = framer.push(Timed(NS, np.zeros(320, np.int16)))
    assert (rest.t, rest.samples.size) == (320 * NS // 16000, 180)
    assert (block.t, block.samples.size) == (NS, 320)
    assert framer.drain() == []
