"""The memory outlives a killed process; a broken disk costs the memory, never the conversation."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.live.memory import SEED_TURNS, Memory, OpenTurn, Said
from pipeline.live.store import FILE, Store

pytestmark = pytest.mark.unit


def memory() -> Memory:
    return Memory(
        epoch=7,
        next_turn=4,
        next_visit=3,
        boot_id="b",
        answered_t=123,
        visit=2,
        active_ns=99,
        greeting="said",
        open_turn=OpenTurn(3, "speech", "", 120),
        answered_turn=2,
        handle="h",
        handle_turn=2,
        handle_for="gemini m",
        transcript=[Said(1, "person", "hello"), Said(1, "machine", "Good morning.")],
    )


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.load() == Memory()
    store.save(memory())
    store.close()
    again = Store(tmp_path)
    assert again.load() == memory()
    assert again.fault == ""


def test_a_killed_process_loses_nothing_that_it_saved(tmp_path: Path) -> None:
    script = (
        "import os, signal\nfrom pathlib import Path\n"
        "from pipeline.live.memory import Memory\nfrom pipeline.live.store import Store\n"
        f"store = Store(Path({str(tmp_path)!r})); store.load()\n"
        "store.save(Memory(epoch=41)); store.save(Memory(epoch=42)); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", script], env=environ).returncode == -signal.SIGKILL
    assert Store(tmp_path).load().epoch == 42


def test_an_unchanged_memory_is_not_written_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.load()
    store.save(memory())
    (tmp_path / f"{FILE}-wal").write_bytes(b"")
    store.save(memory())
    assert (tmp_path / f"{FILE}-wal").read_bytes() == b""


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 4_000])
def test_a_corrupt_file_is_moved_aside_and_a_new_one_used(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    store = Store(tmp_path)
    assert store.load() == Memory()
    assert str(tmp_path / FILE) in store.fault
    assert (tmp_path / f"{FILE}.unreadable").read_bytes() == content
    store.save(memory())
    store.close()
    assert Store(tmp_path).load() == memory()


def test_a_row_of_another_kind_is_moved_aside(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.load()
    store.close()
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute("INSERT OR REPLACE INTO memory VALUES (1, 1, '[1, 2]')")
    assert Store(tmp_path).load() == Memory()


def test_a_folder_that_cannot_be_written_is_said_and_harmless(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "state")
    assert store.load() == Memory()
    store.save(memory())
    store.close()
    assert "conversation goes on" in store.fault


def test_a_full_disk_is_said_and_forgotten_when_there_is_room_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.load()
    assert store._file is not None
    store._file.execute("PRAGMA max_page_count=1")
    store.save(Memory(transcript=[Said(1, "person", "x" * 50_000)]))
    assert "full" in store.fault
    store._file.execute("PRAGMA max_page_count=100000")
    store.save(memory())
    assert store.fault == ""


def test_times_of_another_boot_mean_nothing() -> None:
    kept = memory()
    kept.void_times("b")
    assert kept.answered_t == 123
    kept.void_times("c")
    assert (kept.answered_t, kept.active_ns, kept.open_turn, kept.boot_id) == (None, None, None, "c")
    assert kept.epoch == 7


def test_a_visit_leaves_nothing_behind() -> None:
    kept = memory()
    kept.forget_visit()
    assert kept == Memory(epoch=7, next_turn=4, next_visit=3, boot_id="b", answered_t=123, answered_turn=2)


def test_the_transcript_is_in_order_bounded_and_the_newest_word_counts() -> None:
    kept = Memory()
    kept.remember(Said(2, "machine", "b"))
    kept.remember(Said(1, "machine", "a"))
    kept.remember(Said(2, "person", "q"))
    kept.remember(Said(2, "machine", "b, as far as it was heard"))
    kept.remember(Said(3, "person", ""))
    assert [(said.turn, said.who, said.text) for said in kept.transcript] == [
        (1, "machine", "a"),
        (2, "person", "q"),
        (2, "machine", "b, as far as it was heard"),
    ]
    for turn in range(3, 200):
        kept.remember(Said(turn, "person", "x"))
    assert len(kept.transcript) == 2 * SEED_TURNS
    assert kept.transcript[-1].turn == 199
