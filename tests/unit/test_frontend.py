"""The frontend as a stage, without a process: what it tells and emits, and that no microphone can end it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio import apm
from pipeline.bus.messages import Audio, Event
from pipeline.config.options import OptionError
from pipeline.stage.life import WorldError
from pipeline.stages.frontend import Frontend
from pipeline.testing import Trial
from tests.rig import acoustics as ac

pytestmark = pytest.mark.unit

MS, NS = 1_000_000, 1_000_000_000
OWN = """
import numpy as np
from pipeline.audio.vad import Vad

class Halver:
    delay = 0
    def cancel(self, mic, played):
        return mic / 2

class Broken:
    delay = 0
    def cancel(self, mic, played):
        return np.full(160, np.nan)

class Loud(Vad):
    hop = 160
    loaded = 0
    def load(self):
        Loud.loaded += 1
    def judge(self, hop):
        return 1.0 if np.abs(hop).max() > 1000 else 0.0
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_ears.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "own_ears"


class Microphone:
    """Feeds a trial block by block, and lets time pass with it."""

    def __init__(self, trial: Trial) -> None:
        self.trial, self.t = trial, trial.now_ns

    def hear(self, samples: Any, rate: int = 16_000, played: Any = None) -> None:
        count, channels = rate // 50, 1 if samples.ndim == 1 else samples.shape[1]
        for begin in range(0, samples.shape[0] - count + 1, count):
            if played is not None:
                sound = np.repeat(played[begin : begin + count], 2)[: 480 * count // 320]
                self.trial.hear(Audio("played", sound.astype("<i2").tobytes(), 24_000, 1, t=self.t - 20 * MS))
            block = samples[begin : begin + count].astype("<i2").tobytes()
            self.trial.hear(Audio("mic", block, rate, channels, t=self.t))
            self.t += 20 * MS
            self.trial.pass_time(0.02)


def noise(seconds: float, level: float = 300, rate: int = 16_000, channels: int = 1) -> Any:
    made = np.random.default_rng(1).normal(0, level, (int(seconds * rate), channels)).clip(-32768, 32767)
    return made[:, 0] if channels == 1 else made


def told(trial: Trial, name: str) -> list[dict[str, Any]]:
    return [event.body for event in trial.told if event.name == name]


def voice(trial: Trial) -> Any:
    return np.concatenate([block.samples for block in trial.emitted])


def test_a_person_is_heard_and_the_room_is_measured() -> None:
    with Trial(Frontend) as trial:
        microphone = Microphone(trial)
        microphone.hear(noise(1, 30))
        microphone.hear(ac.as_samples(ac.person("cold_hearted.wav")) + noise(5.3, 30)[:84_800])
        microphone.hear(noise(1, 30))
        assert len(told(trial, "speech_started")) >= 1
        assert len(told(trial, "speech_started")) == len(told(trial, "speech_ended"))
        assert not told(trial, "barge_in")
        assert told(trial, "level")[-1]["noise_floor_dbfs"] == pytest.approx(-61, abs=2)
        assert trial.states[-1][0] == "live"


def test_speaking_over_the_machine_ducks_and_is_confirmed() -> None:
    played = ac.as_samples(ac.at_level(ac.talk(9, 1), -20))
    person = np.zeros(9 * 16_000, np.int16)
    said = ac.as_samples(ac.at_level(ac.person("made_amiable.wav"), -22))
    person[80_000 : 80_000 + said.size] = said
    with Trial(Frontend) as trial:
        microphone = Microphone(trial)
        trial.event("audible", epoch=1, at=0, t=trial.now_ns)
        microphone.hear(person, played=played)
        names = [event.name for event in trial.told if event.name in ("speech_started", "duck", "barge_in")]
        assert names[:3] == ["speech_started", "duck", "barge_in"]
        assert told(trial, "duck")[0] == {"on": True, "db": -12.0, "fade_ms": 5}
        assert told(trial, "barge_in")[0]["verdict"] == "confirmed"


@pytest.mark.parametrize("told", [True, False], ids=["replayed", "nobody there"])
def test_who_takes_over_in_mid_answer_waits_for_what_was_said_before_it_listens(told: bool) -> None:
    """The microphone's last seconds come first, and hold the machine's own voice."""
    scene = ac.counter(6, seed=3, delay_ms=60)
    trial = Trial(Frontend)
    trial.stage.brief = replace(trial.stage.brief, restarts=1, inputs={"mic": "capture", "played": "playback"})
    with trial:
        t = trial.now_ns
        mic, said = ac.as_samples(scene.mic), np.repeat(ac.as_samples(scene.played), 3)[::2]
        for begin in range(0, 32_000, 320):
            block = mic[begin : begin + 320].tobytes()
            trial.hear(Audio("mic", block, 16_000, 1, t=t + begin * NS // 16_000, replay="frontend/1/mic/1"))
        assert not trial.emitted
        if told:
            for begin in range(0, 48_000, 480):
                block = said[begin : begin + 480].tobytes()
                trial.hear(Audio("played", block, 24_000, 1, t=t + begin * NS // 24_000, replay="frontend/1/played/1"))
            trial.event("replayed", src="playback", id="screen/9/played/1")
            assert not trial.emitted, "somebody else's"
            trial.event("replayed", src="playback", id="frontend/1/played/1")
            assert sum(block.frames for block in trial.emitted) > 31_000
            assert ac.loudness(voice(trial)[16_000:] / 32768) < ac.loudness(mic[16_000:32_000] / 32768) - 20
        else:
            trial.pass_time(0.35)
            assert sum(block.frames for block in trial.emitted) > 31_000
        trial.pass_time(0.1)
        assert bool(trial.events("speech_started")) is not told


@pytest.mark.parametrize(("channels", "rate"), [(1, 8_000), (2, 11_025), (4, 44_100), (6, 48_000), (8, 192_000)])
def test_no_form_of_a_microphone_can_end_it(channels: int, rate: int) -> None:
    square = np.sign(np.sin(np.arange(rate // 2) * 2 * np.pi * 300 / rate)) * 32767.5 - 0.5
    loud = square if channels == 1 else np.repeat(square[:, None], channels, axis=1)
    with Trial(Frontend, channel=str(channels - 1)) as trial:
        microphone = Microphone(trial)
        for sound in (np.zeros_like(loud), loud, noise(0.5, 30_000, rate, channels), loud):
            microphone.hear(sound, rate)
        seconds = sum(block.duration_ns for block in trial.emitted) / NS
        assert seconds == pytest.approx(2, abs=0.1)
        assert {(block.rate, block.channels) for block in trial.emitted} == {(16_000, 1)}


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from([8_000, 16_000, 44_100, 48_000]), st.integers(1, 8),
                          st.integers(0, 3_000), st.integers(-10**9, 10**9), st.booleans()), max_size=30))  # fmt: skip
def test_blocks_of_any_size_form_and_time_are_survived(
    blocks: list[tuple[int, int, int, int, bool]],
) -> None:
    with Trial(Frontend) as trial:
        trial.pass_time(0.2)
        for rate, channels, count, jump, played in blocks:
            pcm = np.random.default_rng(count).integers(-32768, 32767, count * channels).astype("<i2").tobytes()
            t = trial.now_ns + jump
            trial.hear(Audio("played" if played else "mic", pcm, rate, channels, t=t))
        trial.event("heard", epoch=0, at=0, buffered_to=10)
        trial.pass_time(0.5)
        for block in trial.emitted:
            assert block.rate == 16_000


def test_clipping_is_said_and_said_to_be_over() -> None:
    with Trial(Frontend) as trial:
        microphone = Microphone(trial)
        microphone.hear(np.clip(noise(4, 60_000), -32768, 32767))
        assert told(trial, "clipping")[0]["on"] is True
        assert "turn it down" in trial.states[-1][1]
        microphone.hear(noise(4))
        assert told(trial, "clipping")[-1]["on"] is False
        assert trial.states[-1] == ("live", "")


def test_a_microphone_of_zeros_is_named_with_a_remedy_unless_nobody_wants_to_know() -> None:
    for self_test, named in (("replies", True), ("none", False)):
        with Trial(Frontend, self_test=self_test) as trial:
            Microphone(trial).hear(np.zeros(4 * 16_000))
            assert bool(told(trial, "hearing")) is named
            assert (trial.states[-1][0] == "degraded") is named


def test_muted_is_silence_that_proves_nothing() -> None:
    with Trial(Frontend) as trial:
        trial.event("mute", muted=True)
        Microphone(trial).hear(noise(1))
        assert all(block.gated and not any(block.pcm) for block in trial.emitted)
        Microphone(trial).hear(np.zeros(4 * 16_000))
        assert not told(trial, "hearing")


def test_the_daily_test_sound_must_be_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    now = ["05:29"]
    monkeypatch.setattr("pipeline.stages.frontend.time_of_day", lambda: now[0])
    with Trial(Frontend, self_test="05:30") as trial:
        microphone = Microphone(trial)
        microphone.hear(noise(1, 10))
        now[0] = "05:30"
        microphone.hear(noise(25, 10))
        assert told(trial, "play") == [{"name": "self-test", "cause": "self_test"}]
        sweep = np.sin(np.cumsum(np.geomspace(300, 6_000, 9_600)) * 2 * np.pi / 16_000) * 8_000
        trial.event("prompt", on=True)
        microphone.hear(noise(0.6, 10), played=sweep)
        trial.event("prompt", on=False)
        microphone.hear(noise(2, 10))
        (found,) = told(trial, "hearing")
        assert found["verdict"] == "deaf"
        assert "the test sound" in found["reason"]


def test_without_its_library_it_is_deaf_while_the_machine_talks_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(**_: Any) -> None:
        raise apm.NoLibrary("the package `livekit` is not installed: pip install livekit")

    monkeypatch.setattr(apm, "Apm", missing)
    with Trial(Frontend) as trial:
        microphone = Microphone(trial)
        microphone.hear(noise(0.5))
        assert trial.states[-1][0] == "degraded"
        assert "pip install livekit" in trial.states[-1][1]
        trial.event("audible", epoch=0, at=0, t=microphone.t)
        microphone.hear(noise(0.2))
        assert trial.emitted[-1].gated


def test_models_are_loaded_before_it_is_live_and_not_in_its_loop(own: str) -> None:
    with Trial(Frontend, aec="none", vad={"use": f"{own}:Loud"}) as trial:
        detector = type(trial.stage._vad)  # type: ignore[attr-defined]
        loaded = detector.loaded
        assert loaded > 0
        Microphone(trial).hear(noise(1))
        assert detector.loaded == loaded


def test_a_canceller_and_a_detector_of_ones_own(own: str) -> None:
    with Trial(Frontend, aec={"use": f"{own}:Halver"}, vad={"use": f"{own}:Loud"}) as trial:
        microphone = Microphone(trial)
        microphone.hear(noise(0.5, 100))
        trial.event("audible", epoch=0, at=0, t=microphone.t)
        microphone.hear(np.where(np.arange(16_000) // 40 % 2, 4_000, -4_000), played=np.zeros(16_000))
        assert np.abs(voice(trial)[-4_000:]).max() == 2_000
        assert told(trial, "speech_started")
    with Trial(Frontend, aec={"use": f"{own}:Broken"}) as trial:
        trial.event("audible", epoch=0, at=0, t=trial.now_ns)
        Microphone(trial).hear(noise(1))
        assert not voice(trial)[-1_000:].any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"aec": {"use": "own_ears"}}, "aec.use: expected module:Class"),
        ({"aec": {"use": "own_ears:Loud"}}, "has no method cancel"),
        ({"vad": {"use": "own_ears:Nobody"}}, "own_ears has no class Nobody"),
        ({"aec": "echo"}, "webrtc"),
        ({"self_test": "25:00"}, "self_test: expected replies, none or a time"),
        ({"wake_word": "computer"}, "wake_word: expected okay_nabu"),
        ({"channel": "top"}, "channel: expected mix"),
        ({"barge_in": {"confirm_ms": 400}}, "confirm_ms <= decide_ms"),
        ({"barge_in": {"duck_db": 3}}, "duck_db: expected 0 or less"),
    ],
)
def test_what_cannot_be_is_refused_by_name(own: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words), Trial(Frontend, **options):
        pass


def test_a_channel_that_the_microphone_lacks_is_the_worlds_fault() -> None:
    with Trial(Frontend, channel="5") as trial, pytest.raises(WorldError, match="no channel 5"):
        Microphone(trial).hear(noise(0.1, 100, 16_000, 2))


def test_a_speaker_that_was_replaced_is_learned_anew() -> None:
    played = ac.as_samples(ac.at_level(ac.talk(4, 1), -20))
    with Trial(Frontend) as trial:
        frontend: Any = trial.stage
        frontend._ends = {"playback": 0}
        frontend.on_state(Event("state", {"state": "live"}, src="playback", inst=1))
        microphone = Microphone(trial)
        trial.event("audible", epoch=1, at=0, t=trial.now_ns)
        microphone.hear(noise(4, 30), played=played)
        assert frontend._duplex.settled
        frontend.on_state(Event("state", {"state": "live"}, src="playback", inst=1))
        assert frontend._duplex.settled
        frontend.on_state(Event("state", {"state": "live"}, src="playback", inst=2))
        assert not frontend._duplex.settled
