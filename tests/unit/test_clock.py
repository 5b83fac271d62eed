"""A clock that is set, by a person or by NTP after a boot without a battery, must not move anything here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

PIPELINE = Path(__file__).resolve().parents[2] / "pipeline"
WALL = {
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "localtime"),
    ("time", "gmtime"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}
"""What moves when the clock is set."""
FOR_PEOPLE = {
    "cli/incidents.py": "when it was",
    "cli/record.py": "when it was recorded",
    "cli/running.py": "how old a file is",
    "cli/tape.py": "when it was recorded",
    "doctor/network.py": "the clock itself is what is looked at",
    "live/budget.py": "a day of the calendar, which a clock that is set back can't begin anew",
    "live/failures.py": "whether the clock is why a certificate is refused",
    "live/store.py": "days for which words are kept",
    "simulator/state_file.py": "how long a server was down, as the service counts it",
    "stages/black_box.py": "the name of a file",
    "stages/traces.py": "a collector files by the time of day",
    "supervisor/watching.py": "when an incident was",
}
"""Files that may read it, and for what: nothing that orders or measures a conversation."""


def wall_clocks(source: str) -> Iterator[int]:
    """Lines that read the wall clock."""
    tree = ast.parse(source)
    bare = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "datetime"):
            bare |= {alias.asname or alias.name for alias in node.names if (node.module, alias.name) in WALL}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if (owner, node.attr) in WALL:
                yield node.lineno
        elif isinstance(node, ast.Name) and node.id in bare:
            yield node.lineno


def test_nothing_in_the_pipeline_reads_the_wall_clock() -> None:
    found = [
        f"{path.relative_to(PIPELINE)}:{line}"
        for path in sorted(PIPELINE.rglob("*.py"))
        if str(path.relative_to(PIPELINE)) not in FOR_PEOPLE
        for line in wall_clocks(path.read_text())
    ]
    assert not found, "durations and order are the monotonic clock's; only the log writes the time, for people"
    unused = [name for name in FOR_PEOPLE if not list(wall_clocks((PIPELINE / name).read_text()))]
    assert not unused


@pytest.mark.parametrize(
    "source",
    [
        "import time\nt = time.time()",
        "from time import time_ns as t\nt()",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime\ndatetime.utcnow()",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert list(wall_clocks(source)) == [2]


def test_and_leaves_the_monotonic_clock_alone() -> None:
    assert not list(wall_clocks("import time\ntime.monotonic(); time.monotonic_ns(); time.sleep(1)"))
