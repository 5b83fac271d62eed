"""Mute and volume outlive everything; what can't be read or written is said and does no harm."""

import os
from pathlib import Path

import pytest

from pipeline.supervisor.settings import FILE, Settings, replace_file

pytestmark = pytest.mark.unit


def test_nothing_kept(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    assert (settings.muted, settings.volume, settings.unfit) == (False, None, "")


def test_kept(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    settings.muted, settings.volume = True, 35
    settings.keep()
    again = Settings(tmp_path)
    assert (again.muted, again.volume) == (True, 35)
    assert os.listdir(tmp_path) == [FILE]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "{}", '{"muted": 1}', '{"muted": true, "volume": 101}', '{"muted": 1, "volume": true}']
)
def test_what_was_damaged_is_named_and_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    settings = Settings(tmp_path)
    assert (settings.muted, settings.volume) == (False, None)
    assert str(tmp_path / FILE) in settings.unfit


def test_a_folder_that_is_gone_raises_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent"):
        Settings(tmp_path / "absent").keep()


def test_a_replaced_file_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, "old")
    with pytest.raises(UnicodeEncodeError):
        replace_file(path, "\ud800")
    assert path.read_text() == "old"
