"""A null sink as PulseAudio makes it, which renders 2 s ahead: slow to begin, and no reason to give up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.device.test_kiosk import STAGES, VOICES, heard_all, kiosk
from tests.rig.pulse import PulseServer

pytestmark = [pytest.mark.device, pytest.mark.timeout(120)]


def test_the_answer_is_heard_on_a_sink_that_nobody_hurries(tmp_path: Path, pulse: PulseServer) -> None:
    pulse.pactl("load-module", "module-null-sink", "sink_name=lazy")
    with kiosk(tmp_path, pulse, "stages.playback.device=lazy") as machine:
        machine.until(lambda: machine.live(*STAGES) and machine.events("connection", up=True))
        pid = machine.processes()["playback"]
        pulse.play(VOICES / "not_ill_disposed.wav")
        machine.until(lambda: machine.events("turn_ended", outcome="answered"))
        machine.until(lambda: heard_all(machine))
        assert machine.processes()["playback"] == pid, "it gave the sink up"
