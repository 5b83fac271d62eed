"""The jitter buffer: when an answer starts, what is dropped, and that nothing is lost or doubled."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio.jitter import JitterBuffer, Underrun

pytestmark = pytest.mark.unit

MS = 1_000_000
FRAME = 480  # 20 ms


def frame(at: int, size: int = FRAME) -> np.ndarray:
    return (np.arange(at, at + size) % 30000).astype(np.int16)


def test_waits_for_forty_ms_then_starts() -> None:
    buffer = JitterBuffer()
    buffer.push(1, 0, frame(0), 0)
    assert buffer.ready_in(0) == 40 * MS
    assert buffer.take(100) is None
    buffer.push(1, FRAME, frame(FRAME), 5 * MS)
    assert buffer.ready_in(5 * MS) == 0
    assert buffer.begin(5 * MS) is None
    chunk = buffer.take(600)
    assert chunk is not None
    assert (chunk.epoch, chunk.at, chunk.end) == (1, 0, 600)
    assert np.array_equal(chunk.samples, frame(0, 600))
    assert (buffer.next_at, buffer.buffered_to, len(buffer)) == (600, 960, 360)


def test_audio_already_in_hand_starts_at_once() -> None:
    buffer = JitterBuffer()
    buffer.push(1, 0, frame(0, 24000), 7)
    assert buffer.ready_in(7) == 0


def test_a_short_answer_is_all_there_is() -> None:
    buffer = JitterBuffer()
    buffer.push(1, 0, frame(0, 100), 0)
    assert buffer.ready_in(30 * MS) == 10 * MS
    assert buffer.ready_in(40 * MS) == 0
    assert buffer.ready_in(90 * MS) == 0


def test_waits_again_after_running_dry_and_counts_it() -> None:
    buffer = JitterBuffer()
    buffer.push(1, 0, frame(0, 960), 0)
    buffer.begin(0)
    buffer.take(960)
    assert buffer.drained
    buffer.push(1, 960, frame(960, 10), 1)  # before the speaker ran out: goes on without waiting
    assert buffer.ready_in(1) == 0
    buffer.take(10)
    buffer.ran_dry(40 * MS)
    assert not buffer.running
    buffer.push(1, 970, frame(970), 60 * MS)
    assert buffer.ready_in(60 * MS) == 40 * MS
    buffer.push(1, 1450, frame(1450), 80 * MS)
    assert buffer.ready_in(80 * MS) == 0
    assert buffer.begin(80 * MS) == Underrun(1, 970, 40)
    assert buffer.counts.underruns == 1


def late_once(buffer: JitterBuffer, at: int) -> None:
    """40 ms are taken, then nothing comes for 50 ms."""
    buffer.push(1, at, frame(at, 960), 0)
    buffer.begin(0)
    buffer.take(960)
    buffer.ran_dry(0)
    buffer.push(1, at + 960, frame(at + 960, 960), 50 * MS)
    assert buffer.begin(50 * MS) is not None
    buffer.take(960)


def test_the_target_grows_with_each_underrun_and_shrinks_when_calm() -> None:
    buffer = JitterBuffer(target_ms=40, most_ms=100)
    targets = []
    for number in range(5):
        late_once(buffer, number * 1920)
        targets.append(buffer.target_ms)
    assert targets == [60, 80, 100, 100, 100]
    at = 5 * 1920
    calm = []
    for _ in range(10):
        buffer.push(1, at, frame(at, 24000 * 20), 0)
        buffer.begin(0)
        while buffer.take(4800):
            pass
        at += 24000 * 20
        calm.append(buffer.target_ms)
    assert calm == [90, 80, 70, 60, 50, 40, 40, 40, 40, 40]


def test_a_grown_target_is_waited_for_and_no_longer_than_that() -> None:
    buffer = JitterBuffer(target_ms=40)
    late_once(buffer, 0)
    buffer.ran_dry(100 * MS)
    buffer.push(1, 1920, frame(1920, 1200), 2_000 * MS)
    assert buffer.ready_in(2_000 * MS) == 60 * MS
    buffer.push(1, 3120, frame(3120, 240), 2_001 * MS)
    assert buffer.ready_in(2_001 * MS) == 0


def test_a_long_pause_is_no_underrun() -> None:
    buffer = JitterBuffer()
    buffer.push(1, 0, frame(0, 960), 0)
    buffer.begin(0)
    buffer.take(960)
    buffer.ran_dry(0)
    buffer.push(1, 960, frame(960, 960), 5_000 * MS)
    assert buffer.begin(5_000 * MS) is None
    assert buffer.counts.underruns == 0


def test_epochs_older_newer_same() -> None:
    buffer = JitterBuffer()
    assert buffer.push(5, 0, frame(0), 0)
    assert not buffer.push(5, FRAME, frame(FRAME), 0)
    assert not buffer.push(4, 0, frame(0), 0)
    assert buffer.counts.stale == FRAME
    assert len(buffer) == 2 * FRAME
    assert buffer.push(6, 0, frame(0, 10), 0)
    assert (buffer.epoch, len(buffer), buffer.counts.flushed) == (6, 10, 2 * FRAME)
    assert not buffer.flush(6)
    assert not buffer.flush(2)
    assert len(buffer) == 10
    assert buffer.flush(7)
    assert buffer.drained
    assert buffer.ready_in(0) is None
    assert not buffer.push(7, 0, frame(0, 10), 0)


def test_starting_in_mid_answer_is_no_gap() -> None:
    for flushed_first in (False, True):
        buffer = JitterBuffer()
        if flushed_first:
            buffer.flush(3)
        buffer.push(3, 24000, frame(24000), 0)
        assert (buffer.counts.missing, buffer.next_at) == (0, 24000)


def test_gaps_and_repeats_are_counted_and_a_chunk_never_spans_a_gap() -> None:
    buffer = JitterBuffer()
    buffer.push(1, 0, frame(0), 0)
    buffer.push(1, 0, frame(0), 0)
    buffer.push(1, 240, frame(240), 0)
    buffer.push(1, 960, frame(960), 0)
    assert (buffer.counts.duplicate, buffer.counts.missing) == (480 + 240, 240)
    buffer.begin(0)
    chunks = [buffer.take(10_000), buffer.take(10_000)]
    assert [(c.at, c.end) for c in chunks if c] == [(0, 720), (960, 1440)]
    assert buffer.next_at == 1440


def test_the_bound_refuses_the_newest_and_counts() -> None:
    buffer = JitterBuffer(limit_s=0.1)
    for n in range(10):
        buffer.push(1, n * FRAME, frame(n * FRAME), 0)
    assert len(buffer) == 2400
    assert buffer.counts.overflow == 10 * FRAME - 2400
    buffer.begin(0)
    taken = buffer.take(10_000)
    assert taken is not None
    assert np.array_equal(taken.samples, frame(0, 2400))


@settings(max_examples=200)
@given(st.data())
def test_what_goes_in_comes_out_once_and_in_order(data: st.DataObject) -> None:
    buffer, sent, got, now = JitterBuffer(), 0, [], 0
    for _ in range(data.draw(st.integers(1, 40))):
        now += data.draw(st.integers(0, 60)) * MS
        if data.draw(st.booleans()):
            size = data.draw(st.integers(1, 1000))
            again = data.draw(st.integers(0, min(sent, 500)))  # a replay that overlaps
            buffer.push(1, sent - again, frame(sent - again, size + again), now)
            sent += size
        elif buffer.ready_in(now) == 0:
            if not buffer.running:
                buffer.begin(now)
            chunk = buffer.take(data.draw(st.integers(1, 1500)))
            assert chunk is not None
            got.append(chunk)
        elif buffer.drained:
            buffer.ran_dry(now)
    end = 0
    for chunk in got:
        assert chunk.at == end
        assert np.array_equal(chunk.samples, frame(chunk.at, chunk.samples.size))
        end = chunk.end
    assert (buffer.next_at, buffer.buffered_to, len(buffer)) == (end, sent, sent - end)
    assert buffer.counts.missing == buffer.counts.overflow == 0
