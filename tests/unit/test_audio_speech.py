"""Voice activity and utterances: human recordings through the real model, the segmenter on numbers alone."""

import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.barge_in import BargeInOptions
from pipeline.audio.listening import Listener
from pipeline.audio.pcm import Samples, to_samples
from pipeline.audio.resample import Timed
from pipeline.audio.segmenter import Segmenter, SpeechEnded, SpeechEvent, SpeechStarted, VadOptions
from pipeline.audio.silero import HOP
from pipeline.audio.vad import SileroVad

pytestmark = pytest.mark.unit

MS = 1_000_000
HOP_NS = 32 * MS
RECORDINGS = Path(__file__).parents[1] / "recordings"


def recording(name: str) -> Samples:
    with wave.open(str(RECORDINGS / name)) as wav:
        assert (wav.getframerate(), wav.getnchannels()) == (16000, 1)
        return to_samples(wav.readframes(wav.getnframes()))


@pytest.fixture(scope="module")
def vad() -> SileroVad:
    detector = SileroVad()
    detector.load()
    return detector


def utterances(vad: SileroVad, samples: Samples, options: VadOptions, block: int = 320) -> list[SpeechEvent]:
    vad.reset()
    listener, out = Listener(vad, options, BargeInOptions(), lambda t: False), []
    for begin in range(0, samples.size, block):
        out += listener.push(Timed(begin * 62_500, samples[begin : begin + block]))
    return [*out, *listener.close("")]  # type: ignore[list-item]


@pytest.mark.parametrize("name", ["not_ill_disposed.wav", "cold_hearted.wav", "made_amiable.wav"])
def test_a_person_is_heard_from_the_first_syllable_to_the_last(vad: SileroVad, name: str) -> None:
    speech = recording(name)
    silence = np.zeros(16000, np.int16)
    found = utterances(vad, np.concatenate((silence, speech, silence)), VadOptions())
    envelope = np.abs(np.concatenate((silence, speech, silence)).astype(float)).reshape(-1, 16).mean(axis=1)
    loud = np.flatnonzero(envelope > 600)
    started, ended = found[0], found[-1]
    assert isinstance(started, SpeechStarted)
    assert isinstance(ended, SpeechEnded)
    assert started.preroll_t <= loud[0] * MS
    assert abs(started.t - loud[0] * MS) < 150 * MS
    assert abs(ended.t - loud[-1] * MS) < 250 * MS


def test_silence_noise_and_a_hum_are_not_speech(vad: SileroVad) -> None:
    noise = np.random.default_rng(1).normal(0, 300, 64000).astype(np.int16)
    hum = (np.sin(np.arange(64000) * 2 * np.pi * 100 / 16000) * 3000).astype(np.int16)
    for sound in (np.zeros(64000, np.int16), noise, hum, np.full(64000, 32767, np.int16)):
        assert utterances(vad, sound, VadOptions()) == []


def test_the_size_of_blocks_does_not_matter(vad: SileroVad) -> None:
    speech = recording("not_ill_disposed.wav")
    speech = speech[:24000]
    whole = utterances(vad, speech, VadOptions())
    assert whole
    for block in (3, 300, 512, 5000):
        assert utterances(vad, speech, VadOptions(), block) == whole


def test_a_detector_that_was_not_loaded_says_so() -> None:
    with pytest.raises(RuntimeError, match=r"load\(\) comes before judge"):
        SileroVad().judge(np.zeros(HOP, np.int16))


def run(probabilities: list[float], **options: float) -> list[SpeechEvent]:
    segmenter, out = Segmenter(VadOptions(**{"start": 0.5, "stop": 0.35, **options})), []  # type: ignore[arg-type]
    for n, probability in enumerate(probabilities):
        out += segmenter.push(n * HOP_NS, HOP_NS, probability)
    return out


def test_hysteresis_and_hangover() -> None:
    found = run([0.1] * 20 + [0.5] + [0.36] * 5 + [0.34] * 9 + [0.4] + [0.1] * 10)
    assert found == [SpeechStarted(20 * HOP_NS, 20 * HOP_NS - 300 * MS), SpeechEnded(36 * HOP_NS, 20 * HOP_NS)]


def test_one_hop_opens_unless_more_is_asked_for() -> None:
    assert [type(e) for e in run([0.9] + [0.0] * 10)] == [SpeechStarted, SpeechEnded]
    assert run([0.9, 0.1] * 20, min_speech_ms=64) == []
    two = run([0.1, 0.9, 0.9, 0.1], min_speech_ms=64)
    assert two == [SpeechStarted(HOP_NS, HOP_NS - 300 * MS)]


def test_preroll_never_reaches_into_the_utterance_before() -> None:
    found = run([0.9] + [0.0] * 10 + [0.9] + [0.0] * 10, hangover_ms=320, preroll_ms=1000)
    assert found[1] == SpeechEnded(HOP_NS, 0)
    assert found[2] == SpeechStarted(11 * HOP_NS, HOP_NS)


def test_a_gap_closes_with_the_last_speech() -> None:
    segmenter = Segmenter(VadOptions())
    assert segmenter.push(0, HOP_NS, 0.9)
    assert segmenter.open
    segmenter.push(HOP_NS, HOP_NS, 0.1)
    assert segmenter.close() == [SpeechEnded(HOP_NS, 0)]
    assert segmenter.close() == []
    assert not segmenter.open


@given(st.lists(st.floats(0, 1), max_size=300), st.integers(0, 600), st.integers(0, 600), st.integers(0, 200))
def test_utterances_alternate_and_never_overlap(
    probabilities: list[float], hangover: int, preroll: int, shortest: int
) -> None:
    segmenter = Segmenter(VadOptions(hangover_ms=hangover, preroll_ms=preroll, min_speech_ms=shortest))
    found: list[SpeechEvent] = []
    for n, probability in enumerate(probabilities):
        found += segmenter.push(n * HOP_NS, HOP_NS, probability)
    found += segmenter.close()
    end = None
    for started, ended in zip(found[::2], found[1::2], strict=True):
        assert isinstance(started, SpeechStarted)
        assert isinstance(ended, SpeechEnded)
        assert ended.start_t == started.t < ended.t
        assert started.preroll_t <= started.t
        assert end is None or end <= started.preroll_t
        end = ended.t


@pytest.mark.parametrize("bad", [{"start": 0.2}, {"stop": 0.0}, {"start": 1.0}, {"hangover_ms": -1}])
def test_senseless_options_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="vad"):
        VadOptions(**bad)  # type: ignore[arg-type]
