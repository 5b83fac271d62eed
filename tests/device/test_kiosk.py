"""The kiosk as it is deployed, on a private sound server: a person's voice goes in, the answer is at the speaker."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.bus.messages import Event
from tests.rig.ear import Ear
from tests.rig.machine import Machine
from tests.rig.pulse import PulseServer

pytestmark = [pytest.mark.device, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]
VOICES = ROOT / "tests" / "recordings"
STAGES = ("capture", "frontend", "session", "playback")
NS = 1_000_000_000
SIMULATOR = (
    f"stages.simulator={{script: {ROOT}/tests/rig/short_answers.yaml, notice: false,"
    " journal: service.jsonl, audio: service}"
)


def kiosk(home: Path, pulse: PulseServer, *sets: str) -> Machine:
    """`run kiosk.yaml` on that sound server."""
    places = {name: pulse.env[name] for name in ("XDG_RUNTIME_DIR", "HOME")}
    return Machine(home, "kiosk.yaml", [SIMULATOR, *sets], places)


def journal(machine: Machine, event: str) -> list[dict[str, Any]]:
    """What the simulator noted under that name."""
    try:
        lines = (machine.run_dir / "service.jsonl").read_text().splitlines()
    except OSError:
        return []
    return [entry for line in lines if line.endswith("}") and (entry := json.loads(line))["event"] == event]


def at_the_service(machine: Machine) -> NDArray[np.int16]:
    """All sound that reached the simulator."""
    return np.frombuffer(b"".join(p.read_bytes() for p in sorted((machine.run_dir / "service").glob("*.s16le"))), "<i2")


def likeness(spoken: NDArray[np.int16], arrived: NDArray[np.int16]) -> float:
    """Highest normalised correlation of what was spoken with any stretch of what arrived, both 16 kHz; 1: the same."""
    pattern = spoken.astype(float) - spoken.mean()
    size = 1 << (pattern.size + arrived.size - 1).bit_length()
    spectrum = np.fft.rfft(arrived.astype(float), size) * np.conj(np.fft.rfft(pattern, size))
    matched = np.fft.irfft(spectrum, size)[: max(1, arrived.size - pattern.size)]
    squares = np.concatenate([[0.0], np.cumsum(arrived.astype(float) ** 2)])
    energy = squares[pattern.size :] - squares[: -pattern.size]
    norm = np.sqrt(np.maximum(energy[: matched.size], 1.0)) * np.linalg.norm(pattern)
    return float((matched / norm).max())


def heard_all(machine: Machine) -> bool:
    """Whether the last answer was heard to its end."""
    last = machine.events("heard")[-1].body
    return bool(last["at"] >= last["buffered_to"] > 0)


def recording(name: str) -> NDArray[np.int16]:
    return np.frombuffer((VOICES / name).read_bytes()[44:], "<i2")


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("k")


def test_a_spoken_question_arrives_whole_and_the_answer_sounds(home: Path, pulse: PulseServer) -> None:
    with kiosk(home, pulse) as machine, Ear(pulse.env) as ear:
        machine.until(lambda: machine.live(*STAGES) and machine.events("connection", up=True))
        pulse.play(VOICES / "not_ill_disposed.wav")
        machine.until(lambda: machine.events("turn_ended", outcome="answered"))
        heard = machine.until(lambda: [e for e in machine.events("heard") if e.body["at"] == e.body["buffered_to"] > 0])
        answer_s = heard[-1].body["at"] / 24_000
        loud = ear.loud_at()
        assert answer_s > 1.5
        assert loud[-1] - loud[0] == pytest.approx(answer_s, abs=0.4), "the answer at the speaker is cut or stretched"
        assert likeness(recording("not_ill_disposed.wav"), at_the_service(machine)) > 0.95


def between(machine: Machine, stream: str, begin_ns: int, end_ns: int) -> NDArray[np.int16]:
    """What passed on a stream between two times of its sound."""
    return np.concatenate([b.samples for b in machine.audio(stream) if b.t is not None and begin_ns <= b.t < end_ns])


def over_the_machine(machine: Machine) -> list[Event]:
    """Speech that began after the machine had."""
    begun = machine.events("audible")[0].body["t"]
    return [event for event in machine.events("speech_started") if event.body["t"] > begun]


def loudness(machine: Machine, stream: str, begin_ns: int, end_ns: int) -> float:
    """RMS in dB of full scale of what passed on a stream between two times of its sound."""
    sound = between(machine, stream, begin_ns, end_ns).astype(float)
    return float(10 * np.log10(np.mean(sound**2) / 32768**2 + 1e-12))


@pytest.mark.parametrize("aec", ["webrtc", "half_duplex"])
def test_a_machine_that_talks_does_not_hear_itself(home: Path, pulse: PulseServer, aec: str) -> None:
    with kiosk(home, pulse, f"stages.frontend.aec={aec}") as machine:
        machine.until(lambda: machine.live(*STAGES) and machine.events("connection", up=True))
        pulse.pactl("load-module", "module-loopback", "source=speaker.monitor", "sink=mic_feed", "latency_msec=30")
        pulse.play(VOICES / "not_ill_disposed.wav")
        machine.until(lambda: machine.events("turn_ended", outcome="answered") and heard_all(machine))
        quiet_ns = machine.now_ns() + 700_000_000
        machine.until(lambda: machine.audio("voice")[-1].t > quiet_ns)
        assert not over_the_machine(machine)
        assert not machine.events("interrupted")
        assert not machine.events("barge_in")
        begin, end = machine.audio("played")[0].t, machine.audio("played")[-1].t
        assert begin is not None
        assert end is not None
        echo, left = (loudness(machine, stream, begin + NS // 2, end) for stream in ("mic", "voice"))
        assert echo > -50, "the machine's voice is in the microphone"
        assert left < echo - 20
        gated = [block for block in machine.audio("voice") if block.gated]
        assert bool(gated) == (aec == "half_duplex")
        assert not any(any(block.pcm) for block in gated)


def test_a_front_end_that_dies_in_mid_answer_does_not_come_back_to_hear_the_machine(
    home: Path, pulse: PulseServer
) -> None:
    """Its successor knows nothing of the room, and has two seconds of microphone and speaker to learn it."""
    with kiosk(home, pulse) as machine:
        machine.until(lambda: machine.live(*STAGES) and machine.events("connection", up=True))
        pulse.pactl("load-module", "module-loopback", "source=speaker.monitor", "sink=mic_feed", "latency_msec=30")
        pulse.play(VOICES / "not_ill_disposed.wav")
        begun = machine.until(lambda: machine.events("audible"))[0].body["t"]
        machine.until(lambda: machine.now_ns() > begun + NS)
        pid = machine.kill("frontend")
        machine.until(lambda: machine.processes().get("frontend") not in (None, pid) and machine.live("frontend"))
        machine.until(lambda: machine.events("turn_ended", outcome="answered") and heard_all(machine))
        quiet_ns = machine.now_ns() + 700_000_000
        machine.until(lambda: machine.audio("voice")[-1].t > quiet_ns)
        assert not over_the_machine(machine), "it took the machine for a person"
        assert not machine.events("barge_in")
        assert not machine.events("interrupted")


def test_speaking_over_the_machine_silences_it_and_is_answered(home: Path, pulse: PulseServer) -> None:
    with kiosk(home, pulse) as machine, Ear(pulse.env) as ear:
        machine.until(lambda: machine.live(*STAGES) and machine.events("connection", up=True))
        pulse.play(VOICES / "not_ill_disposed.wav")
        machine.until(lambda: machine.events("audible"))
        pulse.play(VOICES / "made_amiable.wav", wait=False)
        machine.until(lambda: machine.events("interrupted"))
        flushed_s = machine.events("flush", cause="interrupted")[0].sent / 1e9
        machine.until(lambda: machine.events("turn_ended", outcome="answered"))
        second = machine.until(lambda: machine.events("audible")[1:])[0].body
        assert second["epoch"] > machine.events("audible")[0].body["epoch"]
        quiet = [when for when in ear.loud_at(flushed_s + 0.25) if when < second["t"] / 1e9 - 0.05]
        assert not quiet, "the interrupted answer went on sounding"
        assert journal(machine, "interrupted")
        arrived = at_the_service(machine)
        begun, ended = (machine.events(f"speech_{word}")[-1].body["t"] for word in ("started", "ended"))
        assert likeness(between(machine, "voice", begun, ended), arrived) > 0.99, "lost behind the front end"
        silent = int(
            (flushed_s + 0.5) * NS
        )  # while both speak a canceller that does not know the room yet takes its part
        assert likeness(between(machine, "mic", silent, ended), arrived) > 0.6, (
            "spoken when the machine had been cut off"
        )


def test_a_typed_text_is_answered_aloud(home: Path, pulse: PulseServer) -> None:
    with kiosk(home, pulse) as machine, Ear(pulse.env) as ear:
        machine.until(lambda: machine.live(*STAGES) and machine.events("connection", up=True))
        assert machine.command("say", "Tell the visitor the price of a ticket.").returncode == 0
        machine.until(lambda: machine.events("turn_ended", kind="text", outcome="answered"))
        loud = ear.loud_at()
        assert loud[-1] - loud[0] > 1.5


def test_without_a_sound_server_it_says_so_and_is_alive_within_3_s_of_its_coming(
    home: Path, no_pulse: PulseServer
) -> None:
    with kiosk(home, no_pulse) as machine:
        machine.until(lambda: machine.events("state", state="degraded") and machine.events("connection", up=True))
        status = json.loads(machine.command("status", "--json").stdout)
        for stage in ("capture", "playback"):
            assert status["stages"][stage]["state"] == "degraded"
            assert "sound server" in status["stages"][stage]["reason"]
        no_pulse.start()
        ready_s = time.monotonic()

        def live() -> bool:
            last = {e.src: e.body["state"] for e in machine.events("state")}
            return last.get("capture") == "live" and last.get("playback") == "live"

        machine.until(live, 10)
        assert time.monotonic() - ready_s < 3.0
        no_pulse.play(VOICES / "not_ill_disposed.wav")
        machine.until(lambda: machine.events("turn_ended", outcome="answered"))


def test_the_sound_server_killed_in_mid_answer_and_started_again(home: Path, pulse: PulseServer) -> None:
    with kiosk(home, pulse) as machine:
        machine.until(lambda: machine.live(*STAGES) and machine.events("connection", up=True))
        pulse.play(VOICES / "not_ill_disposed.wav")
        machine.until(lambda: machine.events("audible"))
        pulse.kill()
        machine.until(lambda: len([e for e in machine.events("stage", state="degraded")]) >= 2)
        pulse.start()
        begun = machine.now_ns()

        def back() -> bool:
            late = {e.src for e in machine.events("state", state="live") if e.sent > begun}
            return {"capture", "playback"} <= late

        machine.until(back, 15)
        turns = len(machine.events("turn_ended", outcome="answered"))
        pulse.play(VOICES / "made_amiable.wav")
        machine.until(lambda: len(machine.events("turn_ended", outcome="answered")) > turns)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
@pytest.mark.parametrize("stage", ["capture", "playback"])
def test_the_owner_of_a_device_killed_or_frozen_in_mid_speech(
    home: Path, pulse: PulseServer, stage: str, number: signal.Signals
) -> None:
    with kiosk(home, pulse) as machine:
        machine.until(lambda: machine.live(*STAGES) and machine.events("connection", up=True))
        pulse.play(VOICES / "not_ill_disposed.wav", wait=False)
        if stage == "capture":
            said = machine.until(lambda: machine.events("speech_started"))[0].body["t"]
            machine.until(lambda: machine.audio("voice")[-1].t > said + 1_500_000_000)
        else:
            machine.until(lambda: machine.events("audible"))
        pid = machine.processes()[stage]
        os.kill(pid, number)
        machine.until(lambda: machine.processes().get(stage) not in (None, pid))
        machine.until(lambda: machine.live(stage))
        machine.until(lambda: machine.events("turn_ended", outcome="answered"))
        machine.until(lambda: heard_all(machine))


@pytest.mark.both_servers
def test_mute_closes_the_device_and_holds_across_a_restart_of_the_pipeline(home: Path, pulse: PulseServer) -> None:
    with kiosk(home, pulse) as machine:
        machine.until(lambda: machine.live(*STAGES))
        pid = machine.processes()["capture"]
        assert pulse.clients_of("source-outputs", pid)
        assert machine.command("mute").returncode == 0
        machine.until(lambda: not pulse.clients_of("source-outputs", pid), 3)
        machine.kill("capture")
        machine.until(
            lambda: machine.processes().get("capture") not in (None, pid) and machine.events("state", state="muted")[1:]
        )
        assert machine.command("stop").returncode == 0
        machine.until(lambda: machine.process.poll() is not None, 15)
    with kiosk(home, pulse) as machine:
        machine.until(lambda: machine.events("state", state="muted") and machine.live("playback"))
        assert not pulse.clients_of("source-outputs", machine.processes()["capture"])
        assert machine.command("unmute").returncode == 0
        machine.until(lambda: machine.live("capture"))
