"""Line 1 of `status` while a kiosk is made silent in every way that is known: the cause, what helps, and ok again.

`tests/rig/faults.py` is the list; `make bench PART=verdict` prints it and holds the seconds against the goal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig import faults
from tests.rig.afflicted import Afflicted
from tests.rig.pulse import PulseServer

pytestmark = [pytest.mark.device, pytest.mark.timeout(600)]


@pytest.fixture
def kiosk(pulse: PulseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Afflicted]:
    with Afflicted(tmp_path_factory.mktemp("k"), pulse) as kiosk:
        yield kiosk


def suffer(kiosk: Afflicted, list_of: list[faults.Fault]) -> None:
    """Each in turn, on one kiosk; AssertionError with all that were not named, or named for ever."""
    missed = []
    for fault in list_of:
        if fault.alone and not kiosk.net:
            continue
        try:
            faults.suffer(kiosk, fault)
        except AssertionError as error:
            missed.append(f"{fault.name}: {error}")
    assert not missed, "\n".join(missed)


def test_muted_before_the_last_start_then_devices_and_people(kiosk: Afflicted) -> None:
    kept = {"muted": True, "muted_by": "command (anna)", "volume": None}
    (kiosk.state_dir / "settings.json").write_text(json.dumps(kept))
    kiosk.start()
    line, _ = kiosk.until_line(lambda line: "muted" in line, 20)
    assert line.startswith("shop: muted: by command (anna), before the last start")
    assert line.endswith("; voice-pipeline unmute")
    kiosk.command("unmute")
    kiosk.until_line(lambda line: line.startswith("shop: ok"), 20)
    suffer(kiosk, faults.DEVICES)


def test_the_network_and_a_supervisor_that_stands_still(kiosk: Afflicted) -> None:
    kiosk.start()
    kiosk.until_line(lambda line: line.startswith("shop: ok"), 20)
    suffer(kiosk, faults.NETWORK)
    kiosk.stopped()
    line = kiosk.line()
    assert "did not answer within 1 s" in line
    assert f"kill -CONT {kiosk.machine.process.pid}" in line


def test_the_service_then_stages_then_the_end(kiosk: Afflicted) -> None:
    kiosk.start()
    kiosk.until_line(lambda line: line.startswith("shop: ok"), 20)
    suffer(kiosk, [*faults.SERVICE, *faults.STAGES])
    (kiosk.shop / "no_import").touch()
    kiosk.background("restart", "gain")
    line, _ = kiosk.until_line(lambda line: line.startswith("shop does not run"), 20)
    assert "s: ended with exit code 78: gain: " in line
    assert "ModuleNotFoundError: No module named 'a_library_that_nobody_installed'" in line
    assert line.endswith(f"voice-pipeline run {Path(kiosk.shop / 'shop.yaml')}")
