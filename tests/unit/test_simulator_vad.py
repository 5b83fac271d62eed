"""Where people speak, in real recordings and in noise."""

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.simulator.ear import Ear, read_rate
from pipeline.simulator.refusal import Refused
from pipeline.simulator.vad import RATE, Detection, Edge, VoiceActivity
from pipeline.simulator.wire import write_base64

pytestmark = pytest.mark.unit

RECORDINGS = Path(__file__).parent.parent / "recordings"
Samples = npt.NDArray[np.int16]


def recording(name: str) -> Samples:
    with wave.open(str(RECORDINGS / name)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def between_silence(speech: Samples, noise: float = 0.0) -> Samples:
    sound = np.concatenate([np.zeros(RATE, np.int16), speech, np.zeros(RATE + RATE // 2, np.int16)])
    return (sound + np.random.default_rng(7).normal(0, noise, sound.size)).clip(-32768, 32767).astype(np.int16)


def edges(sound: Samples, block: int = 320, detection: Detection | None = None) -> list[Edge]:
    activity = VoiceActivity(detection or Detection())
    return [edge for at in range(0, sound.size, block) for edge in activity.hear(sound[at : at + block])]


@pytest.mark.parametrize("noise", [0.0, 30.0])
@pytest.mark.parametrize("name", ["made_amiable.wav", "not_ill_disposed.wav", "cold_hearted.wav"])
def test_a_sentence_is_one_utterance(name: str, noise: float) -> None:
    speech = recording(name)
    start, end = edges(between_silence(speech, noise))
    assert start.started
    assert not end.started
    assert RATE <= start.sample < RATE + RATE // 2
    assert RATE + speech.size - RATE // 2 < end.sample <= RATE + speech.size


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=20))
def test_the_pieces_in_which_sound_comes_change_nothing(sizes: list[int]) -> None:
    sound = between_silence(recording("made_amiable.wav"))
    activity, found, at = VoiceActivity(Detection()), [], 0
    for turn in range(sound.size):
        found += activity.hear(sound[at : at + sizes[turn % len(sizes)]])
        at += sizes[turn % len(sizes)]
        if at >= sound.size:
            break
    assert found == edges(sound, sound.size)


def test_silence_duration_is_what_ends_speech() -> None:
    def end_heard_after_ms(silence_ms: int) -> int:
        activity = VoiceActivity(Detection(silence_ms=silence_ms))
        sound = between_silence(recording("made_amiable.wav"))
        for at in range(0, sound.size, 160):
            for edge in activity.hear(sound[at : at + 160]):
                if not edge.started:
                    return (at + 160 - edge.sample) // 16
        raise AssertionError("speech never ended")

    assert end_heard_after_ms(300) == 300
    assert end_heard_after_ms(900) == 900


def test_a_click_is_no_speech_and_a_long_prefix_wants_more_of_it() -> None:
    click = np.zeros(RATE, np.int16)
    click[8000:8320] = 20000
    assert edges(click) == []
    short_word = np.zeros(RATE, np.int16)
    short_word[4000:7200] = (np.sin(np.arange(3200) / 5) * 8000).astype(np.int16)
    assert edges(short_word)[0] == Edge(True, 4000)
    assert edges(short_word, detection=Detection(prefix_ms=300)) == []


def test_a_fan_is_speech_for_two_seconds_at_most() -> None:
    fan = np.random.default_rng(1).normal(0, 700, 10 * RATE).astype(np.int16)
    sound = np.concatenate([np.zeros(RATE, np.int16), fan])
    found = edges(sound)
    assert len(found) <= 2
    assert all(edge.sample < 4.5 * RATE for edge in found)


def test_a_pause_ends_what_was_under_way() -> None:
    ear = Ear(Detection())
    speech = recording("made_amiable.wav")
    blob = {"mimeType": "audio/pcm;rate=16000", "data": write_base64(speech[:32000].tobytes())}
    heard = ear.hear(blob)
    assert [edge.started for edge in heard.edges] == [True]
    assert ear.pause() is not None
    assert ear.pause() is None


def test_samples_are_counted_as_sent_and_half_samples_kept() -> None:
    ear = Ear(None)
    first = ear.hear({"mimeType": "audio/pcm;rate=48000", "data": write_base64(b"\x01\x00\x02")})
    second = ear.hear({"mimeType": "audio/pcm;rate=48000", "data": write_base64(b"\x00\x03\x00")})
    empty = ear.hear({"mimeType": "audio/pcm;rate=48000", "data": ""})
    assert (first.received.first, first.received.pcm) == (0, b"\x01\x00")
    assert (second.received.first, second.received.pcm) == (1, b"\x02\x00\x03\x00")
    assert (empty.received.first, empty.received.pcm) == (3, b"")


def test_other_rates_are_heard_too() -> None:
    ear = Ear(Detection())
    slow = between_silence(recording("made_amiable.wav"))
    fast = np.repeat(slow, 3)
    found = []
    for at in range(0, fast.size, 960):
        blob = {"mimeType": "audio/pcm;rate=48000", "data": write_base64(fast[at : at + 960].tobytes())}
        found += ear.hear(blob).edges
    assert [edge.started for edge in found] == [True, False]
    assert abs(ear.position - slow.size) < 400


@pytest.mark.parametrize(
    ("mime", "rate"),
    [("audio/pcm;rate=16000", (16000, True)), ("audio/pcm", (16000, False)), ("Audio/PCM; Rate=24000", (24000, True)),
     ("audio/pcm;rate=8000;channels=1", (8000, True))],
)  # fmt: skip
def test_rates_as_clients_write_them(mime: str, rate: tuple[int, bool]) -> None:
    assert read_rate(mime) == rate


@pytest.mark.parametrize(
    "mime",
    ["", "audio/wav", "audio/mpeg", "image/jpeg", "audio/pcmu", "audio/pcm;rate=fast", "audio/pcm;rate=0",
     "audio/pcm;rate=16000;channels=2"],
)  # fmt: skip
def test_other_types_are_refused(mime: str) -> None:
    with pytest.raises(Refused) as refused:
        read_rate(mime)
    assert (refused.value.code, refused.value.reason) == (1007, "Request contains an invalid argument.")
