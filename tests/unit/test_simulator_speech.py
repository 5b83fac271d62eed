"""Sound of an answer: recordings, a synthesiser's crash, tones; and evidence on a full disk."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.simulator.actions import Received
from pipeline.simulator.clips import RATE, clip
from pipeline.simulator.delivery import spoken
from pipeline.simulator.journal import Journal
from pipeline.simulator.speech import Voice
from pipeline.simulator.tones import LETTERS, LOWEST_HZ, STEP_MS, TONE_MS, tone_speech

pytestmark = pytest.mark.unit


def read_tones(samples: np.ndarray) -> str:
    """The text back from its tones."""
    step, length, text = RATE * STEP_MS // 1000, RATE * TONE_MS // 1000, ""
    for at in range(0, samples.size, step):
        tone = samples[at : at + length].astype(float)
        if not tone.any():
            text += " "
            continue
        peak_hz = np.argmax(np.abs(np.fft.rfft(tone, 1 << 16))) * RATE / (1 << 16)
        text += LETTERS[round(12 * np.log2(peak_hz / LOWEST_HZ))]
    return text


def test_tone_speech_can_be_read_back() -> None:
    assert read_tones(tone_speech("Café, number 07 z")) == "cafe  number 07 z"


def test_without_a_synthesiser_it_speaks_in_tones_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    complaints: list[str] = []
    speech = Voice("en-GB", complaints.append).speak("I looked it up. shipped")
    recorded = clip("I looked it up.")
    assert recorded is not None
    assert np.array_equal(speech.samples[: recorded.size], recorded)
    assert read_tones(speech.samples[-RATE * STEP_MS * 7 // 1000 :]) == "shipped"
    assert "apt install espeak-ng" in complaints[0]


@pytest.mark.parametrize("program", ["#!/bin/sh\necho no voice >&2; exit 3\n", "#!/bin/sh\nexit 0\n"])
def test_a_synthesiser_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    (tmp_path / "espeak-ng").write_text(program, "utf-8")
    (tmp_path / "espeak-ng").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    complaints: list[str] = []
    speech = Voice("en-GB", complaints.append).speak("unheard of")
    assert read_tones(speech.samples) == "unheard of"
    assert complaints[0].startswith(str(tmp_path / "espeak-ng"))


def test_words_lie_where_their_sentence_is_said() -> None:
    speech = Voice("en-GB", print).speak("Hello, and welcome. What would you like to know?")
    assert "".join(word.text for word in speech.words) == "Hello, and welcome. What would you like to know?"
    first = clip("Hello, and welcome.")
    assert first is not None
    assert next(word.text for word in speech.words if word.at >= first.size) == " What"


def test_a_named_recording_is_played_with_its_words(tmp_path: Path) -> None:
    complaints: list[str] = []
    voice = Voice("en-GB", complaints.append)
    wav = Path(__file__).parent.parent / "recordings" / "made_amiable.wav"
    speech = voice.speak("he might even have been made amiable himself", wav)
    assert speech.seconds == pytest.approx(3.29, abs=0.01)
    assert len(speech.words) == 8
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    assert voice.speak("Last entry is at five.", tmp_path / "broken.wav").samples.size == 41984
    assert "broken.wav" in complaints[0]


def test_slower_than_real_time_ends_when_the_last_chunk_was_played() -> None:
    speech = Voice("en-GB", print).speak("Last entry is at five.")
    delivery = spoken(speech, 0, speed=0.5, chunk_bytes=(9600,), transcribe=False)
    assert delivery.take(0)[0].first == 0
    while delivery.due_ns is not None:
        last_ns = delivery.due_ns
        delivery.take(last_ns)
    assert delivery.sent_samples == speech.samples.size
    assert last_ns == pytest.approx((speech.samples.size // 4800) * 0.4e9, rel=0.01)
    assert delivery.played_ns > last_ns


def test_a_full_disk_costs_lines_and_not_the_conversation(capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal(Path("/dev/full"), None)
    for _ in range(3):
        journal.write(1, "note", {"text": "x"})
    assert journal.lost == 3
    assert capsys.readouterr().err.count("No space left on device") == 1
    journal.close()


def test_evidence_is_kept_per_connection(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log.jsonl", tmp_path / "audio")
    journal.received(2, Received(b"\x01\x00\x02\x00", 16000, 0))
    journal.received(2, Received(b"\x03\x00", 16000, 2))
    name = journal.audio_name(2)
    assert name is not None
    assert (tmp_path / "audio" / name).read_bytes() == b"\x01\x00\x02\x00\x03\x00"
    lines = (tmp_path / "audio" / name.replace("s16le", "jsonl")).read_text("ascii").splitlines()
    assert [json.loads(line)["first"] for line in lines] == [0, 2]
    journal.close()
