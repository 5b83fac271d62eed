"""Which configuration ALSA is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.audio import alsa

pytestmark = pytest.mark.unit


def libraries(root: Path, folder: str) -> list[str]:
    plugin = root / folder / alsa.PLUGIN
    plugin.parent.mkdir(parents=True)
    plugin.touch()
    return [str(root)]


@pytest.mark.parametrize("folder", [".", "aarch64-linux-gnu", "x86_64-linux-gnu"])
def test_alsa_sees_the_sound_server_alone(tmp_path: Path, folder: str) -> None:
    environ: dict[str, str] = {}
    assert alsa.narrow(environ, libraries(tmp_path, folder))
    assert "type pulse" in Path(environ["ALSA_CONFIG_PATH"]).read_text()


def test_a_configuration_of_ones_own_stays(tmp_path: Path) -> None:
    environ = {"ALSA_CONFIG_PATH": "/etc/mine.conf"}
    assert not alsa.narrow(environ, libraries(tmp_path, "."))
    assert environ == {"ALSA_CONFIG_PATH": "/etc/mine.conf"}


def test_without_its_way_to_the_server_alsa_sees_everything(tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    assert not alsa.narrow(environ, [str(tmp_path)])
    assert environ == {}
