"""The network of the voice detector against what onnxruntime makes of the same sounds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.audio import silero
from tests.rig.silero_sounds import noise, sounds

pytestmark = pytest.mark.unit

EXPECTED = json.loads((Path(__file__).parents[1] / "vectors" / "silero.json").read_text())
SOUNDS = sounds()


@pytest.fixture(scope="module")
def network() -> silero.Network:
    return silero.Network(silero.weights())


def judged(network: silero.Network, name: str) -> list[float]:
    network.reset()
    sound = SOUNDS[name]
    return [network.judge(sound[at : at + silero.HOP])[0] for at in range(0, sound.size - silero.HOP + 1, silero.HOP)]


@pytest.mark.parametrize("name", SOUNDS)
def test_each_hop_is_as_likely_speech_as_onnxruntime_says(network: silero.Network, name: str) -> None:
    assert judged(network, name) == pytest.approx(EXPECTED[name], abs=1e-4)


def test_the_sounds_try_it_from_no_to_yes() -> None:
    everything = np.concatenate([EXPECTED[name] for name in SOUNDS])
    assert everything.min() < 0.001
    assert everything.max() > 0.999
    assert ((everything > 0.2) & (everything < 0.8)).sum() > 50


def test_a_stream_leaves_nothing_behind_and_is_no_other_ones(network: silero.Network) -> None:
    first = judged(network, "cold_hearted")
    network.judge(noise(silero.HOP, 15))
    assert judged(network, "cold_hearted") == first
    other = silero.Network(silero.weights())
    network.reset()
    for at in range(0, 16_000, silero.HOP):
        other.judge(noise(silero.HOP, 12))
        heard, _ = network.judge(SOUNDS["cold_hearted"][at : at + silero.HOP])
        assert heard == first[at // silero.HOP]


def test_weights_that_are_missing_or_others_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silero, "WEIGHTS", tmp_path / "silero_vad.npy")
    with pytest.raises(FileNotFoundError, match="install the package again"):
        silero.weights()
    np.save(tmp_path / "silero_vad.npy", np.zeros(7, np.float32))
    with pytest.raises(ValueError, match="install the package again"):
        silero.weights()
