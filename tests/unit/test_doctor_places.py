"""Whether the machine can write where it has to, and what helps."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest

from pipeline.doctor import places

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.ENOSPC, "make room there: du"), (errno.EROFS, "let this user write there")]
)
def test_a_full_disk_wants_room_and_no_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    def refused(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    found = places.check("kiosk", {"PIPELINE_RUN_DIR": str(tmp_path), "STATE_DIRECTORY": str(tmp_path)})
    assert {one.grade for one in found} == {"bad"}
    assert all(one.remedy.startswith(remedy) for one in found)
