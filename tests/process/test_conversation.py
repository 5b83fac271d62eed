"""Conversations through the whole pipeline, without a sound card: what is said is answered, whatever dies meanwhile."""

from __future__ import annotations

import os
import re
import signal
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.rig.machine import Machine, Service, alive

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

STAGES = ("capture", "frontend", "session", "playback")
ROOT = Path(__file__).resolve().parents[2]
VOICES = ROOT / "tests" / "recordings"
SHORT = (
    f"stages.simulator={{script: {ROOT}/tests/rig/short_answers.yaml, notice: false}}",
    f"stages.capture.files=[{VOICES}/not_ill_disposed.wav, {VOICES}/made_amiable.wav]",
)
"""Two questions with short answers, where it does not matter what is said."""
LATE = "faults: [{when: connect, freeze_ms: 2500}]\n"
"""The service lets everybody in, and then takes its time."""


def longest_speech_s(path: Path) -> float:
    """Seconds of sound in a recording, pauses under 0.5 s included."""
    with wave.open(str(path)) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
    loud = np.abs(samples[: samples.size // 240 * 240].reshape(-1, 240)).max(axis=1) > 300
    return float(loud.sum()) * 240 / rate


def answered(machine: Machine) -> int:
    """Turns that a person spoke and the machine answered to the end."""
    return len(machine.events("turn_ended", kind="speech", outcome="answered"))


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("m")


def test_the_demonstration_talks_says_where_its_recording_lies_and_ends_by_itself(home: Path) -> None:
    with Machine(home, "demo.yaml") as machine:
        machine.until(lambda: machine.process.poll() is not None, 90)
        machine.pump()
        assert machine.process.returncode == 0
        screen, log = "\n".join(machine.out.read()), "\n".join(machine.log.read())
        assert "you" in screen, log
        assert "machine" in screen
        assert re.search(r"answer audible \d+ ms", screen)
        assert answered(machine) == 3
        reply = machine.run_dir / "reply.wav"
        assert str(reply) in log + screen
        assert longest_speech_s(reply) > 4.0
        kept = b"".join(path.read_bytes() for path in (home / "state").rglob("*") if path.is_file())
        assert not any(caption.encode() in kept for caption in machine.captions("machine")), "the visitor has left"
        assert not machine.processes() or not any(alive(pid) for pid in machine.processes().values())


def test_what_is_said_as_soon_as_it_runs_is_answered_though_the_session_is_not_up_yet(home: Path) -> None:
    script = home / "late.yaml"
    script.write_text(Path(f"{ROOT}/tests/rig/short_answers.yaml").read_text() + LATE)
    with Machine(home, "demo.yaml", ["stages.capture.lead_s=0.0", f"stages.simulator.script={script}"]) as machine:
        machine.until(lambda: answered(machine) >= 1)
        speech = machine.events("speech_started")[0].body["t"]
        assert machine.events("connection", up=True)[0].sent > speech, "the session was up before: nothing was proven"


@pytest.mark.parametrize("moment", ["speech_started", "audible"])
@pytest.mark.parametrize("stage", [*STAGES, "simulator"])
def test_a_conversation_is_answered_to_its_end_though_a_stage_is_killed(home: Path, stage: str, moment: str) -> None:
    with Machine(home, "demo.yaml", SHORT) as machine:
        machine.until(lambda: machine.events(moment))
        machine.kill(stage)
        machine.until(lambda: machine.process.poll() is not None, 120)
        machine.pump()
        assert machine.process.returncode == 0
        assert answered(machine) >= 2


def test_a_question_asked_while_the_service_is_away_for_8_seconds_is_answered_after_its_return(home: Path) -> None:
    service = Service(home, f"{ROOT}/tests/rig/short_answers.yaml")
    files = f"stages.capture.files=[{VOICES}/not_ill_disposed.wav]"
    sets = ["stages.session.service=gemini", "stages.capture.lead_s=1.5", files]
    try:
        with Machine(home, "demo.yaml", sets, service.environ) as machine:
            machine.until(lambda: machine.events("connection", up=True))
            service.kill()
            down = machine.until(lambda: machine.events("connection", up=False))[0]
            machine.until(lambda: machine.events("speech_ended"))
            machine.until(lambda: machine.now_ns() - down.sent > 8e9)
            back_ns = machine.now_ns()
            service.start()
            machine.until(lambda: answered(machine) >= 1)
            assert machine.events("audible")[0].sent > back_ns
            machine.until(lambda: machine.process.poll() is not None, 120)
            assert machine.process.returncode == 0
    finally:
        service.kill()


def test_what_was_typed_in_an_outage_is_answered_though_the_session_dies_before_and_after_it_heard(home: Path) -> None:
    service = Service(home, f"{ROOT}/tests/rig/short_answers.yaml")
    sets = ["stages.session.service=gemini", "stages.capture.lead_s=60"]
    try:
        with Machine(home, "demo.yaml", sets, service.environ) as machine:
            machine.until(lambda: machine.events("connection", up=True) and machine.live(*STAGES))
            service.kill()
            machine.until(lambda: machine.events("connection", up=False))
            assert machine.command("say", "one").returncode == 0
            machine.until(lambda: machine.events("turn_started", kind="text"))
            stopped = machine.kill("session", signal.SIGSTOP)
            assert machine.command("say", "two").returncode == 0
            machine.until(lambda: machine.processes().get("session") not in (None, stopped) and machine.live(*STAGES))
            machine.kill("session")
            assert machine.command("say", "three").returncode == 0
            service.start()
            machine.until(lambda: len(machine.events("turn_ended", kind="text", outcome="answered")) >= 3)
            typed = [line["message"]["realtimeInput"] for line in service.log() if line["event"] == "in"
                     and "text" in line["message"].get("realtimeInput", ())]  # fmt: skip
            assert [each["text"] for each in typed] == ["one", "two", "three"]
    finally:
        service.kill()


def test_a_killed_supervisor_leaves_nothing_behind(home: Path) -> None:
    with Machine(home, "demo.yaml") as machine:
        machine.until(lambda: machine.events("audible"))
        pids = set(machine.processes().values())
        assert len(pids) >= 5
        machine.process.kill()
        machine.until(lambda: not any(alive(pid) for pid in pids), deadline_s=2.0)


def test_a_second_run_refuses_and_names_the_first(home: Path) -> None:
    with Machine(home, "demo.yaml") as machine:
        machine.until(lambda: machine.live("capture"))
        second = machine.command("run", "demo.yaml")
        assert second.returncode not in (0, 78)
        assert str(machine.process.pid) in second.stderr
        machine.until(lambda: answered(machine) >= 1)


def test_ctrl_c_stops_in_order_and_exits_0(home: Path) -> None:
    with Machine(home, "demo.yaml") as machine:
        machine.until(lambda: machine.live(*STAGES))
        pids = set(machine.processes().values())
        machine.process.send_signal(signal.SIGINT)
        machine.until(lambda: machine.process.poll() is not None, 15)
        assert machine.process.returncode == 0
        assert not any(alive(pid) for pid in pids)


def test_a_second_ctrl_c_ends_everything_at_once(home: Path) -> None:
    with Machine(home, "demo.yaml") as machine:
        machine.until(lambda: machine.live(*STAGES))
        pids = machine.processes()
        os.kill(pids["frontend"], signal.SIGSTOP)  # it cannot hear the ordered stop
        machine.process.send_signal(signal.SIGINT)
        machine.until(lambda: "stopping" in "\n".join(machine.log.read()).lower() or machine.process.poll() is not None)
        machine.process.send_signal(signal.SIGINT)
        machine.until(lambda: machine.process.poll() is not None, 3)
        machine.until(lambda: not any(alive(pid) for pid in pids.values()), 3)


def test_text_from_the_command_line_is_answered_aloud(home: Path) -> None:
    with Machine(home, "demo.yaml", ["stages.capture.lead_s=8"]) as machine:
        machine.until(lambda: machine.events("connection", up=True) and machine.live(*STAGES))
        said = machine.command("say", "Tell the visitor that we close in ten minutes.")
        assert said.returncode == 0, said.stderr
        machine.until(lambda: machine.events("turn_ended", kind="text", outcome="answered"))
        assert machine.events("audible")


def test_a_user_stage_between_frontend_and_session_works_and_may_be_killed(home: Path) -> None:
    (home / "gain.py").write_text(re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0])
    (home / "mine.yaml").write_text(
        "extends: demo.yaml\n"
        "stages:\n"
        '  gain: {use: "gain:Gain", db: 3, inputs: {voice: frontend/voice}}\n'
        "  session: {inputs: {voice: gain/voice}}\n"
    )
    with Machine(home, str(home / "mine.yaml"), SHORT) as machine:
        machine.until(lambda: machine.events("speech_started"))
        machine.kill("gain")
        machine.until(lambda: machine.process.poll() is not None, 120)
        machine.pump()
        assert machine.process.returncode == 0
        assert answered(machine) >= 2


def test_a_stage_whose_import_fails_ends_the_run_with_78_and_the_reason(home: Path) -> None:
    (home / "broken.py").write_text("import nothing_of_this_name\n")
    (home / "mine.yaml").write_text(f'extends: {ROOT}/configs/demo.yaml\nstages:\n  lamp: {{use: "broken:Lamp"}}\n')
    with Machine(home, str(home / "mine.yaml")) as machine:
        machine.until(lambda: machine.process.poll() is not None, 30)
        log = "\n".join(machine.log.read())
        assert machine.process.returncode == 78
        assert "nothing_of_this_name" in log
        assert "mine.yaml:3" in log


def test_a_full_disk_under_the_log_changes_nothing(home: Path) -> None:
    with Machine(home, "demo.yaml", ["log.file=/dev/full"]) as machine:
        machine.until(lambda: answered(machine) >= 1)
