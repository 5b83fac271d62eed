"""The client says when somebody speaks: activities around speech, nothing between them, each sample once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.live.activities import HELD_NS, ActivityEnd, ActivityStart, ClientVad
from pipeline.live.backlog import JITTER_NS, SAMPLE_NS, Chunk
from pipeline.live.uplink import Piece, Uplink

pytestmark = pytest.mark.unit

S, MS = 1_000_000_000, 1_000_000
BLOCK = 320
BLOCK_NS = BLOCK * SAMPLE_NS
PREROLL_NS, SILENCE_NS = 300 * MS, 500 * MS


def manual(answered_t: int | None = 0) -> Uplink:
    return Uplink(answered_t, client_vad=ClientVad(preroll_ms=300, silence_ms=500))


def voice(number: int) -> bytes:
    """A block whose samples say which they are."""
    return (np.arange(number * BLOCK, (number + 1) * BLOCK) % 30_000).astype("<i2").tobytes()


def hear(uplink: Uplink, first: int, last: int, *, again: bool = False) -> list[Piece]:
    """Blocks come one by one; what is sent for each."""
    pieces: list[Piece] = []
    for number in range(first, last):
        uplink.audio(number * BLOCK_NS, voice(number), again=again)
        pieces += drain(uplink)
    return pieces


def drain(uplink: Uplink) -> list[Piece]:
    pieces: list[Piece] = []
    while (piece := uplink.take()) is not None:
        pieces.append(piece)
        assert len(pieces) < 10_000
    return pieces


def shape(pieces: list[Piece]) -> list[str | tuple[int, int]]:
    """`start`, `end`, and stretches of voice from block to block."""
    found: list[str | tuple[int, int]] = []
    for piece in pieces:
        match piece:
            case Chunk():
                first, last = piece.t // BLOCK_NS, piece.end_t // BLOCK_NS
                if found and isinstance(found[-1], tuple) and found[-1][1] == first:
                    found[-1] = (found[-1][0], last)
                else:
                    found.append((first, last))
            case ActivityStart():
                found.append("start")
            case ActivityEnd():
                found.append("end")
            case _:
                found.append(type(piece).__name__)
    return found


def test_an_activity_has_sound_from_before_the_onset_and_the_silence_behind_it() -> None:
    uplink = manual()
    uplink.line_up()
    assert hear(uplink, 0, 105) == []
    uplink.speech_started(100 * BLOCK_NS)  # told 100 ms later
    assert shape(drain(uplink)) == ["start", (85, 105)]
    assert shape(hear(uplink, 105, 220)) == [(105, 220)]
    uplink.speech_ended(200 * BLOCK_NS, 100 * BLOCK_NS)
    assert shape(hear(uplink, 220, 300)) == [(220, 225), "end"]
    assert uplink.idle


def test_whoever_speaks_on_within_the_silence_goes_on_with_the_activity() -> None:
    uplink = manual()
    uplink.line_up()
    uplink.speech_started(20 * BLOCK_NS)
    hear(uplink, 0, 60)
    uplink.speech_ended(50 * BLOCK_NS, 20 * BLOCK_NS)
    uplink.speech_started(70 * BLOCK_NS)
    assert shape(hear(uplink, 60, 100)) == [(60, 100)]
    uplink.speech_ended(90 * BLOCK_NS, 70 * BLOCK_NS)
    assert shape(hear(uplink, 100, 120)) == [(100, 115), "end"]


def test_utterances_that_all_wait_for_a_line_are_one_activity() -> None:
    uplink = manual()
    hear(uplink, 0, 10)
    for first, last in ((50, 100), (300, 350)):
        uplink.speech_started(first * BLOCK_NS)
        uplink.speech_ended(last * BLOCK_NS, first * BLOCK_NS)
    uplink.line_up()
    for number in range(10, 500):
        uplink.audio(number * BLOCK_NS, voice(number), again=True)
    assert shape(drain(uplink)) == ["start", (35, 105), (290, 375), "end"]
    uplink.answered(350 * BLOCK_NS)
    assert shape(drain(uplink)) == []


def test_whoever_speaks_just_after_it_begins_another_one_and_nothing_is_sent_twice() -> None:
    uplink = manual()
    uplink.line_up()
    uplink.speech_started(20 * BLOCK_NS)
    hear(uplink, 0, 50)
    uplink.speech_ended(50 * BLOCK_NS, 20 * BLOCK_NS)
    assert shape(hear(uplink, 50, 80)) == [(50, 75), "end"]
    uplink.speech_started(78 * BLOCK_NS)  # its pre-roll has been sent in part
    assert shape(hear(uplink, 80, 90)) == ["start", (75, 90)]


def test_a_frontend_or_a_microphone_that_goes_away_ends_the_activity_after_a_second() -> None:
    uplink = manual()
    uplink.line_up()
    uplink.speech_started(20 * BLOCK_NS)
    hear(uplink, 0, 50)
    gone_ns = 50 * BLOCK_NS
    assert not uplink.tick(gone_ns + S - 1)
    assert drain(uplink) == []
    assert uplink.tick(gone_ns + S)
    assert not uplink.tick(gone_ns + 2 * S), "once"
    assert shape(drain(uplink)) == ["end"]
    assert uplink.quiet
    assert drain(uplink) == []
    # Back, it hears again what the microphone's ring held, and goes on: that is another activity, of what is new.
    uplink.speech_started(20 * BLOCK_NS + 3 * MS)
    assert shape(hear(uplink, 45, 60)) == ["start", (50, 60)]


def test_a_frontend_that_is_back_at_once_splits_nothing() -> None:
    uplink = manual()
    uplink.line_up()
    uplink.speech_started(20 * BLOCK_NS)
    hear(uplink, 0, 50)
    uplink.speech_lost()
    assert drain(uplink) == []
    uplink.speech_started(20 * BLOCK_NS + 3 * MS)
    assert shape(hear(uplink, 50, 90)) == [(50, 90)]


def test_a_new_line_is_given_the_utterance_whole_in_one_activity() -> None:
    uplink = manual()
    uplink.line_up()
    uplink.speech_started(100 * BLOCK_NS)
    assert shape(hear(uplink, 0, 150)) == ["start", (85, 150)]
    uplink.line_down()
    uplink.audio(150 * BLOCK_NS, voice(150))
    uplink.speech_ended(140 * BLOCK_NS, 100 * BLOCK_NS)
    assert drain(uplink) == []
    assert uplink.line_up() == 85 * BLOCK_NS
    assert shape(hear(uplink, 85, 200, again=True)) == ["start", (85, 165), "end"]


def test_who_speaks_over_the_machine_is_held_back_until_it_is_sure_and_a_cough_is_never_sent() -> None:
    uplink = manual()
    uplink.line_up()
    uplink.speech_started(50 * BLOCK_NS)
    uplink.hold()
    assert hear(uplink, 0, 60) == []
    uplink.speech_ended(55 * BLOCK_NS, 50 * BLOCK_NS)  # a cough
    uplink.release()
    assert hear(uplink, 60, 100) == []
    uplink.speech_started(100 * BLOCK_NS)
    uplink.hold()
    assert hear(uplink, 100, 112) == []
    uplink.release()
    assert shape(hear(uplink, 112, 120)) == ["start", (85, 120)], "not a sample of it is lost"


def test_no_stream_end_is_said_where_only_activities_are_understood() -> None:
    uplink = manual()
    uplink.line_up()
    hear(uplink, 0, 50)
    uplink.tick(50 * BLOCK_NS + 2 * S)
    uplink.source_over()
    assert drain(uplink) == []
    assert uplink.idle
    assert uplink.ended_sent


def test_who_is_told_of_a_beginning_seconds_late_still_has_it_whole() -> None:
    uplink = manual()
    uplink.line_up()
    hear(uplink, 0, 300)
    start_t = 300 * BLOCK_NS - HELD_NS + PREROLL_NS
    uplink.speech_started(start_t)
    assert shape(drain(uplink)) == ["start", ((start_t - PREROLL_NS) // BLOCK_NS, 300)]


def test_a_session_that_was_killed_in_mid_utterance_finds_its_beginning_though_nobody_tells_it() -> None:
    uplink = manual(answered_t=10 * BLOCK_NS)
    uplink.presume(None)
    assert uplink.line_up() == 10 * BLOCK_NS - PREROLL_NS
    pieces = hear(uplink, 10, 60, again=True)
    uplink.speech_ended(70 * BLOCK_NS, 30 * BLOCK_NS)
    assert shape(pieces + hear(uplink, 60, 120, again=True)) == ["start", (10, 95), "end"]


def test_the_last_answer_may_be_long_ago() -> None:
    uplink = manual(answered_t=None)
    uplink.presume(None)
    assert uplink.line_up() is None
    hour = 3600 * S // BLOCK_NS
    for number in range(hour, hour + 250):
        uplink.audio(number * BLOCK_NS, voice(number), again=True)
    pieces = drain(uplink) + hear(uplink, hour + 250, hour + 300)
    assert shape(pieces) == ["start", (hour, hour + 275), "end"]


@pytest.mark.parametrize("told", [False, True])
def test_what_nobody_tells_of_ends_where_the_voice_is_live_again(told: bool) -> None:
    uplink = manual(answered_t=10 * BLOCK_NS)
    uplink.presume(50 * BLOCK_NS if told else None)
    uplink.line_up()
    pieces = hear(uplink, 10, 100, again=True) + hear(uplink, 100, 150)
    assert shape(pieces) == ["start", (10, 75 if told else 125), "end"]


def test_a_service_that_detects_speech_itself_needs_no_presuming() -> None:
    uplink = Uplink(0)
    uplink.presume(None)
    assert uplink.quiet


@given(
    st.lists(st.tuples(st.integers(1, 120), st.integers(1, 200)), min_size=1, max_size=8),
    st.integers(1, 30),
    st.integers(1, 60),
    st.integers(0, 3_000),
)
def test_however_late_speech_is_told_the_order_holds_and_every_word_is_given_once(
    speech: list[tuple[int, int]], late: int, hangover: int, lost_at: int
) -> None:
    """`speech`: pauses and lengths in blocks; told of `late` and `hangover` blocks after they begin and end. The line
    is lost at a block and comes back some blocks later, and the ring is heard again from where it says."""
    spans, at = [], 20
    for pause, length in speech:
        at += pause + hangover  # the frontend ends one before it begins the next
        spans.append((at, at + length))
        at += length
    end = at + 200
    uplink = manual()
    uplink.line_up()
    lines: list[list[Piece]] = [[]]
    for number in range(end):
        if number == min(lost_at, end - 150):
            uplink.line_down()
        if number == min(lost_at, end - 150) + 40:
            place = uplink.line_up()
            assert place is not None
            lines.append([])
            lines[-1] += hear(uplink, max(0, place // BLOCK_NS), number, again=True)
        uplink.audio(number * BLOCK_NS, voice(number))
        for first, last in spans:
            if number == first + min(late, last - first + hangover - 1):
                uplink.speech_started(first * BLOCK_NS)
            if number == last + hangover:
                uplink.speech_ended(last * BLOCK_NS, first * BLOCK_NS)
        lines[-1] += drain(uplink)
    for pieces in lines:
        words = [word for word in shape(pieces) if isinstance(word, str)]
        assert words == ["start", "end"] * (len(words) // 2) or (pieces is lines[0] and words[-1] == "start")
        places = [(piece.t, piece.end_t) for piece in pieces if isinstance(piece, Chunk)]
        assert all(before[1] <= after[0] for before, after in pairwise(places)), "each sample once, in order"
        open_ = False
        for piece in pieces:
            open_ = isinstance(piece, ActivityStart) or (open_ and not isinstance(piece, ActivityEnd))
            assert open_ or not isinstance(piece, Chunk), "no voice outside of an activity"
    given_last = {n for p in lines[-1] if isinstance(p, Chunk) for n in range(p.t // BLOCK_NS, p.end_t // BLOCK_NS)}
    for first, last in spans:
        assert given_last >= set(range(first, last)), "nothing was answered, so the last line was given all of it"
    assert JITTER_NS < BLOCK_NS
