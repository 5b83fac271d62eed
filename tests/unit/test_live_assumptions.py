"""ASSUMPTIONS.md names settings and trials that exist, and all trials."""

import re
from pathlib import Path

import pytest

from pipeline.live import trials
from pipeline.stages.session import Session

pytestmark = pytest.mark.unit

TEXT = (Path(trials.__file__).parent / "ASSUMPTIONS.md").read_text("utf-8")


@pytest.mark.parametrize("setting", sorted(set(re.findall(r"stages\.session\.([\w.]+\w)", TEXT))))
def test_a_setting_that_changes_our_mind_exists(setting: str) -> None:
    first, *rest = setting.split(".")
    assert first in Session.__annotations__
    here = getattr(Session, first)
    for name in rest:
        assert hasattr(here, name), f"{type(here).__name__} has no {name}"
        here = getattr(here, name)


def test_every_trial_is_an_entry_and_every_name_a_trial() -> None:
    named = re.findall(r"^\| `([\w-]+)` \|", TEXT, re.MULTILINE)
    assert sorted(named) == sorted(trials.TRIALS)


def test_every_row_says_all_five_things() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ")]
    assert len(rows) > 30
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert len(cells) == 5, row
        assert all(cells), row


def test_trials_say_what_they_try() -> None:
    for name, trial in trials.TRIALS.items():
        assert trial.__doc__, name
        assert trial.__doc__.endswith("."), name
