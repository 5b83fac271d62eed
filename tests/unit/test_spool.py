"""The voice of a question that is owed an answer: held in a file while it is owed, given to the next session."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.live.conversation import Conversation
from pipeline.live.kept import Block
from pipeline.live.memory import Memory
from pipeline.live.spool import FILE, LARGEST_BYTES, Spool

pytestmark = pytest.mark.unit

BLOCK_NS = 20_000_000
PCM = bytes(range(256)) * 2 + bytes(128)


def speak(talk: Conversation, spool: Spool, first: int, count: int) -> None:
    for number in range(first, first + count):
        block = Block(number * BLOCK_NS, PCM, gated=number % 2 == 1)
        talk.voice(block.end_t, block)
        assert spool.follow(talk, block) == []


def test_voice_is_held_while_an_answer_is_owed_and_given_to_whoever_follows(tmp_path: Path) -> None:
    talk, spool = Conversation(Memory()), Spool(tmp_path)
    speak(talk, spool, 1, 10)
    assert not (tmp_path / FILE).exists(), "nobody speaks"
    talk.speech_started(11 * BLOCK_NS, 9 * BLOCK_NS)
    speak(talk, spool, 11, 10)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    with (tmp_path / FILE).open("ab") as file:
        file.write(b"cut short by a death")
    after, next_spool = Conversation(talk.memory), Spool(tmp_path)
    after.start(21 * BLOCK_NS)
    next_spool.restore(21 * BLOCK_NS, after)
    assert after.kept.since(None) == talk.kept.since(None)
    spared = Conversation(talk.memory)
    spared.start(21 * BLOCK_NS)
    Spool(tmp_path).restore(21 * BLOCK_NS, spared, crashes=2)
    assert spared.kept.since(None) == [], "it may be what ended them"
    assert after.voice_place() == 21 * BLOCK_NS, "from there on the frontend is asked"


def test_nothing_is_left_of_a_visitor_who_is_gone(tmp_path: Path) -> None:
    talk, spool = Conversation(Memory()), Spool(tmp_path)
    talk.speech_started(BLOCK_NS, BLOCK_NS)
    speak(talk, spool, 1, 5)
    hour_ns = 3_600_000_000_000
    after, next_spool = Conversation(talk.memory), Spool(tmp_path)
    after.start(hour_ns)
    next_spool.restore(hour_ns, after)
    next_spool.follow(after)
    assert after.kept.since(None) == []
    assert not (tmp_path / FILE).exists()


def test_the_file_does_not_grow_for_ever_and_a_folder_that_is_gone_is_said_once(tmp_path: Path) -> None:
    talk, spool = Conversation(Memory()), Spool(tmp_path)
    talk.speech_started(BLOCK_NS, BLOCK_NS)
    speak(talk, spool, 1, 5_000)
    assert (tmp_path / FILE).stat().st_size <= LARGEST_BYTES + 1_000
    lost = Spool(tmp_path / "none")
    assert len(lost.follow(talk)) == 1
    assert lost.follow(talk) == []
