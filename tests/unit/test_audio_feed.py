"""From the buffer to device frames and back: nothing doubled, nothing lost, every sample at its own frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio.feed import Feed
from pipeline.audio.jitter import JitterBuffer
from pipeline.audio.pcm import Samples

pytestmark = pytest.mark.unit

PERIOD = 256


def speech(size: int, at: int = 0) -> Samples:
    return np.rint(np.sin(np.arange(at, at + size) * 2 * np.pi * 440 / 24000) * 12000).astype(np.int16)


class Full(Feed):
    """A feed with an answer in hand."""

    def __init__(self, size: int, device_rate: int = 48000) -> None:
        super().__init__(24000, device_rate)
        self.buffer = JitterBuffer()
        self.buffer.push(1, 0, speech(size), 0)
        self.buffer.begin(0)

    def speech(self, count: int) -> Samples:
        return self.take(self.buffer, count)


def feed_with(size: int, device_rate: int = 48000) -> Full:
    return Full(size, device_rate)


@pytest.mark.parametrize("device_rate", [48000, 44100, 24000, 16000])
@pytest.mark.parametrize("size", [1, 100, 480, 5000])
def test_an_answer_sounds_whole(device_rate: int, size: int) -> None:
    feed = feed_with(size, device_rate)
    frames = [feed.silence(PERIOD)]
    while (part := feed.speech(PERIOD)).size:
        frames.append(part)
    frames.append(feed.end())
    sound = np.concatenate(frames)
    assert feed.given == sound.size
    assert sound.size == pytest.approx(PERIOD + size * device_rate / 24000, abs=1)
    if size >= 480:
        k = np.arange(size * device_rate // 24000)[40:-40]
        expected = np.sin(k * 2 * np.pi * 440 / device_rate) * 12000
        assert np.abs(sound[PERIOD:][40 : 40 + k.size] - expected).max() < 60


def test_what_left_is_known_by_the_frame() -> None:
    feed = feed_with(1000)
    feed.silence(PERIOD)
    feed.speech(PERIOD)
    feed.speech(PERIOD)
    assert feed.left(PERIOD) == []
    assert feed.begun[1] == PERIOD
    sounded = feed.left(10_000)
    first = sounded[0]
    assert (first.chunk.at, first.chunk.end, first.begin, first.end) == (0, 128, PERIOD, PERIOD + 256)
    assert feed.silent


def test_a_cut_keeps_what_left_and_forgets_the_rest() -> None:
    feed = feed_with(24000)
    feed.speech(768)
    cut = feed.cut(501)
    assert sum(s.chunk.samples.size for s in cut) == 250
    assert cut[-1].chunk.end == 250
    assert feed.given == 0
    assert feed.silent
    assert feed.cut(501) == []


def test_volume_changes_without_a_step() -> None:
    feed = feed_with(24000)
    first = feed.speech(4800)
    feed.fader.to(0.0, 20)
    second, third = feed.speech(4800), feed.speech(4800)
    steps = np.abs(np.diff(np.concatenate((first, second)).astype(int)))
    assert steps.max() < 1.1 * np.abs(np.diff(first.astype(int))).max()
    assert np.abs(third).max() <= 1


def test_a_fade_out_is_the_last_sound_and_ends_in_silence() -> None:
    feed = feed_with(24000)
    feed.speech(4800)
    feed.fade_out(feed.buffer, 8)
    tail = feed.rest(10_000)
    assert 384 <= tail.size <= 384 + 64  # 8 ms, and what the filter held
    assert np.abs(tail[-16:]).max() < 60
    assert feed.between
    assert sum(s.chunk.samples.size for s in feed.left(10_000)) == pytest.approx(2400 + 192, abs=40)


@settings(max_examples=60)
@given(st.data())
def test_every_sample_is_reported_once_and_in_order(data: st.DataObject) -> None:
    buffer = JitterBuffer()
    feed = Feed(24000, data.draw(st.sampled_from([48000, 44100])))
    sent, heard, now = 0, [], 0
    for _ in range(data.draw(st.integers(1, 60))):
        now += 4_000_000
        if data.draw(st.booleans()):
            size = data.draw(st.integers(1, 2000))
            buffer.push(1, sent, speech(size, sent), now)
            sent += size
        if buffer.ready_in(now) == 0:
            if not buffer.running:
                buffer.begin(now)
            frames = feed.take(buffer, data.draw(st.sampled_from([256, 512, 768])))
            if buffer.drained and not frames.size:
                feed.end()
                buffer.ran_dry(now)
        elif buffer.drained and buffer.running:
            feed.end()
            buffer.ran_dry(now)
        else:
            feed.silence(PERIOD)
        heard += feed.left(feed.given - 512)
    if buffer.running:
        while feed.take(buffer, 4096).size:
            pass
        feed.end()
    heard += feed.left(feed.given + 100_000)
    end, frame = 0, 0
    for sounded in heard:
        assert sounded.chunk.at == end
        assert sounded.begin >= frame
        end, frame = sounded.chunk.end, sounded.end
    assert end == sent - len(buffer)
