"""PROTOCOL.md against the code: whoever writes a stage from that page alone must find every event and field on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.bus.shapes import SHAPES
from pipeline.supervisor.people import People

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "pipeline" / "bus" / "PROTOCOL.md").read_text()
EVENTS = PAGE.partition("## 8. Events")[2].partition("## 9.")[0]
SAID_ELSEWHERE = {"listening": "## 5.", "replayed": "## 5.", "image_in": "## 3."}
TOLD = re.compile(r"""(?:\btell|_tell|\bTell|_bus\.event)\(\s*"([a-z_]+)"(?P<rest>[^)]*)""")


def row(event: str) -> str:
    """The line of the table that has it in its first column."""
    found = [line for line in EVENTS.splitlines() if line.startswith("|") and f"`{event}`" in line.split("|")[1]]
    assert len(found) == 1, f"expected one row for {event}, found {len(found)}"
    return found[0]


def told() -> dict[str, bool]:
    """Events that the code tells by name, and whether any of them is sticky."""
    found: dict[str, bool] = {}
    for path in (ROOT / "pipeline").rglob("*.py"):
        for match in TOLD.finditer(path.read_text()):
            sticky = bool(re.search(r"sticky=True|^, True", match["rest"]))
            found[match[1]] = found.get(match[1], False) or sticky
    return found


@pytest.mark.parametrize("event", sorted(SHAPES))
def test_every_field_that_is_checked_is_on_the_page(event: str) -> None:
    text = row(event)
    if event in SAID_ELSEWHERE:
        text += PAGE.partition(SAID_ELSEWHERE[event])[2].partition("\n## ")[0]
    missing = [key for field in SHAPES[event] if not re.search(rf"\b{(key := field.removesuffix('!'))}\b", text)]
    assert missing == []


def test_every_event_that_is_told_is_on_the_page_and_sticky_there_if_it_is() -> None:
    events = told()
    assert len(events) > 30
    for event, sticky in events.items():
        if event != "image_in":
            assert not sticky or "sticky" in row(event).split("|")[1] or event == "play_stop", event


def test_every_command_of_a_person_is_on_the_page() -> None:
    people = People(None, None, lambda: {}, lambda reason: None)  # type: ignore[arg-type]
    control = PAGE.partition("## 7. Control")[2].partition("\n## ")[0]
    assert [kind for kind in people._commands if not re.search(rf"`{kind}\b", control)] == []
