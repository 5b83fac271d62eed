"""Every reason that a machine can be silent for, injected: the line names it, since when, and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.supervisor import health
from pipeline.supervisor.verdict import REASONS, ROOM, Code, Watch

pytestmark = pytest.mark.unit

S = 1_000_000_000
STAGES = ("capture", "frontend", "session", "playback")


def machine() -> Watch:
    """A machine that talks with Gemini."""
    watch = Watch(0, {**dict.fromkeys(STAGES, True), "lamp": False})
    for name in (*STAGES, "lamp"):
        watch.stage(0, name, "live", "")
    watch.event(0, "mute", {"muted": False, "by": ""})
    watch.event(0, "connection", {"up": True, "service": "gemini"})
    return watch


def down(**fields: Any) -> Callable[[Watch, int], None]:
    return lambda watch, now: watch.event(now, "connection", {"up": False, "service": "gemini", **fields})


def state(name: str, state: str, reason: str = "") -> Callable[[Watch, int], None]:
    return lambda watch, now: watch.stage(now, name, state, reason)


def event(name: str, **body: Any) -> Callable[[Watch, int], None]:
    return lambda watch, now: watch.event(now, name, body)


def cut(watch: Watch, now: int) -> None:
    for _ in range(3):
        watch.event(now, "audible", {})
        watch.event(now + S, "barge_in", {"verdict": "confirmed"})
        watch.event(now + S, "interrupted", {"by": "server"})


def crashes(watch: Watch, now: int) -> None:
    for _ in range(3):
        watch.stage(now, "frontend", "restarting", "crashed: ValueError")
        watch.stage(now, "frontend", "live", "")


def server_gone(watch: Watch, now: int) -> None:
    watch.stage(now, "capture", "degraded", "mic: the microphone is gone (-9999): plug it in again")
    watch.stage(now, "playback", "degraded", "speaker: the sound server has gone: start it again")


def left(watch: Watch, now: int) -> None:
    for _ in range(2):
        watch.event(now, "turn_ended", {"kind": "text", "outcome": "empty", "reason": "stalled"})


INJECTED: list[tuple[Code, str, Callable[[Watch, int], None]]] = [
    ("muted", "by command", event("mute", muted=True, by="command")),
    ("muted", "volume is 0", event("volume", percent=0)),
    ("sound_server_gone", "none to talk to", server_gone),
    ("sound_server_gone", "does not answer", state("capture", "degraded", "the sound server does not answer: restart")),
    ("microphone_gone", "Jabra is gone", state("capture", "degraded", "Jabra is gone: plug it in again")),
    ("microphone_silent", "zeros", state("capture", "degraded", "exact zeros for 3 s")),
    ("microphone_silent", "zeros", event("hearing", verdict="silent", reason="zeros for 3 s")),
    ("deaf", "3 answers", event("hearing", verdict="deaf", reason="no trace of 3 answers")),
    ("hearing_itself", "3 answers", cut),
    ("hearing_itself", "900 ms after", event("hearing", verdict="itself", reason="its own voice, 900 ms after it was")),
    ("speaker_gone", "no speaker", state("playback", "degraded", "no speaker")),
    ("waiting_for_trigger", "", down(reason="untriggered")),
    ("service_unreachable", "no route", down(reason="no route to host", kind="network")),
    ("key_refused", "401", down(reason="401 bad key", kind="key")),
    ("quota", "quota", down(reason="1011 quota", kind="quota")),
    ("service_unreachable", "2 texts", left),
    ("service_unreachable", "out of order", down(reason="1011 internal", kind="internal")),
    ("capped", "8.00 USD", down(reason="capped")),
    ("clock_wrong", "not yet valid", down(reason="certificate not yet valid", kind="clock")),
    ("disk_full", "No space left", state("session", "degraded", "memory is not kept: No space left on device")),
    ("disk_full", "simulator.json", state("simulator", "degraded", f"simulator.json: No space left; {ROOM}")),
    ("stage_failing", "no numpy", state("frontend", "failed", "no numpy")),
    ("stage_failing", "restarted 3 times", crashes),
    ("simulator", "", event("connection", up=True, service="simulator")),
]


@pytest.mark.parametrize(("code", "words", "inject"), INJECTED, ids=[f"{code}-{words}" for code, words, _ in INJECTED])
def test_each_reason_is_named_with_its_remedy_and_goes_when_it_is_mended(
    code: Code, words: str, inject: Callable[[Watch, int], None]
) -> None:
    watch = machine()
    assert watch.verdict(1 * S).code == "ok"
    if code == "capped":
        watch.stage(10 * S, "session", "waiting", "capped: 8.00 USD of 8.00 today")
    inject(watch, 10 * S)
    watch.verdict(11 * S)
    verdict = watch.verdict(12 * S)
    assert verdict.code == code
    assert words in verdict.words
    assert verdict.remedy
    assert (verdict.since_ns, watch.verdict(14 * S).since_ns) == (verdict.since_ns, verdict.since_ns)
    assert verdict.since_ns in (11 * S, 12 * S)
    for name in (*STAGES, "simulator"):
        watch.stage(30 * S, name, "live", "")
    watch.event(30 * S, "mute", {"muted": False})
    watch.event(30 * S, "volume", {"percent": 70})
    watch.event(30 * S, "hearing", {"verdict": "ok"})
    watch.event(30 * S, "connection", {"up": True, "service": "gemini"})
    watch.event(30 * S, "turn_ended", {"outcome": "answered"})
    assert watch.verdict(60 * S).code == "ok"


def test_every_reason_of_the_list_was_injected() -> None:
    others = {"ok", "starting", "stopping"}
    assert {code for code, _, _ in INJECTED} == set(REASONS) - others


def test_a_quick_restart_is_no_failure_and_a_slow_one_is() -> None:
    watch = machine()
    watch.stage(10 * S, "frontend", "restarting", "killed by signal 9")
    watch.stage(10 * S, "frontend", "starting", "")
    assert watch.verdict(10 * S + S // 2).code == "ok"
    assert watch.verdict(13 * S).code == "stage_failing"
    watch.stage(14 * S, "frontend", "live", "")
    assert watch.verdict(14 * S).code == "ok"


def test_a_speakerphone_that_was_pulled_out_is_no_fault_of_the_sound_server() -> None:
    watch = machine()
    watch.stage(10 * S, "capture", "degraded", "the sound server offers no microphone: plug one in")
    watch.stage(
        10 * S, "playback", "degraded", "the sound server moved the speaker from Jabra to hdmi: plug it in again"
    )
    assert watch.verdict(12 * S).code == "microphone_gone"


def test_noise_that_nobody_answers_is_no_fault_of_the_service() -> None:
    watch = machine()
    for _ in range(2):
        watch.event(10 * S, "turn_ended", {"kind": "speech", "outcome": "empty", "reason": "stalled"})
    verdict = watch.verdict(11 * S)
    assert verdict.code == "ok"
    assert verdict.words.startswith("ok, but what was heard got no answer 2 times in a row")
    watch.event(12 * S, "turn_ended", {"kind": "speech", "outcome": "answered"})
    assert watch.verdict(12 * S).words == "ok"


def test_a_front_end_that_was_replaced_judges_afresh() -> None:
    watch = machine()
    watch.event(10 * S, "hearing", {"verdict": "deaf", "reason": "no trace of 3 replies"})
    assert watch.verdict(11 * S).code == "deaf"
    watch.stage(12 * S, "frontend", "restarting", "killed by SIGKILL")
    watch.stage(12 * S, "frontend", "live", "")
    assert watch.verdict(12 * S).code == "ok"


@pytest.mark.parametrize(("reason", "remedy"), [("killed by SIGKILL", "dmesg"), ("crashed: ValueError", "last words")])
def test_memory_is_thought_of_where_something_else_ended_a_stage(reason: str, remedy: str) -> None:
    watch = machine()
    watch.stage(10 * S, "frontend", "restarting", reason)
    assert remedy in watch.verdict(12 * S).remedy


def test_a_hang_is_named_at_once_for_it_was_silent_before() -> None:
    watch = machine()
    watch.stage(10 * S, "frontend", "restarting", health.hang(health.Pulse(None, 0.0, 0.0), 2.1))
    verdict = watch.verdict(10 * S)
    assert verdict.words == "a stage is failing: frontend hangs: no beat for 2.1 s"
    assert verdict.remedy.endswith("voice-pipeline restart frontend")
    watch.stage(11 * S, "frontend", "starting", "")
    assert watch.verdict(11 * S).words == verdict.words, "the next one is not there yet"
    watch.stage(12 * S, "frontend", "live", "")
    assert watch.verdict(12 * S).code == "ok"


def test_a_crash_loop_is_over_when_it_has_lived_longer_than_between_its_deaths() -> None:
    watch = machine()
    for at_s in (10, 17, 24):
        watch.stage(at_s * S, "frontend", "restarting", "crashed: ValueError: no")
        watch.stage(at_s * S, "frontend", "live", "")
    assert "restarted 3 times in 30 s: crashed: ValueError: no" in watch.verdict(25 * S).words
    assert watch.verdict(34 * S).code == "stage_failing"
    assert watch.verdict(35 * S).code == "ok"


def test_a_restart_of_the_pipeline_does_not_hide_why() -> None:
    watch = machine()
    crashes(watch, 10 * S)
    for name in STAGES:
        watch.stage(11 * S, name, "stopping", "")
        watch.stage(11 * S, name, "starting", "")
    assert watch.verdict(12 * S).code == "stage_failing"


def test_a_new_session_whose_line_does_not_come() -> None:
    watch = machine()
    watch.stage(10 * S, "session", "restarting", "killed by SIGKILL")
    watch.stage(10 * S, "session", "starting", "")
    watch.stage(10 * S, "session", "waiting", "connecting to gemini")
    assert watch.verdict(13 * S).code == "ok", "a line that is changed in a second is no news"
    assert watch.verdict(15 * S).words == "service unreachable: connecting to gemini for more than 4 s"
    watch.stage(15 * S, "session", "waiting", "")
    assert watch.verdict(15 * S).words == "service unreachable: it says nothing of its line for more than 4 s"
    watch.event(16 * S, "connection", {"up": True, "service": "gemini"})
    assert watch.verdict(16 * S).code == "ok"


def test_the_remedy_of_a_failed_line_is_its_own() -> None:
    watch = machine()
    down(reason="401; check key_file: /key", remedy="check key_file: /key", kind="key")(watch, 10 * S)
    verdict = watch.verdict(11 * S)
    assert (verdict.words, verdict.remedy) == ("key refused: 401", "check key_file: /key")


def test_what_keeps_nobody_from_talking_is_said_beside_ok() -> None:
    watch = machine()
    watch.stage(10 * S, "lamp", "failed", "no serial port")
    verdict = watch.verdict(20 * S)
    assert (verdict.code, verdict.words) == ("ok", "ok, but lamp: no serial port")


def test_a_part_that_is_not_required_never_decides() -> None:
    watch = machine()
    watch.stage(10 * S, "lamp", "failed", "crashed")
    assert watch.verdict(20 * S).code == "ok"


def test_an_idle_line_is_no_reason() -> None:
    watch = machine()
    down(reason="idle")(watch, 10 * S)
    assert watch.verdict(11 * S).code == "ok"


def test_what_must_be_mended_first_is_named() -> None:
    watch = machine()
    down(reason="no route", kind="network")(watch, 10 * S)
    watch.stage(10 * S, "capture", "degraded", "gone")
    assert watch.verdict(11 * S).code == "service_unreachable", "a microphone that is just being replaced is not gone"
    assert watch.verdict(12 * S).code == "microphone_gone"
    watch.stopping = True
    assert watch.verdict(11 * S).code == "stopping"


def test_when_it_last_heard_and_answered() -> None:
    watch = machine()
    watch.event(10 * S, "speech_ended", {"t": 1})
    watch.event(14 * S, "turn_ended", {"outcome": "answered"})
    body = watch.verdict(20 * S).body(20 * S)
    assert (body["heard_s"], body["answered_s"]) == (10.0, 6.0)


def test_a_machine_that_has_just_been_started_is_starting() -> None:
    watch = Watch(0, dict.fromkeys(STAGES, True))
    watch.stage(0, "session", "waiting", "connecting to gemini")
    assert watch.verdict(S).code == "starting"
