"""A key stands in no log, no event and no configuration that is shown, whatever becomes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.rig.booth import Booth

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

ROOT = Path(__file__).parents[2]
SECRET = "AIzaSySESAMEOPEN42"


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return tmp_path_factory.mktemp("s")  # short: the path of a socket holds 107 bytes


def traces(booth: Booth) -> str:
    """All that was said and written down."""
    files = [path for path in booth.run_dir.iterdir() if path.is_file() and path.name != "key"]
    heard = [msgpack.packb(dict(event.body), default=repr) for event in booth.events("connection")]
    heard += [msgpack.packb(dict(event.body), default=repr) for event in booth.events("state")]
    said = repr(booth.said).encode()
    return b"".join([*(path.read_bytes() for path in files), *heard, said]).decode("latin-1")


def test_a_key_that_is_refused_shows_nowhere_and_a_new_one_is_taken_without_a_restart(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = place / "key"
    key.write_text(f"{SECRET} and more\n")
    with Booth(place, service="gemini", key_file=str(key)) as booth:
        booth.start("simulator")
        where = json.loads(booth.until(lambda: _read(place / "simulator.json")))
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", where["url"])
        monkeypatch.setenv("SSL_CERT_FILE", where["cert"])
        booth.start("session")
        down = booth.until(lambda: booth.bodies("connection", up=False))[0]
        assert "key_file" in down["reason"]
        key.write_text(SECRET)
        booth.until(lambda: booth.bodies("connection", up=True), 30)
        assert SECRET not in traces(booth)


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"service": "vertex", "location": "europe-west4"}, "project"),
        ({"service": "vertex", "project": "p"}, "location"),
        ({"service": "gemini", "project": "p"}, "vertex"),
        ({"token_file": "a", "key_file": "b"}, "take one of them out"),
    ],
)
def test_what_is_missing_is_said_before_anything_starts(
    tmp_path: Path, options: dict[str, Any], complaint: str
) -> None:
    machine = {"version": 1, "stages": {"session": {**options, "env": {"GOOGLE_API_KEY": SECRET}}}}
    config = tmp_path / "machine.yaml"
    config.write_text(json.dumps({"extends": str(ROOT / "configs" / "demo.yaml"), **machine}))
    command = [sys.executable, "-m", "pipeline", "check", str(config), "--resolved"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 78
    assert complaint in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_what_is_shown_of_a_configuration_holds_no_key(tmp_path: Path) -> None:
    config = tmp_path / "machine.yaml"
    stages = {"session": {"service": "gemini", "key_file": "/etc/key", "env": {"GEMINI_API_KEY": SECRET}}}
    config.write_text(json.dumps({"extends": str(ROOT / "configs" / "demo.yaml"), "version": 1, "stages": stages}))
    command = [sys.executable, "-m", "pipeline", "check", str(config), "--resolved"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "key_file" in done.stdout
    assert SECRET not in done.stdout + done.stderr
