"""Functions for a model to call, good and bad, in a module as a person would write it."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

print("noise at import")


@dataclass
class Order:
    """What comes back."""

    number: str
    items: list[str]


def status(order_id: str, detail: Literal["short", "long"] = "short") -> dict[str, Any]:
    """Look up an order.

    Args:
        order_id: The number on the receipt.
        detail: How much to say.
    """
    print("looking up", order_id)
    return {"status": "ready", "order": Order(order_id, ["tea"]), "detail": detail}


async def slow_async(seconds: float) -> float:
    """Wait without blocking."""
    import asyncio

    await asyncio.sleep(seconds)
    return seconds


def sleeps() -> str:
    """Sleep for long."""
    Path(os.environ["PIPELINE_STATE_DIR"], "sleeping").write_text(str(os.getpid()))
    time.sleep(30)
    return "awake"


def spins() -> None:
    """Compute for ever, holding the interpreter."""
    while True:
        pass


def hangs_natively() -> None:
    """Sleep in native code that holds the interpreter."""
    ctypes.PyDLL(None).sleep(30)


def segfaults() -> None:
    """Read where nothing is."""
    ctypes.string_at(0)


def floods() -> str:
    """Write to both outputs without end."""
    while True:
        os.write(1, b"nonsense\n" * 7_000)
        print("more nonsense", file=sys.stderr)


def forks() -> str:
    """Leave a child behind that holds all descriptors."""
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
    return str(pid)


def forks_and_returns_twice() -> int:
    """Come back in two processes."""
    os.fork()
    return 1


def ten_megabytes() -> str:
    """Return too long a text."""
    return "x" * 10_000_000


def long_list() -> list[int]:
    """Return too long a list."""
    return list(range(100_000))


def unsayable() -> object:
    """Return what is no JSON."""
    return object()


def raises() -> None:
    """Fail."""
    secret_of_the_house = {}
    secret_of_the_house["key"]


def devours() -> int:
    """Take all memory."""
    taken = []
    while True:
        taken.append(bytearray(50_000_000))


def leaves() -> None:
    """Leave."""
    sys.exit("bye")


def says_goodbye() -> str:
    """End it."""
    return "goodbye"


CALLS = [0]


def counts() -> int:
    """Count its calls."""
    CALLS[0] += 1
    return CALLS[0]
