"""Which voice is sent, and from where again: nothing unanswered is lost, nothing is sent twice to one line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.live.uplink import (
    CHUNK_BYTES,
    PREROLL_NS,
    QUEUE_BYTES,
    RECENT_NS,
    SAMPLE_NS,
    Chunk,
    StreamEnd,
    Uplink,
)

pytestmark = pytest.mark.unit

S = 1_000_000_000
BLOCK = 320
BLOCK_NS = BLOCK * SAMPLE_NS


def voice(first: int, count: int = BLOCK) -> bytes:
    """Samples that say which they are, modulo what 16 bits hold."""
    return (np.arange(first, first + count) % 30_000).astype("<i2").tobytes()


def block(number: int) -> tuple[int, bytes]:
    return number * BLOCK_NS, voice(number * BLOCK)


def taken(uplink: Uplink) -> list[Chunk]:
    chunks = []
    while isinstance(piece := uplink.take(), Chunk):
        chunks.append(piece)
    return chunks


def test_nothing_is_kept_while_no_line_is_up_for_the_frontend_keeps_it() -> None:
    uplink = Uplink()
    uplink.audio(*block(0))
    assert uplink.take() is None
    assert uplink.line_up() is None, "everything that is held"


def test_live_blocks_go_out_one_by_one_and_a_backlog_in_pieces_of_40_ms() -> None:
    uplink = Uplink()
    uplink.line_up()
    uplink.audio(*block(0))
    assert uplink.take() == Chunk(*block(0))
    for number in range(1, 6):
        uplink.audio(*block(number))
    chunks = taken(uplink)
    assert [len(chunk.pcm) for chunk in chunks] == [CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES // 2]
    assert b"".join(chunk.pcm for chunk in chunks) == voice(BLOCK, 5 * BLOCK)
    assert uplink.sent_t == 6 * BLOCK_NS


def test_what_comes_again_is_sent_once_and_an_overlap_is_trimmed_to_the_sample() -> None:
    uplink = Uplink()
    uplink.line_up()
    uplink.audio(*block(0))
    uplink.audio(*block(0))
    uplink.audio(BLOCK_NS - 200 * SAMPLE_NS, voice(BLOCK - 200))
    assert b"".join(chunk.pcm for chunk in taken(uplink)) == voice(0, 2 * BLOCK - 200)


def test_timestamps_that_tremble_are_no_overlap() -> None:
    uplink = Uplink()
    uplink.line_up()
    for number in range(10):
        uplink.audio(number * BLOCK_NS - (number % 3) * 2_000_000, voice(number * BLOCK))
    assert b"".join(chunk.pcm for chunk in taken(uplink)) == voice(0, 10 * BLOCK)


def test_a_hole_is_kept_as_one() -> None:
    uplink = Uplink()
    uplink.line_up()
    uplink.audio(*block(0))
    uplink.audio(*block(5))
    assert [chunk.t for chunk in taken(uplink)] == [0, 5 * BLOCK_NS]


def test_an_unanswered_utterance_is_given_whole_to_the_next_line_with_what_came_before_it() -> None:
    uplink = Uplink(answered_t=0)
    uplink.audio(*block(0))
    uplink.speech_started(4 * S)
    uplink.speech_ended(5 * S, 4 * S)
    uplink.speech_started(7 * S)
    assert uplink.line_up() == 4 * S - PREROLL_NS
    uplink.answered(5 * S)
    assert uplink.place() == 7 * S - PREROLL_NS


def test_when_all_is_answered_only_what_may_be_a_beginning_is_given_again() -> None:
    uplink = Uplink(answered_t=0)
    uplink.audio(*block(0))
    uplink.speech_started(1 * S)
    uplink.speech_ended(2 * S, 1 * S)
    uplink.answered(3 * S)
    uplink.audio(20 * S, voice(0))
    assert uplink.place() == 20 * S + BLOCK_NS - RECENT_NS


def test_what_was_said_before_this_stage_lived_is_given_from_the_last_answer_on() -> None:
    uplink = Uplink(answered_t=10 * S)
    uplink.audio(15 * S, voice(0))
    uplink.speech_started(15 * S)
    assert uplink.place() == 10 * S, "what ended between 10 and 15 s is not known here"
    uplink.answered(16 * S)
    assert uplink.place() == 15 * S - PREROLL_NS, "not over yet"
    uplink.speech_ended(16 * S, 15 * S)
    assert uplink.place() == 16 * S


def test_without_a_voice_detection_all_since_the_last_answer_is_given() -> None:
    uplink = Uplink(answered_t=0)
    uplink.audio(*block(0))
    uplink.answered(2 * S)
    uplink.audio(9 * S, voice(0))
    assert uplink.place() == 2 * S


def test_an_utterance_whose_end_was_lost_ends_with_the_next_beginning() -> None:
    uplink = Uplink(answered_t=0)
    uplink.speech_started(1 * S)
    uplink.speech_started(9 * S)
    uplink.speech_ended(10 * S, 9 * S)
    assert uplink.quiet


def test_a_line_that_takes_less_than_it_is_given_is_found_out() -> None:
    uplink = Uplink()
    uplink.line_up()
    blocks = QUEUE_BYTES // len(voice(0))
    for number in range(blocks):
        uplink.audio(*block(number))
    assert not uplink.overfull
    uplink.audio(*block(blocks))
    assert uplink.overfull
    uplink.line_down()
    assert not uplink.overfull


def test_the_end_of_the_source_is_said_once_to_each_line_after_all_voice() -> None:
    uplink = Uplink()
    uplink.line_up()
    uplink.audio(*block(0))
    uplink.source_over()
    assert not uplink.idle
    assert isinstance(uplink.take(), Chunk)
    assert isinstance(uplink.take(), StreamEnd)
    assert uplink.take() is None
    assert uplink.idle


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), min_size=1, max_size=30),
    st.integers(0, 40),
)
def test_whatever_comes_again_each_sample_after_the_place_is_sent_once_and_in_order(
    runs: list[tuple[int, int]], place: int
) -> None:
    """Replays begin anywhere at or before what is expected next, as a ring's do, and run on from there."""
    uplink = Uplink(answered_t=place * BLOCK_NS)
    uplink.audio(*block(0))
    assert uplink.line_up() == place * BLOCK_NS
    reached = place
    for back, length in runs:
        start = max(0, reached - back)
        for number in range(start, start + length):
            uplink.audio(*block(number))
        reached = max(reached, start + length)
    sent = b"".join(chunk.pcm for chunk in taken(uplink))
    assert sent == voice(place * BLOCK, (reached - place) * BLOCK)


