"""The tables of the store: what is written of a memory, and how it is read again. Every write is a difference.

state     what the session must know to go on, as JSON; one row
visits    one a visit, open while `ended` is null
turns     what was said in it, as heard
handles   by which the service resumes it, every one that was resumable
calls     functions that were called in it
usage     tokens and dollars a day: no words, so it is kept whatever becomes of the visits
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pipeline.live.memory import SEED_TURNS, Called, Memory, OpenTurn, Said, Spent, UsageLine

VERSION = 2
"""`user_version` of the file."""
HANDLES = 16
"""Of a visit; the newest are kept."""
VISIT_TURNS = 2_000
"""Of a visit that never ends; the newest are kept."""
USAGE_DAYS = 800
"""Of usage; the newest are kept."""
_ROWS = ("transcript", "calls", "used")
"""Fields of a memory that have tables of their own."""

_SCHEMA = """
CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), json TEXT NOT NULL);
CREATE TABLE visits (key INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER NOT NULL, began TEXT NOT NULL, ended TEXT);
CREATE TABLE turns (visit INTEGER, turn INTEGER, who TEXT, text TEXT, PRIMARY KEY (visit, turn, who)) WITHOUT ROWID;
CREATE TABLE handles (key INTEGER PRIMARY KEY, visit INTEGER, turn INTEGER, service TEXT, handle TEXT);
CREATE TABLE calls (visit INTEGER, id TEXT, turn INTEGER, name TEXT, args TEXT, outcome TEXT, PRIMARY KEY (visit, id))
    WITHOUT ROWID;
CREATE TABLE usage (day TEXT, model TEXT, way TEXT, kind TEXT, tokens INTEGER, usd REAL,
    PRIMARY KEY (day, model, way, kind)) WITHOUT ROWID;
