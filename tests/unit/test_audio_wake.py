"""The wake word, spoken by a synthesiser, which is a lower bound of what a person gives it."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pipeline.audio.resample import Resampler
from pipeline.audio.wake import Wake
from tests.rig import acoustics as ac

pytestmark = pytest.mark.unit

MS = 1_000_000


def heard(wake: Wake, sound: np.ndarray) -> list[int]:
    """Milliseconds in which it was heard."""
    return [n * 20 for n in range(sound.size // 320) if wake.push(n * 20 * MS, sound[n * 320 : (n + 1) * 320])]


@pytest.fixture
def wake() -> Wake:
    pytest.importorskip("pymicro_wakeword", reason="pip install voice-pipeline[wake]")
    made = Wake("alexa")
    made.load()
    return made


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="apt-get install espeak-ng")
def test_the_word_is_heard_once_and_speech_is_not_it(wake: Wake, tmp_path: Path) -> None:
    spoken = tmp_path / "word.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-w", str(spoken), "Alexa"], check=True)
    word = np.frombuffer(spoken.read_bytes()[44:], "<i2")
    down = Resampler(22_050, 16_000)
    word = np.concatenate((down.convert(word), down.drain()))
    silence = np.random.default_rng(1).normal(0, 10, 32_000).astype(np.int16)
    assert len(heard(wake, np.concatenate((silence, word, silence)))) == 1
    for name in ac.PEOPLE:
        assert not heard(wake, ac.as_samples(ac.person(name)))


def test_a_word_without_a_model_is_refused() -> None:
    with pytest.raises(ValueError, match="okay_nabu"):
        Wake("computer")
