"""The end of the stream is said once when no voice comes, and no zeros are paid for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.live.backlog import SAMPLE_NS, Chunk
from pipeline.live.pauses import PAUSE_NS
from pipeline.live.uplink import Piece, StreamEnd, Uplink

pytestmark = pytest.mark.unit

S, MS = 1_000_000_000, 1_000_000
BLOCK_NS = 320 * SAMPLE_NS
VOICE, ZEROS = bytes([1, 2]) * 320, bytes(640)
PAUSE = PAUSE_NS // BLOCK_NS


def talk(uplink: Uplink, first: int, last: int, *, gated: bool = False, again: bool = False) -> list[Piece]:
    pieces: list[Piece] = []
    for number in range(first, last):
        t = number * BLOCK_NS
        uplink.audio(t, ZEROS if gated else VOICE, gated=gated, again=again, now_ns=t + BLOCK_NS)
        pieces += drain(uplink)
    return pieces


def drain(uplink: Uplink) -> list[Piece]:
    pieces: list[Piece] = []
    while (piece := uplink.take()) is not None:
        pieces.append(piece)
    return pieces


def ends(pieces: list[Piece]) -> int:
    return sum(isinstance(piece, StreamEnd) for piece in pieces)


def test_behind_a_gate_that_closes_come_zeros_for_a_second_then_the_end_then_nothing() -> None:
    uplink = Uplink(0)
    uplink.line_up()
    talk(uplink, 0, 10)
    pieces = talk(uplink, 10, 200, gated=True)
    assert [type(piece) for piece in pieces] == [Chunk] * PAUSE + [StreamEnd]
    assert uplink.sent_t == 200 * BLOCK_NS, "what need not be sent counts as sent"
    assert [type(piece) for piece in talk(uplink, 200, 210)] == [Chunk] * 10
    assert ends(talk(uplink, 210, 300, gated=True)) == 1


def test_a_service_that_waits_longer_for_the_end_of_a_turn_is_given_the_zeros_for_it() -> None:
    uplink = Uplink(0, pause_ns=2 * S)
    uplink.line_up()
    talk(uplink, 0, 10)
    assert len(talk(uplink, 10, 300, gated=True)) == 101


def test_a_line_that_was_given_nothing_is_told_of_no_end() -> None:
    uplink = Uplink(0)
    uplink.line_up()
    assert talk(uplink, 0, 100, gated=True) == []
    uplink.tick(100 * S)
    assert drain(uplink) == []


def test_a_microphone_that_ceases_is_told_after_a_second_and_the_person_is_heard_no_more() -> None:
    uplink = Uplink(0)
    uplink.line_up()
    talk(uplink, 0, 50)
    uplink.speech_started(40 * BLOCK_NS)
    gone_ns = 50 * BLOCK_NS
    assert not uplink.tick(gone_ns + PAUSE_NS - 1)
    assert uplink.tick(gone_ns + PAUSE_NS)
    assert [type(piece) for piece in drain(uplink)] == [StreamEnd]
    assert uplink.quiet
    uplink.tick(gone_ns + 9 * S)
    assert drain(uplink) == []
    assert ends(talk(uplink, 500, 510)) == 0
    uplink.tick(600 * BLOCK_NS + S)
    assert ends(drain(uplink)) == 1


def test_an_utterance_that_is_given_again_ends_with_the_end_of_the_stream_unless_somebody_speaks() -> None:
    uplink = Uplink(0)
    talk(uplink, 0, 100)
    uplink.speech_started(20 * BLOCK_NS)
    uplink.speech_ended(60 * BLOCK_NS, 20 * BLOCK_NS)
    uplink.line_up()
    assert ends(talk(uplink, 0, 100, again=True)) == 0
    assert [type(piece) for piece in talk(uplink, 100, 102)] == [Chunk, StreamEnd, Chunk]
    uplink.line_down()
    uplink.speech_started(98 * BLOCK_NS)
    uplink.line_up()
    assert ends(talk(uplink, 0, 102, again=True) + talk(uplink, 102, 150)) == 0


def test_where_nothing_was_said_a_new_line_is_told_of_no_end() -> None:
    uplink = Uplink(0)
    talk(uplink, 0, 100)
    uplink.speech_started(20 * BLOCK_NS)
    uplink.speech_ended(60 * BLOCK_NS, 20 * BLOCK_NS)
    uplink.answered(90 * BLOCK_NS)
    uplink.line_up()
    assert ends(talk(uplink, 90, 100, again=True) + talk(uplink, 100, 120)) == 0


@given(st.lists(st.tuples(st.sampled_from(["voice", "gated", "nothing"]), st.integers(1, 150)), max_size=12))
def test_the_end_is_said_once_for_each_time_that_voice_ceased(runs: list[tuple[str, int]]) -> None:
    uplink = Uplink(0)
    uplink.line_up()
    at, pieces = 0, []
    for kind, blocks in runs:
        if kind == "nothing":
            for number in range(at, at + blocks):
                uplink.tick((number + 1) * BLOCK_NS)
                pieces += drain(uplink)
        else:
            pieces += talk(uplink, at, at + blocks, gated=kind == "gated")
        at += blocks
    kinds = [type(piece) for piece in pieces]
    assert all(before is Chunk for before, after in pairwise(kinds) if after is StreamEnd)
    assert not kinds or kinds[0] is Chunk
    sent = [
        n for piece in pieces if isinstance(piece, Chunk) for n in range(piece.t // BLOCK_NS, piece.end_t // BLOCK_NS)
    ]
    at = 0
    for kind, blocks in runs:
        if kind == "voice":
            assert set(range(at, at + blocks)) <= set(sent), "no voice is kept back"
        at += blocks
    assert sent == sorted(set(sent))