"""


@dataclass
class Written:
    """What the file holds of the memory: the next write is what differs from it."""

    state: str = ""
    number: int | None = None
    """Of the visit that is open."""
    visit: int | None = None
    """Its key."""
    handle: str | None = None
    turns: dict[tuple[int, str], str] = field(default_factory=dict)
    calls: dict[str, Called] = field(default_factory=dict)


def create(file: sqlite3.Connection) -> Memory | None:
    """Make the tables where they are missing, in the transaction under way. The memory of an older file, if it is one.

    Raises ValueError for a file of a newer program.
    """
    version = file.execute("PRAGMA user_version").fetchone()[0]
    if version == VERSION:
        return None
    if version != 0:
        raise ValueError(f"version {version}, this program writes {VERSION}")
    for statement in _SCHEMA.split(";"):
        file.execute(statement)
    file.execute(f"PRAGMA user_version = {VERSION}")
    old = file.execute("SELECT name FROM sqlite_master WHERE name = 'memory'").fetchone()
    if old is None:
        return None
    row = file.execute("SELECT version, json FROM memory").fetchone()
    file.execute("DROP TABLE memory")
    if row is None:
        return None
    if row[0] != 1:
        raise ValueError(f"version {row[0]}, this program writes {VERSION}")
    return memory_of(json.loads(row[1]))


def read(file: sqlite3.Connection) -> tuple[Memory, Written]:
    """The memory, and what of it the file holds. Raises sqlite3.Error, ValueError, TypeError, KeyError for nonsense."""
    row = file.execute("SELECT json FROM state").fetchone()
    memory = memory_of(json.loads(row[0])) if row is not None else Memory()
    written = Written(state=row[0] if row is not None else "")
    find_visit(file, memory.visit, written)
    if written.visit is None:
        return memory, written
    left_out, memory.left_out = memory.left_out, 0
    turns = "SELECT turn, who, text FROM turns WHERE visit = ? ORDER BY turn DESC, who LIMIT ?"
    for turn, who, text in reversed(file.execute(turns, (written.visit, 2 * SEED_TURNS)).fetchall()):
        memory.remember(Said(turn, who, text))
        written.turns[turn, who] = text
    memory.left_out = left_out
    for call in file.execute("SELECT id, turn, name, args, outcome FROM calls WHERE visit = ?", (written.visit,)):
        memory.call(Called(*call))
        written.calls[call[0]] = Called(*call)
    written.handle = memory.handle
    return memory, written


def find_visit(file: sqlite3.Connection, number: int | None, written: Written) -> None:
    """The open visit of that number, if the file knows it."""
    query = "SELECT key FROM visits WHERE ended IS NULL AND number = ? ORDER BY key DESC LIMIT 1"
    row = file.execute(query, (number,)).fetchone()
    written.number, written.visit = (number, row[0]) if row is not None else (None, None)


def write(file: sqlite3.Connection, memory: Memory, written: Written, now: str) -> Written:
    """Write what differs, in the transaction under way. `now`: for people. What the file holds then."""
    state = state_of(memory)
    after = Written(state, memory.visit, written.visit, memory.handle)
    if state != written.state:
        file.execute("INSERT OR REPLACE INTO state VALUES (1, ?)", (state,))
    if memory.visit != written.number:
        written = Written(state)
        file.execute("UPDATE visits SET ended = ? WHERE ended IS NULL", (now,))
        after.visit = None
        if memory.visit is not None:
            insert = "INSERT INTO visits (number, began) VALUES (?, ?)"
            after.visit = file.execute(insert, (memory.visit, now)).lastrowid
    if after.visit is not None:
        _write_visit(file, memory, written, after, after.visit)
    for used in memory.used:
        _add(file, used)
    return after


def differs(memory: Memory, written: Written) -> bool:
    """There is something to write."""
    return (
        bool(memory.used)
        or state_of(memory) != written.state
        or memory.visit != written.number
        or any(written.turns.get((said.turn, said.who)) != said.text for said in memory.transcript)
        or any(written.calls.get(call.id) != call for call in memory.calls)
    )


def ended_visits(file: sqlite3.Connection, before: str | None = None) -> list[int]:
    """Keys of visits that are over, the oldest first; `before`: that were over before then."""
    query = "SELECT key FROM visits WHERE ended IS NOT NULL AND (? IS NULL OR ended < ?) ORDER BY key"
    return [key for (key,) in file.execute(query, (before, before))]


def forget(file: sqlite3.Connection, visits: list[int]) -> None:
    """Delete all that is known of these."""
    for key in visits:
        file.execute("DELETE FROM visits WHERE key = ?", (key,))
        for table in ("turns", "handles", "calls"):
            file.execute(f"DELETE FROM {table} WHERE visit = ?", (key,))


def bytes_used(file: sqlite3.Connection) -> int:
    """Of the file, without pages that are free."""
    pages, free, size = (
        file.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def state_of(memory: Memory) -> str:
    """All of a memory but what has tables of its own."""
    kept = {item.name: getattr(memory, item.name) for item in fields(memory) if item.name not in _ROWS}
    kept["open_turn"] = None if memory.open_turn is None else asdict(memory.open_turn)
    kept["spent"] = asdict(memory.spent)
    return json.dumps(kept)


def memory_of(kept: dict[str, Any]) -> Memory:
    """The other way. Unknown keys are ignored: an older version reads what a newer one wrote."""
    values = dict(_known(Memory, kept))
    values["transcript"] = [Said(entry["turn"], entry["who"], entry["text"]) for entry in kept.get("transcript", ())]
    values["calls"] = [Called(**dict(_known(Called, call))) for call in kept.get("calls", ())]
    values["used"] = [UsageLine(**dict(_known(UsageLine, line))) for line in kept.get("used", ())]
    values["spent"] = Spent(**dict(_known(Spent, kept.get("spent") or {})))
    values["told"] = [(int(start), int(end)) for start, end in kept.get("told", ())]
    if values.get("open_turn") is not None:
        values["open_turn"] = OpenTurn(**dict(_known(OpenTurn, values["open_turn"])))
    return Memory(**values)


def _known(kind: type, kept: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    known = {item.name for item in fields(kind)}
    return ((key, value) for key, value in kept.items() if key in known)


def _write_visit(file: sqlite3.Connection, memory: Memory, written: Written, after: Written, visit: int) -> None:
    for said in memory.transcript:
        after.turns[said.turn, said.who] = said.text
        if written.turns.get((said.turn, said.who)) != said.text:
            turn = (visit, said.turn, said.who, said.text)
            file.execute("INSERT OR REPLACE INTO turns VALUES (?, ?, ?, ?)", turn)
    if memory.transcript:
        newest = memory.transcript[-1].turn
        file.execute("DELETE FROM turns WHERE visit = ? AND turn < ?", (visit, newest - VISIT_TURNS))
    for call in memory.calls:
        after.calls[call.id] = call
        if written.calls.get(call.id) != call:
            called = (visit, call.id, call.turn, call.name, call.args, call.outcome)
            file.execute("INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?, ?, ?)", called)
    if memory.handle is not None and memory.handle != written.handle:
        handle = (visit, memory.handle_turn, memory.handle_for, memory.handle)
        file.execute("INSERT INTO handles (visit, turn, service, handle) VALUES (?, ?, ?, ?)", handle)
        kept = "SELECT key FROM handles WHERE visit = ? ORDER BY key DESC LIMIT ?"
        file.execute(f"DELETE FROM handles WHERE visit = ? AND key NOT IN ({kept})", (visit, visit, HANDLES))


def _add(file: sqlite3.Connection, used: UsageLine) -> None:
    file.execute(
        "INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
        "SET tokens = tokens + excluded.tokens, usd = usd + excluded.usd",  # unknown plus anything is unknown
        (used.day, used.model, used.way, used.kind, used.tokens, used.usd),
    )
    oldest = "SELECT day FROM (SELECT DISTINCT day FROM usage ORDER BY day DESC LIMIT ?) ORDER BY day LIMIT 1"
    file.execute(f"DELETE FROM usage WHERE day < ({oldest})", (USAGE_DAYS,))
