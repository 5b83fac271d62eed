"""What the benchmarks judge with: ranks, goals, stamps, slots and pictures."""

from __future__ import annotations

import struct
import time
import zlib

import numpy as np
import pytest

from scripts.benchmarks import canvas, plot, report
from scripts.benchmarks.figures import Figure, percentile
from scripts.benchmarks.slots import BLOCK_NS, Slots
from scripts.benchmarks.speaker import GAP_SAMPLES, gaps_ms
from scripts.benchmarks.stamp import VOICE_BYTES, stamp_of, stamped
from scripts.benchmarks.swap import PROBE, answer, place
from scripts.benchmarks.tape import alike
from scripts.benchmarks.websocket import xor

pytestmark = pytest.mark.unit


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, p) for p in (0, 1, 50, 95, 99, 100)] == [1, 1, 50, 95, 99, 100]
    assert percentile([7.0], 99) == 7.0
    assert percentile([1.0, 2.0], 50) == 1.0


def test_a_goal_is_met_only_if_all_of_it_is() -> None:
    figure = Figure("f", "ms", [1.0, 2.0, 9.0], floor=[1.0], ratio=3.0, p99=8.0)
    assert not figure.met
    assert "MISSED" in report.table([figure])
    assert Figure("f", "ms", [1.0, 2.0, 9.0], floor=[1.0], ratio=3.0, p99=9.0).met
    assert Figure("f", "ms", [1.0]).met is None
    assert Figure("f", "ms", [], p50=1.0).met is False, "nothing measured is nothing met"
    assert Figure("f", "ms", [1.0], p50=2.0, broken=["a gap"]).met is False


def test_a_block_says_when_it_was_made() -> None:
    before = time.monotonic_ns()
    block = stamped(VOICE_BYTES)
    assert len(block) == VOICE_BYTES
    assert before <= (stamp_of(block) or 0) <= time.monotonic_ns()
    assert stamp_of(bytes(VOICE_BYTES)) is None
    assert stamp_of(block[:4]) is None
    assert stamp_of(block + block, VOICE_BYTES) == stamp_of(block)


def test_slots_are_taken_in_turns_with_a_pause_before_each_change() -> None:
    slots = Slots.of(Slots(0, 10**10, 4).text())
    mine = [at for at in range(0, slots.end_ns + 10**10, BLOCK_NS) if slots.mine(at, floor=False)]
    floors = [at for at in range(0, slots.end_ns + 10**10, BLOCK_NS) if slots.mine(at, floor=True)]
    assert len(mine) == len(floors) == 2 * 475
    assert max(floors) < slots.end_ns
    assert not set(mine) & set(floors)


def test_a_silence_inside_a_tone_is_a_gap_and_around_it_none() -> None:
    tone = np.full(4_800, 5_000)
    silence = np.zeros(GAP_SAMPLES * 5, int)
    assert gaps_ms(np.concatenate([silence, tone, silence])) == []
    assert gaps_ms(np.concatenate([tone, silence, tone])) == [pytest.approx(5.0, abs=0.1)]


def test_captions_of_a_replay_are_alike_where_the_words_are() -> None:
    assert alike(("person", "[speech, 3.2 s]"), ("person", "[speech, 3.1 s]"))
    assert not alike(("person", "[speech, 3.2 s]"), ("person", "[speech, 4.9 s]"))
    assert not alike(("person", "[speech, 3.2 s]"), ("machine", "[speech, 3.2 s]"))
    assert not alike(("machine", "Hello"), ("machine", "A ticket"))
    assert alike(("machine", "Hello"), ("machine", "Hello"))


def test_a_swap_finds_its_place_in_an_answer() -> None:
    whole = answer()
    for at in (0, 100_001, whole.size - PROBE):
        found, sure = place(0.3 * whole[at : at + PROBE], whole)
        assert found == at
        assert sure == pytest.approx(1.0)
    assert gaps_ms(np.abs(whole)) == []


def test_a_mask_taken_twice_is_none() -> None:
    for size in (0, 1, 4, 641):
        data = bytes(range(256))[: size % 256] * (size // 256 + 1)
        assert xor(xor(data, b"\x01\x02\xf3\x04"), b"\x01\x02\xf3\x04") == data


def pixels(png: bytes) -> np.ndarray:
    """Of a picture: shape (height, width, 3)."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack("!II", png[16:24])
    size = struct.unpack("!I", png[33:37])[0]
    rows = np.frombuffer(zlib.decompress(png[41 : 41 + size]), np.uint8).reshape(height, 1 + 3 * width)
    return rows[:, 1:].reshape(height, width, 3)


@pytest.mark.parametrize("samples", [[1.0, 2.0, 2.0, 3.0], [0.0, 0.0], [0.1, 900.0], [-3.0, 4.0]])
def test_a_figure_becomes_a_histogram_with_its_floor_and_its_goals(samples: list[float]) -> None:
    drawn = pixels(plot.png(Figure("name ~ of it", "ms", samples, floor=[0.5, 0.6], p50=3.9, p95=4.0, p99=4.1)))
    assert drawn.shape == (canvas.HEIGHT, canvas.WIDTH, 3)
    for ink in (plot.OURS, plot.FLOOR, plot.GOAL):
        assert (drawn[plot.TOP :] == ink).all(axis=2).any(), ink


def test_words_at_nearly_one_place_stand_in_rows_of_their_own() -> None:
    assert canvas.rows_for([(0, "ab"), (10, "ab"), (20, "ab"), (100, "ab")], 2) == [0, 1, 2, 0]
