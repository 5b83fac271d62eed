"""What is said of our own accord: which file, when, and not again and again."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from pipeline.audio.complaints import Complaints
from pipeline.audio.devicequeue import DeviceQueue
from pipeline.audio.prompting import LOOP_NS, STALE_NS, WAITING, Prompt, Prompting
from pipeline.audio.prompts import Prompts
from pipeline.audio.warmth import Warmth

pytestmark = pytest.mark.unit

S = 1_000_000_000
MS = 1_000_000
SOUND = np.ones(2_400, np.int16)


def ask(prompting: Prompting, name: str, cause: str = "", now: int = 0, *, loop: bool = False) -> str:
    return prompting.ask(Prompt(name, SOUND, cause, loop), now, answering=False)


def over(prompting: Prompting) -> None:
    prompting.current = None


def test_not_again_within_a_minute_for_the_same_cause() -> None:
    prompting = Prompting()
    assert ask(prompting, "offline", "network") == ""
    assert prompting.next(0) is not None
    over(prompting)
    assert ask(prompting, "offline", "network", 59 * S) == "it was said less than a minute ago"
    assert ask(prompting, "offline", "quota", 59 * S) == ""
    prompting.next(59 * S)
    over(prompting)
    assert ask(prompting, "offline", "network", 60 * S) == ""


def test_fillers_and_people_may_repeat() -> None:
    for name, cause in (("one-moment", "tool"), ("error", "command"), ("looking", "filler")):
        prompting = Prompting()
        for second in range(3):
            assert ask(prompting, name, cause, second * S) == ""
            prompting.next(second * S)
            over(prompting)


def test_a_few_wait_in_order_and_what_is_stale_is_not_said() -> None:
    prompting = Prompting()
    assert [ask(prompting, name) for name in "abc"] == [""] * WAITING + ["others wait already"]
    assert ask(prompting, "a", "b") == "it sounds already"
    first = prompting.next(0)
    assert first is not None
    assert first.name == "a"
    over(prompting)
    assert prompting.next(STALE_NS) is None


def test_a_loop_ends_with_its_owner() -> None:
    prompting = Prompting()
    ask(prompting, "thinking", loop=True)
    prompting.next(0)
    assert not prompting.yields(LOOP_NS, None)
    assert prompting.yields(LOOP_NS + 1, None)


def write(path: Path, rate: int = 24_000, seconds: float = 0.5, value: int = 1_000) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.full(int(rate * seconds), value, "<i2").tobytes())


def test_a_machines_own_files_go_first_and_the_nearest_language(tmp_path: Path) -> None:
    complaints: list[str] = []
    write(tmp_path / "done.de.wav", 48_000, 1.0)
    write(tmp_path / "welcome.wav")
    (tmp_path / "error.de-CH.wav").write_bytes(b"no sound")
    german = Prompts(tmp_path, "de-CH", complaints.append)
    samples = german.samples("done")
    assert samples is not None
    assert samples.size == 24_000
    assert german.samples("welcome") is not None
    english = Prompts(None, "en-GB", complaints.append)
    spoken, tone = english.samples("offline"), german.samples("offline")
    assert spoken is not None
    assert tone is not None
    assert spoken.size > 2 * 24_000 > 24_000 > tone.size, "spoken where the language is had, a tone elsewhere"
    assert complaints == []
    assert german.samples("error") is not None, "the package's own stands in for a broken file"
    assert "error.de-CH.wav" in complaints[0]
    assert english.samples("nonsense") is None
    assert english.samples("../pyproject") is None


def test_every_prompt_of_the_package_can_be_played() -> None:
    prompts = Prompts(None, "en-GB", pytest.fail)
    assert {"awake", "done", "error", "offline", "goodbye", "thinking", "capped", "self-test"} <= set(prompts.names())
    for name in prompts.names():
        samples = prompts.samples(name)
        assert samples is not None
        assert 0.2 < samples.size / 24_000 < 5
        assert 2_000 < np.abs(samples.astype(int)).max() < 24_000
        assert max(abs(int(samples[0])), abs(int(samples[-1]))) < 200, f"{name} begins or ends with a click"
    while prompts.load_next():
        pytest.fail("all are read")


def test_offline_is_said_to_who_has_spoken_and_only_once() -> None:
    complaints = Complaints(after_s=2.0)
    complaints.connection(False, "no network", 0)
    assert complaints.due(5 * S) is None, "nobody is there"
    complaints.speech_started(6 * S)
    complaints.speech_ended(7 * S)
    assert complaints.due(7 * S) == ("offline", "offline")
    assert complaints.due(8 * S) is None


def test_a_line_that_is_back_soon_or_closed_on_purpose_is_no_complaint() -> None:
    complaints = Complaints(after_s=2.0)
    complaints.speech_ended(0)
    complaints.connection(False, "reset", 1 * S)
    assert complaints.due(2 * S) is None
    complaints.connection(True, "", int(2.5 * S))
    assert complaints.due(4 * S) is None
    for reason in ("idle", "capped"):
        complaints.connection(False, reason, 5 * S)
        complaints.speech_ended(6 * S)
        assert complaints.due(9 * S) is None
    complaints.connection(False, "refused", 10 * S)
    complaints.speech_ended(11 * S)
    complaints.answered()
    assert complaints.due(13 * S) is None


def test_error_is_a_session_that_is_down_not_one_that_grumbles() -> None:
    complaints = Complaints(after_s=2.0)
    complaints.session("degraded", 0)
    complaints.speech_ended(3 * S)
    assert complaints.due(4 * S) is None
    complaints.session("restarting", 5 * S)
    complaints.session("starting", 6 * S)
    assert complaints.due(int(6.9 * S)) is None
    assert complaints.due(7 * S) == ("error", "error")
    complaints.session("live", 8 * S)
    complaints.speech_ended(9 * S)
    assert complaints.due(12 * S) is None


def test_a_sentence_that_never_ends_is_complained_into() -> None:
    complaints = Complaints(after_s=1.0)
    complaints.connection(False, "down", 0)
    complaints.speech_started(2 * S)
    assert complaints.due(4 * S) is None
    assert complaints.due(5 * S + 1) == ("offline", "offline")


def test_an_amplifier_is_woken_by_the_first_sign_and_waits_only_when_surprised() -> None:
    warmth = Warmth(200, awake_ns=None)
    assert warmth.wait_ns(0) == 200 * MS
    assert warmth.wait_ns(150 * MS) == 50 * MS
    assert warmth.wait_ns(200 * MS) == 0
    warmth.sounded(200 * MS)
    assert warmth.wait_ns(10 * S) == 0
    assert not warmth.asleep(10 * S)
    assert warmth.asleep(11 * S)
    warmth.rouse(20 * S)
    assert warmth.rousing(21 * S)
    assert warmth.wait_ns(21 * S) == 0, "the person spoke a second ago"
    assert warmth.asleep(40 * S), "and no answer came"
    assert Warmth(0, awake_ns=None).wait_ns(0) == 0


def test_a_queue_tells_what_is_at_the_speaker_and_that_it_stands_still() -> None:
    queue = DeviceQueue(48_000, 1_536)
    assert queue.look(0, 1_536, 0) == 0
    given, now = 1_536, 0
    for _ in range(10):  # 10 ms at a time
        now += 10 * MS
        assert queue.look(given, 480, now) == given - 1_056
        given += 480
    assert queue.time_of(given, now) == pytest.approx(now + 32 * MS, abs=12 * MS)
    assert queue.stood_ns == 0
    for _ in range(5):
        now += 200 * MS
        queue.look(given, 0, now)
    assert queue.stood_ns >= 800 * MS
    now += 60 * S
    queue.look(given, 0, now)
    assert queue.stood_ns < 2 * S, "we slept, not the device"
    now += 100 * MS
    queue.look(given, 1_536, now)
    assert queue.stood_ns == 0
    assert queue.missing_ms(given, now) > 0


def test_a_queue_that_was_nearly_empty_is_looked_at_more_often() -> None:
    queue = DeviceQueue(48_000, 1_536)
    queue.look(1_536, 600, 0)
    assert queue.again_s(0) == queue.CALM_S
    queue.look(2_136, 1_400, 10 * MS)
    assert queue.again_s(10 * MS) == queue.PRESSED_S
    queue.look(3_500, 600, 11 * S)
    assert queue.again_s(11 * S) == queue.CALM_S
