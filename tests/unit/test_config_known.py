"""What is remembered of the stages that ship, and when it is forgotten."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import descriptions, known
from pipeline.config.descriptions import Description, Unusable, describe_stages
from pipeline.config.known import FILE, Known

pytestmark = pytest.mark.unit

SAID = {"use": "pipeline.stages.capture:Capture", "options": [], "reads": [], "emits": ["mic"], "tells": []}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "package" / "inner").mkdir(parents=True)
    (tmp_path / "package" / "inner" / "one.py").write_text("A = 1\n")
    return tmp_path / "package"


@pytest.fixture
def full(tmp_path: Path, package: Path) -> Path:
    folder = tmp_path / "cache"
    Known(folder, package).keep({("capture", None): SAID})
    assert Known(folder, package).line("capture", None) == SAID
    return folder


def test_only_what_ships_and_works_is_remembered(tmp_path: Path, package: Path) -> None:
    kept: dict[tuple[str, str | None], dict[str, Any]]
    kept = {("gain", "gain:Gain"): SAID, ("mine", "shop.capture"): SAID, ("screen", None): {"problem": "broken"}}
    Known(tmp_path / "cache", package).keep({**kept, ("ears", "capture"): SAID})
    again = Known(tmp_path / "cache", package)
    assert again.line("ears", "capture") == again.line("capture", None) == SAID
    assert not any(again.line(name, use) for name, use in kept)
    assert again.line("capture", "capture:Other") is None


@pytest.mark.parametrize("change", ["content", "touched", "new file", "other place"])
def test_another_package_is_not_spoken_for(full: Path, package: Path, change: str) -> None:
    one = package / "inner" / "one.py"
    match change:
        case "content":  # of the same length, with the times of the old one
            before = one.stat()
            one.write_text("A = 2\n")
            os.utime(one, ns=(before.st_atime_ns, before.st_mtime_ns))
        case "touched":
            os.utime(one, ns=(1, 1))
        case "new file":
            (package / "two.py").touch()
        case "other place":
            package = package.rename(package.with_name("moved"))
    assert Known(full, package).line("capture", None) is None


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff\x00", b"0000", b"00000000\n{}"])
def test_a_damaged_file_is_as_good_as_none_and_mended(full: Path, package: Path, body: bytes) -> None:
    (full / FILE).write_bytes(body)
    damaged = Known(full, package)
    assert damaged.line("capture", None) is None
    damaged.keep({("capture", None): SAID})
    assert Known(full, package).line("capture", None) == SAID


def test_a_bit_that_fell_over_is_noticed(full: Path, package: Path) -> None:
    good = (full / FILE).read_bytes()
    for place in range(0, len(good), 7):
        (full / FILE).write_bytes(good[:place] + bytes([good[place] ^ 2]) + good[place + 1 :])
        assert Known(full, package).line("capture", None) is None


def test_what_others_could_have_written_is_not_believed(full: Path, package: Path) -> None:
    (full / FILE).chmod(0o666)
    assert Known(full, package).line("capture", None) is None
    (full / FILE).rename(full / "elsewhere")
    (full / FILE).symlink_to(full / "elsewhere")
    assert Known(full, package).line("capture", None) is None


def test_where_nothing_can_be_written_nothing_is_lost(tmp_path: Path, package: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file" / "in it", None):
        Known(folder, package).keep({("capture", None): SAID})
        assert Known(folder, package).line("capture", None) is None


def test_where_it_is() -> None:
    home = {"HOME": "/home/a"}
    assert known.folder(home) == Path("/home/a/.cache/voice-pipeline")
    assert known.folder({**home, "XDG_CACHE_HOME": "/c"}) == Path("/c/voice-pipeline")
    assert known.folder({**home, "XDG_CACHE_HOME": "relative"}) == Path("/home/a/.cache/voice-pipeline")
    assert known.folder({**home, "CACHE_DIRECTORY": "/var/cache/kiosk:/other"}) == Path("/var/cache/kiosk")
    assert known.folder({}) is None


def test_only_who_is_not_known_is_asked(full: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(module: str, requests: list[Mapping[str, Any]], *_: object) -> tuple[dict[str, Any], dict[str, str]]:
        asked.extend(request["name"] for request in requests)
        screen = {**SAID, "use": "pipeline.stages.screen:Screen"}
        return {"screen": screen} if "screen" in asked else {}, {"gain": "ended"} if "gain" in asked else {}

    monkeypatch.setattr(descriptions, "ask", ask)
    uses = {"capture": None, "screen": None, "gain": "gain"}
    first = describe_stages(uses, Path(), {}, known=Known(full, package))
    assert asked == ["screen", "gain"]
    assert isinstance(first["capture"], Description)
    assert isinstance(first["gain"], Unusable)
    asked.clear()
    assert describe_stages({"capture": None, "screen": None}, Path(), {}, known=Known(full, package)).keys() == {
        "capture",
        "screen",
    }
    assert asked == []
    assert "key" in json.loads((full / FILE).read_bytes().partition(b"\n")[2])
