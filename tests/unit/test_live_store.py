"""The memory outlives a killed process; a broken disk costs the memory, never the conversation."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.live import tables
from pipeline.live.memory import (
    CALLS,
    ENTRY_CHARS,
    SEED_CHARS,
    SEED_TURNS,
    Called,
    Memory,
    OpenTurn,
    Said,
    Spent,
    UsageLine,
)
from pipeline.live.store import FILE, RETRY_S, Store

pytestmark = pytest.mark.unit


class Clock:
    """Both clocks of a store, set by hand."""

    def __init__(self) -> None:
        self.s = 1_000.0
        self.now = datetime(2026, 11, 30, 12)

    def store(self, folder: Path, retention: str = "visit", **options: Any) -> Store:
        return Store(folder, retention, now=lambda: self.now, clock=lambda: self.s, **options)


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
        left_out=3,
        calls=[Called("c1", 1, "f", "{}", "answered")],
        spent=Spent("2026-11-30", 1.5, 0, 0.25, 7),
    )


def rows(folder: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(folder / FILE)) as file:
        return file.execute(query).fetchall()


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())


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


def test_an_unchanged_memory_is_not_written_again_and_a_changed_one_only_where_it_differs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.load()
    kept = memory()
    store.save(kept)
    assert store._file is not None
    before = store._file.total_changes
    store.save(kept)
    assert store._file.total_changes == before
    kept.remember(Said(2, "person", "and then?"))
    store.save(kept)
    assert store._file.total_changes == before + 1
    kept.epoch = 8
    store.save(kept)
    assert store._file.total_changes == before + 2


# Visits


def talk(store: Store, kept: Memory, words: str, visit: int) -> None:
    """A visit, with everything in it that a visit can leave."""
    kept.visit = visit
    for turn in range(1, 60):
        kept.open_turn = OpenTurn(turn, "text", f"{words} typed {turn}")
        kept.handle = f"handle-{words}-{turn}"
        store.save(kept)
        kept.remember(Said(turn, "person", f"{words} asked {turn} " + words * random.Random(turn).randrange(40)))
        kept.remember(Said(turn, "machine", f"{words} answered"))
        kept.call(Called(f"c{turn}", turn, "look_up", json.dumps({"who": words})))
        store.save(kept)
        kept.remember(Said(turn, "machine", words))
        store.save(kept)
    kept.use(UsageLine("2026-11-30", "m", "in", "audio", 100, 0.5))


@pytest.mark.parametrize("ends", ["left", "next", "killed"])
def test_of_a_visit_nothing_outlives_it(tmp_path: Path, ends: str) -> None:
    clock = Clock()
    store = clock.store(tmp_path)
    kept = store.load()
    talk(store, kept, "rosebud", 1)
    assert b"rosebud" in on_disk(tmp_path)
    kept.forget_visit()
    if ends == "next":
        kept.visit = 2
    if ends == "killed":  # before the end of the visit was saved; it is seen by the next session
        store._drop()
        store = clock.store(tmp_path)
        kept = store.load()
        assert kept.visit == 1
        kept.forget_visit()
    store.save(kept)
    found = on_disk(tmp_path)
    assert b"rosebud" not in found
    store.close()
    assert b"rosebud" not in on_disk(tmp_path)
    assert rows(tmp_path, "SELECT day, tokens, usd FROM usage") == (
        [] if ends == "killed" else [("2026-11-30", 100, 0.5)]
    )
    assert clock.store(tmp_path).load().transcript == []


def test_a_log_that_cannot_be_emptied_is_said_and_emptied_later(tmp_path: Path) -> None:
    clock = Clock()
    store = clock.store(tmp_path)
    kept = store.load()
    talk(store, kept, "rosebud", 1)
    with closing(sqlite3.connect(tmp_path / FILE)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM turns").fetchone()
        kept.forget_visit()
        store.save(kept)
        assert "still in its log" in store.fault
        assert b"rosebud" in on_disk(tmp_path)
    clock.s += RETRY_S
    store.tick(kept)
    assert b"rosebud" not in on_disk(tmp_path)
    kept.epoch += 1
    store.save(kept)
    assert store.fault == ""


def test_what_cannot_be_deleted_because_the_disk_is_full_goes_with_the_file(tmp_path: Path) -> None:
    clock = Clock()
    store = clock.store(tmp_path)
    kept = store.load()
    talk(store, kept, "rosebud", 1)
    store.save(kept)
    real = store._file
    assert real is not None

    class Full:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def execute(self, query: str, *values: Any) -> Any:
            if query.startswith(("INSERT", "DELETE", "UPDATE")):
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise error
            return real.execute(query, *values)

    store._file = Full()  # type: ignore[assignment]
    kept.forget_visit()
    store.save(kept)
    assert "full" in store.fault
    assert b"rosebud" not in on_disk(tmp_path)
    clock.s += RETRY_S
    store.tick(kept)
    assert (store.fault, store._file is not None) == ("", True)
    kept.epoch += 1
    store.save(kept)
    store.close()
    assert clock.store(tmp_path).load() == kept


def test_visits_are_kept_as_long_as_it_is_said(tmp_path: Path) -> None:
    clock = Clock()
    store = clock.store(tmp_path, "30d")
    kept = store.load()
    talk(store, kept, "rosebud", 1)
    kept.forget_visit()
    clock.now += timedelta(minutes=5)
    store.save(kept)
    [(began, ended)] = rows(tmp_path, "SELECT began, ended FROM visits")
    assert (began, ended) == ("2026-11-30T12:00:00", "2026-11-30T12:05:00")
    assert rows(tmp_path, "SELECT text FROM turns WHERE turn = 7 AND who = 'machine'") == [("rosebud",)]
    assert rows(tmp_path, "SELECT count(*) FROM handles") == [(tables.HANDLES,)]
    assert clock.store(tmp_path, "30d").load().transcript == [], "kept, but told to nobody"
    clock.now += timedelta(days=29)
    talk(store, kept, "sled", 2)
    assert b"rosebud" in on_disk(tmp_path)
    clock.now += timedelta(days=2)
    kept.forget_visit()
    store.save(kept)
    assert b"rosebud" not in on_disk(tmp_path)
    assert b"sled" in on_disk(tmp_path)


def test_visits_are_kept_for_ever_within_a_size(tmp_path: Path) -> None:
    store = Clock().store(tmp_path, "forever", largest_bytes=300_000)
    kept = store.load()
    for visit in range(1, 60):
        talk(store, kept, f"visitor{visit:03}", visit)
        kept.forget_visit()
        store.save(kept)
    store.close()
    numbers = [number for (number,) in rows(tmp_path, "SELECT number FROM visits ORDER BY key")]
    assert numbers[-1] == 59
    assert 5 < len(numbers) < 59
    assert (tmp_path / FILE).stat().st_size < 400_000
    assert b"visitor001" not in on_disk(tmp_path)


def test_a_visit_that_never_ends_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "VISIT_TURNS", 50)
    store = Store(tmp_path, "forever")
    kept = store.load()
    kept.visit = 1
    for turn in range(1, 200):
        kept.remember(Said(turn, "person", "x"))
        store.save(kept)
    assert rows(tmp_path, "SELECT count(*) FROM turns") == [(51,)]
    assert len(store._written.turns) <= 2 * SEED_TURNS


def test_days_of_usage_add_up_and_unknown_prices_stay_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "USAGE_DAYS", 3)
    store = Store(tmp_path)
    kept = store.load()
    for day in range(1, 6):
        for usd in (0.5, None if day == 5 else 0.25):
            kept.use(UsageLine(f"2026-11-0{day}", "m", "in", "audio", 10, usd))
            store.save(kept)
            assert kept.used == []
    days = rows(tmp_path, "SELECT day, tokens, usd FROM usage ORDER BY day")
    assert days == [("2026-11-03", 20, 0.75), ("2026-11-04", 20, 0.75), ("2026-11-05", 20, None)]


@pytest.mark.parametrize("words", ["", "0d", "d", "3w", "-1d", "Visit"])
def test_a_retention_that_says_nothing_is_refused(tmp_path: Path, words: str) -> None:
    with pytest.raises(ValueError, match="30d"):
        Store(tmp_path, words)


# Broken disks


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 4_000])
def test_a_corrupt_file_is_moved_aside_and_a_new_one_used(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    store = Store(tmp_path)
    assert store.load() == Memory()
    assert str(tmp_path / FILE) in store.fault
    assert (tmp_path / f"{FILE}.unreadable").read_bytes() == content
    kept = memory()
    store.save(kept)
    store.close()
    again = Store(tmp_path)
    assert again.load() == memory()
    kept.forget_visit()
    again.save(kept)
    assert not (tmp_path / f"{FILE}.unreadable").exists(), "there may be words of a visit in it"


def test_files_moved_aside_are_few(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / FILE).write_bytes(b"%d" % number * 200)
        Store(tmp_path).load()
    aside = sorted(path.name for path in tmp_path.iterdir() if "unreadable" in path.name)
    assert [(tmp_path / name).read_bytes()[:1] for name in aside] == [b"4", b"3", b"2"]


def test_a_file_that_goes_bad_in_use_is_replaced_by_what_is_known(tmp_path: Path) -> None:
    store = Store(tmp_path)
    kept = store.load()
    kept.visit = 1
    store.save(kept)
    store.close()
    whole = (tmp_path / FILE).read_bytes()
    again = Store(tmp_path)
    kept = again.load()
    (tmp_path / FILE).write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    assert again._file is not None
    again._file.execute("PRAGMA cache_size=0")
    kept.remember(Said(1, "person", "hello"))
    for epoch in range(1, 4):
        kept.epoch = epoch
        again.save(kept)
    again.close()
    assert Store(tmp_path).load() == kept


@pytest.mark.parametrize("state", ["[1, 2]", "{", '{"spent": 3}'])
def test_a_row_of_another_kind_is_moved_aside(tmp_path: Path, state: str) -> None:
    store = Store(tmp_path)
    store.load()
    store.close()
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute("INSERT OR REPLACE INTO state VALUES (1, ?)", (state,))
    assert Store(tmp_path).load() == Memory()


def test_a_file_of_a_newer_program_is_moved_aside(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as file:
        file.execute("PRAGMA user_version = 9")
    store = Store(tmp_path)
    assert store.load() == Memory()
    assert "version 9" in store.fault


def test_a_file_of_an_older_program_is_taken_over(tmp_path: Path) -> None:
    old = {key: value for key, value in asdict(memory()).items() if key not in ("calls", "spent", "used", "left_out")}
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as file:
        file.execute("PRAGMA journal_mode=WAL")
        file.execute("CREATE TABLE memory (one INTEGER PRIMARY KEY, version INTEGER, json TEXT)")
        file.execute("INSERT INTO memory VALUES (1, 1, ?)", (json.dumps(old),))
    store = Store(tmp_path)
    expected = memory()
    expected.calls, expected.spent, expected.left_out = [], Spent(), 0
    assert store.load() == expected
    assert store.fault == ""
    store.close()
    assert Store(tmp_path).load() == expected
    assert rows(tmp_path, "SELECT name FROM sqlite_master WHERE name = 'memory'") == []


def test_a_folder_that_cannot_be_written_is_said_and_harmless(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "state")
    assert store.load() == Memory()
    store.save(memory())
    store.close()
    assert "conversation goes on" in store.fault


def test_a_full_disk_is_said_and_forgotten_when_there_is_room_again(tmp_path: Path) -> None:
    clock = Clock()
    store = clock.store(tmp_path)
    store.load()
    assert store._file is not None
    store._file.execute("PRAGMA max_page_count=1")
    kept = memory()
    kept.transcript = [Said(1, "person", "x" * 50_000)]
    store.save(kept)
    assert "full" in store.fault
    store._file.execute("PRAGMA max_page_count=100000")
    store.tick(kept)
    assert "full" in store.fault, "not asked for each tick"
    clock.s += RETRY_S
    store.tick(kept)
    assert store.fault == "", "also when nobody says anything"


def test_a_locked_file_costs_no_time_and_is_used_when_it_is_free_again(tmp_path: Path) -> None:
    clock = Clock()
    first = clock.store(tmp_path)
    first.load()
    first.save(Memory(spent=Spent("2026-11-30", 2.0), next_visit=9))
    first.close()
    store = clock.store(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        kept = store.load()
        assert kept == Memory()
        assert "locked" in store.fault
        kept.spent = Spent("2026-11-30", 0.5)
        began = os.times().elapsed
        for epoch in range(100):
            kept.epoch = epoch
            store.save(kept)
        assert os.times().elapsed - began < 0.2
        other.execute("COMMIT")
    clock.s += RETRY_S
    store.tick(kept)
    assert store.fault == ""
    assert kept.spent.day_usd == 2.5, "money that was spent before is spent"
    store.close()
    assert clock.store(tmp_path).load() == kept


def test_a_file_that_is_taken_away_is_made_anew(tmp_path: Path) -> None:
    clock = Clock()
    store = clock.store(tmp_path)
    store.load()
    kept = memory()
    store.save(kept)
    store._drop()
    (tmp_path / FILE).unlink()
    kept.remember(Said(2, "person", "still here"))
    store.save(kept)
    store.close()
    assert clock.store(tmp_path).load() == kept


# The memory itself


def test_times_of_another_boot_mean_nothing() -> None:
    kept = memory()
    kept.void_times("b")
    assert kept.answered_t == 123
    kept.void_times("c")
    assert (kept.answered_t, kept.active_ns, kept.open_turn, kept.boot_id) == (None, None, None, "c")
    for _ in range(2):
        kept.answered_t = 5
        kept.void_times("")
        assert kept.answered_t is None, "nobody can tell which boot this is"
    assert kept.epoch == 7


def test_a_visit_leaves_nothing_behind_but_what_the_day_has_cost() -> None:
    kept = memory()
    kept.forget_visit()
    spent = Spent("2026-11-30", 1.5)
    assert kept == Memory(epoch=7, next_turn=4, next_visit=3, boot_id="b", answered_t=123, answered_turn=2, spent=spent)


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
    assert kept.left_out == 200 - 2 * SEED_TURNS
    kept.remember(Said(5, "person", "x, as it was meant"))
    assert (kept.transcript[0].turn, kept.left_out) == (120, 200 - 2 * SEED_TURNS)


def test_a_seed_is_short_however_much_was_said() -> None:
    kept = Memory()
    for turn in range(1, 30):
        kept.remember(Said(turn, "person", "a" * 5_000))
        assert sum(len(said.text) for said in kept.transcript) <= SEED_CHARS
    assert kept.transcript[-1] == Said(29, "person", "a" * ENTRY_CHARS)
    assert kept.left_out == 29 - SEED_CHARS // ENTRY_CHARS


def test_calls_are_few_and_each_is_there_once() -> None:
    kept = Memory()
    for number in range(100):
        kept.call(Called(str(number), 1, "f", "{}"))
        kept.call(Called(str(number), 1, "f", "{}", "answered"))
    assert [call.id for call in kept.calls] == [str(number) for number in range(100 - CALLS, 100)]
    assert {call.outcome for call in kept.calls} == {"answered"}
