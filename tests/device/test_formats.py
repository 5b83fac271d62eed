"""Devices of every make: 8 bit and float, 1 to 8 channels, 8 to 192 kHz. A tone heard or said stays that tone."""

from __future__ import annotations

import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.rig.ear import RATE, Ear
from tests.rig.fakes import Speaks, tone
from tests.rig.nursery import Nursery
from tests.rig.pulse import PulseServer

pytestmark = pytest.mark.device

STAGES = {
    "supervisor": {},
    "session": {},
    "capture": {
        "use": "pipeline.stages.capture:Capture",
        "emits": ["mic"],
        "options": {"device": "odd", "channel": "0"},
    },
    "playback": {
        "use": "pipeline.stages.playback:Playback",
        "inputs": {"reply": "session"},
        "emits": ["played"],
        "options": {"device": "booth", "volume": 100},
    },
}
FORMATS = [("u8", 1, 8_000, 40), ("s16le", 6, 44_100, 60), ("float32le", 8, 192_000, 60), ("s32le", 2, 96_000, 60)]
"""Of the device, with the least distance of the tone from all else, dB."""
HERTZ = 500


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    with Nursery(tmp_path, STAGES) as nursery:
        yield nursery


def purest(sound: NDArray[np.int16], rate: int, piece_s: float = 0.2) -> tuple[float, float]:
    """Amplitude of the tone and its distance from all else in dB, in the best piece: a busy machine tears some."""
    size, found = int(piece_s * rate), [(0.0, 0.0)]
    base = np.exp(2j * np.pi * HERTZ / rate * np.arange(size))
    base = np.c_[base.real, base.imag, np.ones(size)]
    for begin in range(0, sound.size - size, size // 4):
        piece = sound[begin : begin + size].astype(float)
        factors, *_ = np.linalg.lstsq(base, piece, rcond=None)
        amplitude = float(np.hypot(*factors[:2]))
        rest = float(np.sqrt(np.mean((piece - base @ factors) ** 2)))
        found.append((20 * np.log10(max(amplitude, 1e-3) / np.sqrt(2) / max(rest, 0.3)), amplitude))
    clean_db, amplitude = max(found)
    return amplitude, clean_db


@pytest.mark.both_servers
@pytest.mark.parametrize(("form", "channels", "rate", "clean_db"), FORMATS)
def test_a_tone_is_that_tone(
    pulse: PulseServer, nursery: Nursery, tmp_path: Path, form: str, channels: int, rate: int, clean_db: float
) -> None:
    pulse.load_mic("odd", rate=rate, channels=channels, form=form)
    pulse.load_null_sink("booth", rate=rate, channels=channels, form=form)
    spoken = tone(1.5, HERTZ, 48_000)
    with wave.open(str(tmp_path / "tone.wav"), "wb") as wav:
        wav.setparams((channels, 2, 48_000, 0, "NONE", ""))
        wav.writeframes(np.repeat(spoken, channels).tobytes())
    with Speaks(nursery, "session", "reply") as session, Ear(pulse.env, "booth.monitor") as ear:
        nursery.start("capture")
        nursery.start("playback")
        nursery.until(
            lambda: {e.src for e in nursery.events("state") if e.body["state"] == "live"} >= {"capture", "playback"}
        )
        player = pulse.play(tmp_path / "tone.wav", sink="odd_feed", wait=False)
        begun = session.answer(1, tone(1.5, HERTZ))
        nursery.until(lambda: [e for e in nursery.events("heard") if e.body["at"] == 36_000])
        time.sleep(0.2)
        said = ear.sound(begun)
        player.wait(10)
    nursery.until(lambda: sum(int(np.abs(block.samples).max()) > 6_000 for block in nursery.audio("mic")) > 25)
    blocks = nursery.audio("mic")
    assert {(block.rate, block.channels) for block in blocks} == {(16_000, 1)}
    for name, (amplitude, found_db) in {
        "heard": purest(np.concatenate([block.samples for block in blocks]), 16_000),
        "said": purest(said, RATE),
    }.items():
        assert amplitude == pytest.approx(12_000, rel=0.02), name
        assert found_db > clean_db, name