def asked(uplink: Uplink, first: int, last: int) -> None:
    """Blocks of voice, sent."""
    for number in range(first, last):
        uplink.audio(*block(number))
    taken(uplink)


def test_speech_that_is_being_answered_and_told_again_by_a_new_frontend_is_no_news() -> None:
    uplink = Uplink(answered_t=0)
    uplink.line_up()
    assert uplink.speech_started(1 * S)
    assert uplink.speech_ended(3 * S, 1 * S)
    asked(uplink, 0, 200)
    assert uplink.answer_begins() == 4 * S
    assert not uplink.speech_started(1 * S - 12_000_000), "heard again it begins at another place"
    assert not uplink.speech_ended(3 * S, 1 * S - 12_000_000)
    assert uplink.speech_started(4 * S - 200_000_000), "somebody who began to speak just before the answer did"
    uplink.answered(4 * S)
    assert not uplink.speech_started(1 * S)


def test_speech_whose_answer_was_lost_with_the_line_may_be_told_again() -> None:
    uplink = Uplink(answered_t=0)
    uplink.line_up()
    uplink.speech_started(1 * S)
    uplink.speech_ended(3 * S, 1 * S)
    asked(uplink, 0, 200)
    uplink.answer_begins()
    uplink.line_down()
    assert uplink.speech_started(1 * S - 12_000_000)


def test_utterances_that_all_wait_for_a_line_are_given_without_the_pause_between_them() -> None:
    uplink = Uplink(0)
    uplink.audio(*block(0))
    for first, last in ((50, 100), (300, 350), (400, 450)):
        uplink.speech_started(first * BLOCK_NS)
        uplink.speech_ended(last * BLOCK_NS, first * BLOCK_NS)
    uplink.line_up()
    for number in range(500):
        uplink.audio(*block(number), again=True)
    given = {chunk.t // BLOCK_NS + at for chunk in taken(uplink) for at in range(len(chunk.pcm) // 640)}
    assert given >= {*range(50, 100), *range(300, 350), *range(400, 450)}, "no word is left out"
    assert not given & {*range(105, 290), *range(355, 390)}, "a pause of less than ends a turn"
    assert given >= {*range(450, 500)}, "what follows is not a pause: somebody may speak whom nobody has told of"
    uplink.line_down()
    uplink.speech_started(600 * BLOCK_NS)  # and is speaking now: with the others it is one turn
    uplink.line_up()
    for number in range(650):
        uplink.audio(*block(number), again=number < 640)
    given = {chunk.t // BLOCK_NS + at for chunk in taken(uplink) for at in range(len(chunk.pcm) // 640)}
    assert given >= set(range(600, 650))
    assert not given & set(range(455, 590))


def test_of_pauses_only_those_are_left_out_in_which_somebody_would_have_been_told_of() -> None:
    before = Uplink(0)
    before.audio(*block(0))
    for first, last in ((50, 100), (300, 350)):
        before.speech_started(first * BLOCK_NS)
        before.speech_ended(last * BLOCK_NS, first * BLOCK_NS)
    uplink = Uplink(0, told=before.told)  # it is killed; nobody hears what is told until the next one is there
    uplink.audio(*block(600))
    uplink.speech_started(900 * BLOCK_NS)
    uplink.speech_ended(950 * BLOCK_NS, 900 * BLOCK_NS)
    assert uplink.told == [(900 * BLOCK_NS, 950 * BLOCK_NS)]
    assert uplink.line_up() == 0, "all since the last answer"
    for number in range(1_000):
        uplink.audio(*block(number), again=True)
    given = {chunk.t // BLOCK_NS + at for chunk in taken(uplink) for at in range(len(chunk.pcm) // 640)}
    assert given >= {*range(50, 100), *range(300, 350), *range(900, 950)}
    assert given >= set(range(350, 600)), "somebody may have spoken there"
    assert not given & {*range(105, 290), *range(600, 890)}
    assert Uplink(400 * BLOCK_NS, told=before.told).place() == 400 * BLOCK_NS, "answered meanwhile"
