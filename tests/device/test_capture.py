"""The microphone and front-end stages, from a sound at the microphone to voice on the bus."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from pipeline.bus.messages import Audio, Event
from tests.rig.fakes import RECORDINGS, Speaks, recording
from tests.rig.nursery import Nursery
from tests.rig.pulse import PulseServer, wait_until

pytestmark = pytest.mark.device

CAPTURE = {"use": "pipeline.stages.capture:Capture", "emits": ["mic"]}
FRONTEND = {
    "use": "pipeline.stages.frontend:Frontend",
    "inputs": {"mic": "capture", "played": "playback"},
    "emits": ["voice"],
}
PLAYBACK = {
    "use": "pipeline.stages.playback:Playback",
    "inputs": {"reply": "session"},
    "emits": ["played"],
    "options": {"volume": 100},
}
READER = """
from pipeline import Stage


class Reader(Stage):
    reads = ("voice",)
    emits = ("echo",)

    def on_audio(self, audio):
        self.emit("echo", audio)
"""
SPEECH = "not_ill_disposed.wav"


@pytest.fixture
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    stages = {
        "supervisor": {},
        "session": {"use": "reader:Reader", "inputs": {"voice": "frontend"}, "emits": ["echo"]},
        "capture": dict(CAPTURE),
        "frontend": dict(FRONTEND),
        "playback": PLAYBACK,
    }
    with Nursery(tmp_path_factory.mktemp("run"), stages) as nursery:
        yield nursery


@pytest.fixture
def supervisor(nursery: Nursery) -> Iterator[Speaks]:
    with Speaks(nursery, "supervisor") as supervisor:
        supervisor.event("mute", sticky=True, muted=False, by="")
        yield supervisor


def likeness(heard: np.ndarray) -> float:
    """How much of the recording is in what was heard, at the best place: 1 is all of it, as loud as it was spoken."""
    spoken = recording(SPEECH).astype(float)
    size = 1 << (heard.size + spoken.size).bit_length()
    cross = np.fft.irfft(np.fft.rfft(heard.astype(float), size) * np.conj(np.fft.rfft(spoken, size)))
    return float(cross.max() / np.linalg.norm(spoken) ** 2)


def states(nursery: Nursery, name: str, state: str) -> list[Event]:
    return [e for e in nursery.events("state", name) if e.body["state"] == state]


def live(nursery: Nursery, *names: str) -> None:
    before = {name: len(states(nursery, name, "live")) for name in names}
    for name in names:
        nursery.start(name)
    nursery.until(lambda: all(len(states(nursery, name, "live")) > before[name] for name in names))


def flowing(nursery: Nursery, stream: str, blocks: int = 10) -> list[Audio]:
    before = len(nursery.audio(stream))
    nursery.until(lambda: len(nursery.audio(stream)) >= before + blocks)
    return nursery.audio(stream)[before:]


def test_blocks_of_20_ms_whose_time_runs_evenly(pulse: PulseServer, nursery: Nursery, supervisor: Speaks) -> None:
    live(nursery, "capture")
    blocks = flowing(nursery, "mic", 150)
    now = time.monotonic_ns()
    assert {(b.rate, b.channels, b.frames) for b in blocks} == {(16_000, 1, 320)}
    steps = [(b.t - a.t - 20_000_000) / 1e6 for a, b in pairwise(blocks[50:])]  # type: ignore[operator]
    assert np.median(np.abs(steps)) < 0.5
    assert 0 < now - blocks[-1].t < 200_000_000  # type: ignore[operator]


def test_a_person_is_heard_from_the_microphone_to_voice(
    pulse: PulseServer, nursery: Nursery, supervisor: Speaks
) -> None:
    live(nursery, "capture", "frontend")
    flowing(nursery, "voice")
    said = time.monotonic_ns()
    pulse.play(RECORDINGS / SPEECH)
    nursery.until(lambda: nursery.events("speech_ended"))
    voice = nursery.audio("voice")
    assert {(b.rate, b.channels, b.gated) for b in voice} == {(16_000, 1, False)}
    assert {b.frames for b in voice[1:]} == {320}
    for before, after in pairwise(voice):
        assert after.t == pytest.approx(before.t + before.duration_ns, abs=15e6)  # type: ignore[operator]
    assert 0.9 < likeness(np.concatenate([b.samples for b in voice if b.t > said])) < 1.1  # type: ignore[operator]
    started, ended = nursery.events("speech_started")[0], nursery.events("speech_ended")[-1]
    begun = next(b for b in voice if np.abs(b.samples).max() > 1_000).t
    assert started.body["preroll_t"] < begun < started.body["t"] + 150e6  # type: ignore[operator]
    assert 2.0 < (ended.body["t"] - started.body["t"]) / 1e9 < 3.2
    levels = [e.body for e in nursery.events("level")]
    assert max(level["rms_dbfs"] for level in levels) > -35
    assert all(level["peak_dbfs"] >= level["rms_dbfs"] for level in levels)


@pytest.mark.parametrize(("channel", "loud"), [("left", True), ("right", False), ("mix", True), ("1", False)])
def test_the_channel_that_is_asked_for(
    pulse: PulseServer, nursery: Nursery, supervisor: Speaks, channel: str, loud: bool
) -> None:
    pulse.load_mic("array", channels=2)
    nursery.stages["capture"]["options"] = {"device": "array", "channel": channel}  # type: ignore[index]
    live(nursery, "capture")
    with pulse.tone_on_left("array_feed"):
        flowing(nursery, "mic", 25)
        blocks = flowing(nursery, "mic", 25)
    assert {b.channels for b in blocks} == {1}
    peak = max(int(np.abs(b.samples).max()) for b in blocks)
    assert (peak > 3_000) if loud else (peak < 50)


def test_every_channel_goes_on_and_frontend_chooses(pulse: PulseServer, nursery: Nursery, supervisor: Speaks) -> None:
    pulse.load_mic("array", channels=4, rate=44_100)
    nursery.stages["capture"]["options"] = {"device": "array", "channel": "all"}  # type: ignore[index]
    nursery.stages["frontend"]["options"] = {"channel": "0"}  # type: ignore[index]
    live(nursery, "capture", "frontend")
    assert flowing(nursery, "mic")[-1].channels == 4
    assert {(b.rate, b.channels) for b in flowing(nursery, "voice")} == {(16_000, 1)}


def test_an_absent_microphone_is_named_and_waited_for(
    no_pulse: PulseServer, nursery: Nursery, supervisor: Speaks
) -> None:
    nursery.stages["capture"]["options"] = {"device": "kiosk"}  # type: ignore[index]
    nursery.start("capture")
    nursery.until(lambda: states(nursery, "capture", "degraded"))
    assert "start the server" in states(nursery, "capture", "degraded")[-1].body["reason"]
    no_pulse.start()
    nursery.until(lambda: "kiosk" in states(nursery, "capture", "degraded")[-1].body["reason"])
    no_pulse.load_mic("my_kiosk_mic")
    plugged = time.monotonic()
    nursery.until(lambda: states(nursery, "capture", "live"))
    assert time.monotonic() - plugged < 3
    assert no_pulse.clients_of("source-outputs", nursery.processes["capture"].pid) == ["my_kiosk_mic"]


@pytest.mark.both_servers
def test_pulled_out_it_exits_69_and_not_one_block_is_the_speakers_own_sound(
    pulse: PulseServer, nursery: Nursery, supervisor: Speaks, server_kind: str
) -> None:
    live(nursery, "capture")
    with pulse.tone_on_left("speaker"):
        flowing(nursery, "mic", 25)
        pulse.unload_source("mic")
        assert nursery.processes["capture"].wait(3) == 69
    nursery.until(lambda: True)
    assert max(int(np.abs(b.samples).max()) for b in nursery.audio("mic")) < 50
    why = "moved the microphone" if server_kind == "pulseaudio" else "the microphone is gone"
    assert why in states(nursery, "capture", "degraded")[-1].body["reason"]
    nursery.start("capture")
    nursery.until(lambda: "plug one in" in states(nursery, "capture", "degraded")[-1].body["reason"])
    pulse.load_mic()
    nursery.until(lambda: len(states(nursery, "capture", "live")) == 2)


@pytest.mark.both_servers
def test_a_dead_server_is_exit_69(pulse: PulseServer, nursery: Nursery, supervisor: Speaks) -> None:
    live(nursery, "capture")
    pulse.kill()
    assert nursery.processes["capture"].wait(2) == 69


def test_a_hung_read_is_ended_by_sigterm(pulse: PulseServer, nursery: Nursery, supervisor: Speaks) -> None:
    live(nursery, "capture")
    nursery.until(lambda: nursery.audio("mic"))
    pulse.freeze()
    nursery.until(lambda: time.monotonic_ns() - (nursery.audio("mic")[-1].t or 0) > 400_000_000)
    process = nursery.processes["capture"]
    process.terminate()
    assert process.wait(1) == -15


def test_muted_the_device_is_closed_and_opens_again(pulse: PulseServer, nursery: Nursery, supervisor: Speaks) -> None:
    live(nursery, "capture", "frontend")
    pid = nursery.processes["capture"].pid
    flowing(nursery, "voice")
    supervisor.event("mute", sticky=True, muted=True, by="visitor")
    took = wait_until(lambda: pulse.clients_of("source-outputs", pid) == [], 2, "the device closed")
    assert took < 0.5
    nursery.until(lambda: states(nursery, "capture", "muted"))
    nursery.kill("capture")
    nursery.settings["mute"] = {"muted": True, "by": "visitor"}
    nursery.start("capture")
    nursery.until(lambda: len(states(nursery, "capture", "muted")) == 2)
    assert pulse.clients_of("source-outputs", nursery.processes["capture"].pid) == []
    supervisor.event("mute", sticky=True, muted=False, by="visitor")
    flowing(nursery, "mic")
    flowing(nursery, "voice")


def test_who_starts_muted_never_opens_it_though_nobody_says_so_on_the_bus(pulse: PulseServer, nursery: Nursery) -> None:
    """The supervisor is held up: all that it has said is `go`."""
    nursery.settings["mute"] = {"muted": True, "by": "visitor"}
    nursery.start("capture")
    nursery.until(lambda: states(nursery, "capture", "muted"))
    with pytest.raises(AssertionError, match="a stream"):
        wait_until(lambda: pulse.clients_of("source-outputs", nursery.processes["capture"].pid) != [], 1.0, "a stream")
    assert "microphone open" not in (nursery.run_dir / "capture.stderr").read_text()
    assert states(nursery, "capture", "muted")[-1].body["reason"] == "muted by visitor"


def test_the_machine_does_not_hear_itself(pulse: PulseServer, nursery: Nursery, supervisor: Speaks) -> None:
    """The speaker sounds straight into the microphone: half duplex, not one sample of it may go on as voice."""
    nursery.stages["frontend"]["options"] = {"aec": "half_duplex"}  # type: ignore[index]
    with Speaks(nursery, "session", "reply") as session:
        live(nursery, "capture", "frontend", "playback")
        pulse.pactl("load-module", "module-loopback", "source=speaker.monitor", "sink=mic_feed", "latency_msec=5")
        flowing(nursery, "voice", 50)
        speech = np.repeat(recording(SPEECH), 3).astype(np.int16)[::2]
        for epoch in (1, 2, 3):
            session.answer(epoch, speech)
            nursery.until(
                lambda: [
                    e
                    for e in nursery.events("heard")
                    if e.body["epoch"] == epoch and e.body["at"] == e.body["buffered_to"] == speech.size  # noqa: B023
                ]
            )
            flowing(nursery, "voice", 30)
    mic, voice = nursery.audio("mic"), nursery.audio("voice")
    assert max(int(np.abs(b.samples).max()) for b in mic) > 3_000
    assert max(int(np.abs(b.samples).max()) for b in voice) < 50
    assert nursery.events("speech_started") == []
    gates = [(e.body["closed"], e.body["reason"]) for e in nursery.events("gate")]
    assert gates == [(True, "talking"), (False, "")] * 3
    gated_s = sum(b.duration_ns for b in voice if b.gated) / 1e9
    assert gated_s == pytest.approx(3 * (speech.size / 24_000 + 0.3), rel=0.1)


def test_killed_in_mid_speech_frontend_loses_nothing(pulse: PulseServer, nursery: Nursery, supervisor: Speaks) -> None:
    (nursery.run_dir / "reader.py").write_text(READER)
    live(nursery, "capture", "frontend", "session")
    flowing(nursery, "echo")
    said = time.monotonic_ns()
    player = pulse.play(RECORDINGS / SPEECH, wait=False)
    nursery.until(lambda: nursery.events("speech_started"))
    nursery.kill("frontend")
    live(nursery, "frontend")
    player.wait(10)
    nursery.until(lambda: [e for e in nursery.events("speech_ended") if e.inst == 2])
    echo = [b for b in nursery.audio("echo") if b.t is not None and b.t > said]
    for before, after in pairwise(echo):
        assert after.t == pytest.approx(before.t + before.duration_ns, abs=15e6)  # type: ignore[operator]
    assert likeness(np.concatenate([b.samples for b in echo])) > 0.85


@pytest.mark.parametrize("who", ["the reader", "the server"])
def test_sound_that_waited_out_a_stall_keeps_its_time(
    pulse: PulseServer, nursery: Nursery, supervisor: Speaks, who: str, server_kind: str
) -> None:
    """A second of backlog comes at once, and none of it as if it were fresh or from the future."""
    live(nursery, "capture")
    flowing(nursery, "mic", 50)
    signalled = nursery.processes["capture"].send_signal if who == "the reader" else pulse.signal
    player = pulse.play(RECORDINGS / SPEECH, wait=False)
    nursery.until(lambda: np.abs(nursery.audio("mic")[-1].samples).max() > 1_000)
    stopped_ns = time.monotonic_ns()
    signalled(signal.SIGSTOP)
    time.sleep(0.8)  # less than what makes it give up
    signalled(signal.SIGCONT)
    thawed_ns = time.monotonic_ns()
    player.wait(10)
    flowing(nursery, "mic", 50)
    assert nursery.processes["capture"].poll() is None
    blocks = [(stamp.sent, block) for stamp, block in nursery.heard if isinstance(block, Audio)]
    if server_kind == "pipewire" and who == "the server":
        sent, block = blocks[-1]  # it took nothing meanwhile: nothing can come late, and time has gone on
        assert 0 < sent - block.t < 100_000_000  # type: ignore[operator]
        return
    for sent, block in blocks:
        assert block.t + block.duration_ns < sent + 5_000_000, "from the future"  # type: ignore[operator]
    late = [block for sent, block in blocks if sent > thawed_ns and block.t < thawed_ns]  # type: ignore[operator]
    assert len(late) > 30, "the backlog was lost, or says that it is fresh"
    for before, after in pairwise(block for _, block in blocks):
        assert after.t == pytest.approx(before.t + before.duration_ns, abs=40e6)  # type: ignore[operator]
    assert min(block.t or 0 for block in late) < stopped_ns + 60_000_000
    first, last = blocks[0][1], blocks[-1][1]
    assert last.t - first.t == pytest.approx(20e6 * (len(blocks) - 1), abs=60e6), "sound is missing"  # type: ignore[operator]
