"""Full duplex on a simulated counter: the seams, the waiting, and the echo that is gone."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.duplex import AFTER_NS, FRAME, Duplex
from pipeline.audio.pcm import Samples
from pipeline.audio.reference import Reference, position
from pipeline.audio.resample import Timed
from pipeline.audio.talk import Talk

pytestmark = pytest.mark.unit

MS, NS, RATE = 1_000_000, 1_000_000_000, 16_000
BEGIN = 5 * NS


class Late:
    """Cancels nothing; late by as many samples as it is told."""

    def __init__(self, delay: int) -> None:
        self.delay = delay
        self._line = np.zeros(delay, np.int16)
        self.played: list[Samples] = []

    def cancel(self, mic: Samples, played: Samples) -> Samples:
        self.played.append(played)
        self._line = np.concatenate((self._line, mic))
        out, self._line = self._line[:FRAME], self._line[FRAME:]
        return out


class Room:
    """A duplex with its talk."""

    def __init__(self, canceller: Late, **options: Any) -> None:
        self.talk = Talk()
        self.reference = Reference()
        self.duplex = Duplex(canceller, self.talk, self.reference, **options)

    def played(self, samples: Samples, t: int) -> None:
        self.talk.played(t, samples.size, 24_000)
        self.reference.push(samples, 24_000, t)


def ramp(count: int) -> Samples:
    return np.arange(1, count + 1).astype(np.int16)


def pushed(duplex: Duplex, samples: Samples, sizes: list[int], late_ns: int = 0) -> list[Timed]:
    out, at = [], 0
    while at < samples.size:
        block = samples[at : at + sizes[len(out) % len(sizes)]]
        t = BEGIN + at * NS // RATE
        at += block.size
        out += duplex.push(Timed(t, block), BEGIN + at * NS // RATE + late_ns)
    return out


def joined(blocks: list[Timed]) -> Samples:
    for before, after in itertools.pairwise(blocks):
        assert abs(before.t + before.samples.size * NS // RATE - after.t) < 40_000, "a sample lost its time"
    return np.concatenate([block.samples for block in blocks])


def test_without_anything_played_every_block_passes_at_once_and_untouched() -> None:
    canceller = Late(100)
    blocks = [Timed(BEGIN + n * 20 * MS, ramp(320) + n) for n in range(50)]
    duplex = Duplex(canceller, Talk(), Reference())
    out = [out for block in blocks for out in duplex.push(block, 0)]
    assert [(o.t, o.samples.tolist()) for o in out] == [(b.t, b.samples.tolist()) for b in blocks]
    assert not canceller.played


@given(
    delay=st.sampled_from([0, 1, 128, 160, 500]),
    sizes=st.lists(st.integers(1, 900), min_size=1, max_size=5),
    begin_ms=st.integers(0, 400),
    talk_ms=st.integers(20, 400),
)
def test_every_sample_comes_out_once_with_its_time(delay: int, sizes: list[int], begin_ms: int, talk_ms: int) -> None:
    room, sound = Room(Late(delay)), ramp(32_000)
    room.played(np.zeros(talk_ms * 24, np.int16), BEGIN + begin_ms * MS)
    out = joined(pushed(room.duplex, sound, sizes))
    assert (out == sound[: out.size]).all()
    assert out.size > sound.size - FRAME - delay
    assert not room.duplex.cancelling


def test_a_frame_waits_for_what_the_speaker_said_meanwhile_but_not_for_ever() -> None:
    room = Room(Late(0), wait_ms=40)  # 10 of which the reference runs ahead
    duplex = room.duplex
    room.talk.sounding(BEGIN)
    assert not duplex.push(Timed(BEGIN, ramp(320)), BEGIN + 21 * MS)
    assert duplex.wait_s(BEGIN + 21 * MS) == pytest.approx(0.029)
    room.played(np.zeros(640, np.int16), BEGIN)
    (out,) = duplex.release(BEGIN + 25 * MS)
    assert (out.t, out.samples.size) == (BEGIN, FRAME)
    assert not duplex.release(BEGIN + 49 * MS)
    assert duplex.release(BEGIN + 60 * MS)
    assert duplex.wait_s(BEGIN + 60 * MS) is None


def test_nobody_waits_for_a_speaker_that_has_finished_or_is_gone() -> None:
    for gone in (False, True):
        room = Room(Late(0))
        room.talk.sounding(BEGIN)
        room.played(np.zeros(480, np.int16), BEGIN)
        at = BEGIN + (600 * MS if gone else 0)
        if not gone:
            room.talk.unfinished = False
            room.reference.drain()
        assert room.duplex.push(Timed(at, ramp(320)), at + 20 * MS)


def test_the_canceller_works_from_the_first_sound_until_the_room_is_quiet() -> None:
    canceller = Late(0)
    room = Room(canceller)
    room.played(np.zeros(24_000, np.int16), BEGIN + NS)
    t, worked = BEGIN, []
    while t < BEGIN + 5 * NS:
        before = len(canceller.played)
        room.duplex.push(Timed(t, ramp(320)), t + 20 * MS)
        if len(canceller.played) > before:
            worked.append(t)
        t += 20 * MS
    assert worked[0] <= BEGIN + NS
    assert abs(worked[-1] - (BEGIN + 2 * NS + AFTER_NS)) < 40 * MS


def test_a_gap_of_the_microphone_gives_all_that_was_held() -> None:
    duplex = Duplex(Late(128), Talk(), Reference(), always=True)
    out = duplex.push(Timed(BEGIN, ramp(1000)), BEGIN)
    out += duplex.push(Timed(BEGIN + NS, ramp(1000)), BEGIN + NS)
    first = [block for block in out if block.t < BEGIN + NS]
    assert (joined(first) == ramp(1000)).all()


def test_the_reference_lies_where_it_was_played() -> None:
    reference = Reference()
    click = np.zeros(2400, np.int16)
    click[1200] = 20_000
    reference.push(click, 24_000, BEGIN)
    reference.push(np.zeros(480, np.int16), 24_000, BEGIN + 100 * MS)
    found = reference.read(position(BEGIN), 1600)
    assert int(np.argmax(found)) == 800
    assert not reference.read(position(BEGIN) - 500, 500).any()
    assert not reference.read(position(BEGIN) + 10**6, 500).any()


def test_small_errors_of_time_do_not_tear_the_reference() -> None:
    reference = Reference()
    tone = (np.sin(np.arange(48_000) * 2 * np.pi * 440 / 24_000) * 10_000).astype(np.int16)
    jitter = np.random.default_rng(1).integers(-3 * MS, 3 * MS, 100)
    for n in range(100):
        reference.push(tone[n * 480 : (n + 1) * 480], 24_000, BEGIN + n * 20 * MS + int(jitter[n]) * (n > 0))
    sound = reference.read(position(BEGIN) + 200, 30_000).astype(float)
    step = np.abs(np.diff(sound, 2)).max()
    assert step < 400, "a tone of 440 Hz bends by 300 at most"
