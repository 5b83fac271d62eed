"""Functions for the model to call: how an order stands, and the end of a visit. `shop.yaml` names them.

A function's name, its types and its docstring are what the model is told. It runs in a process of its own: it may
sleep, crash or compute for ever without anybody hearing it. It is started in this folder, and PIPELINE_STATE_DIR names
the one for what is to be kept.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

DATABASE = Path(os.environ.get("PIPELINE_STATE_DIR") or tempfile.gettempdir()) / "shop.sqlite"
ORDERS = [
    ("1017", "ready to be picked up at the counter", "a pound of Assam"),
    ("1018", "on its way and will be here tomorrow", "two teapots"),
    ("1019", "waiting for its payment", "a tea strainer"),
]


def get_order_status(order_id: str) -> dict[str, Any]:
    """How an order stands. Call it when the person asks for their order and has said its number.

    Args:
        order_id: The number on the receipt, four digits.
    """
    with closing(sqlite3.connect(DATABASE, timeout=2.0)) as database, database:
        _fill(database)
        found = database.execute("SELECT status, items FROM orders WHERE id = ?", (order_id.strip(),)).fetchone()
    if found is None:
        return {"status": "unknown", "hint": "ask the person to read the number again"}
    return {"status": found[0], "items": found[1]}


def end_visit() -> str:
    """End the visit. Call it after you have said goodbye, when the person wants nothing more."""
    return "The visit ends when your goodbye was heard."


def _fill(database: sqlite3.Connection) -> None:
    """A small shop to begin with; another process may be doing the same."""
    database.execute("CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, status TEXT, items TEXT)")
    database.executemany("INSERT OR IGNORE INTO orders VALUES (?, ?, ?)", ORDERS)
