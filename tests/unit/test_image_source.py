"""JPEG files as a camera: one each while, over and over; a bad one is found before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config.options import OptionError
from pipeline.stage.brief import Brief
from pipeline.stages.image_source import ImageSource
from pipeline.testing import Trial

pytestmark = pytest.mark.unit

JPEG = bytes.fromhex("ffd8 ffe0 0004 0000 ffc0 000b 08 01e0 0280 01 01 11 00 ffd9")


def test_pictures_are_shown_one_after_the_other_and_again(tmp_path: Path) -> None:
    for number, name in enumerate(("first.jpg", "second.jpg")):
        (tmp_path / name).write_bytes(JPEG[:-2] + bytes([number]) + JPEG[-2:])

    def shown(**options: Any) -> list[int]:
        with Trial(ImageSource, folder=tmp_path, files=["first.jpg", "second.jpg"], every_s=2.0, **options) as trial:
            trial.pass_time(7.0)
            bodies = [told.body for told in trial.told if told.name == "image_in"]
        assert all((body["format"], body["width"], body["height"]) == ("jpeg", 640, 480) for body in bodies)
        return [body["data"][-3] for body in bodies]

    assert shown() == [0, 1, 0, 1]
    assert shown(repeat=False) == [0, 1]


def test_a_folder_is_shown_by_name(tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    for number, name in enumerate(("b.jpg", "a.JPEG", "notes.txt")):
        (tmp_path / "shots" / name).write_bytes(JPEG[:-2] + bytes([number]) + JPEG[-2:])
    stage = ImageSource()
    stage.brief = Brief("camera", 1, tmp_path, tmp_path, tmp_path, "", "", {}, {})
    stage.folder = Path("shots")
    stage.prime()
    assert [jpeg[-3] for jpeg, _ in stage._pictures] == [1, 0]
    stage.folder = Path("none")
    with pytest.raises(OptionError, match="none"):
        stage.prime()


@pytest.mark.parametrize(
    ("content", "complaint"), [(None, "readable JPEG"), (b"GIF89a", "begins with ff d8"), (JPEG[:-2], "cut")]
)
def test_a_file_that_is_no_picture_is_named(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    if content is not None:
        (tmp_path / "shot.jpg").write_bytes(content)
    with (
        pytest.raises(OptionError, match=r"shot\.jpg") as caught,
        Trial(ImageSource, folder=tmp_path, files=["shot.jpg"]),
    ):
        pass
    assert complaint in str(caught.value)
