"""Devices and the sound server break in every way they can: what a person is told, and how soon the next answer sounds.

Each fault is shown within 3 s, as `degraded` with a reason that names the device and the remedy; within 3 s of the
world's being whole again the stage is at work; and the next question is answered.
"""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.rig.breakable import BreakableKiosk, build_shim
from tests.rig.ear import Ear
from tests.rig.machine import ROOT
from tests.rig.pulse import PulseServer

pytestmark = [pytest.mark.device, pytest.mark.timeout(120)]

SENTENCE = ROOT / "tests" / "recordings" / "not_ill_disposed.wav"


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("k")


@pytest.fixture
def shim(tmp_path: Path) -> dict[str, str]:
    return build_shim(tmp_path)


def test_devices_are_unplugged_and_plugged_in_again(home: Path, pulse: PulseServer) -> None:
    with BreakableKiosk(home, pulse, "stages.frontend.aec=none") as kiosk:
        kiosk.ready()
        with pulse.tone_on_left("speaker"):
            # The server moves the stream to speaker.monitor, and something sounds there: none of it may be heard.
            kiosk.suffers("capture", "unplugged", "microphone.*plug", lambda: pulse.unload_source("mic"))
            time.sleep(0.5)
        kiosk.recovers("capture", pulse.load_mic)
        kiosk.pump()
        assert max(int(np.abs(block.samples).max()) for block in kiosk.audio("voice")) < 50
        kiosk.asks_and_is_answered()

        pulse.play(SENTENCE)
        kiosk.until(lambda: kiosk.events("audible")[1:])
        kiosk.suffers("playback", "unplugged", "speaker.*plug", lambda: pulse.unload_sink("speaker"))
        kiosk.recovers("playback", pulse.load_speaker)
        kiosk.until(lambda: len(kiosk.answered()) == 2 and kiosk.heard_all())

        def everything() -> None:
            pulse.unload_source("mic")
            for sink in ("mic_feed", "speaker"):
                pulse.unload_sink(sink)

        kiosk.suffers("capture", "last source gone", "offers no microphone: plug", everything)
        kiosk.suffers("playback", "last sink gone", "offers no speaker: plug", lambda: None)
        kiosk.recovers("playback", pulse.load_speaker)
        kiosk.recovers("capture", pulse.load_mic)
        kiosk.asks_and_is_answered()


def test_others_become_the_default_and_what_is_plugged_in_again_is_of_another_make(
    home: Path, pulse: PulseServer
) -> None:
    """PulseAudio leads every stream to a new default: those of named devices are opened where they belong again."""
    pulse.load_null_sink("other")
    names = ("stages.capture.device=mic", "stages.playback.device=speaker")
    with BreakableKiosk(home, pulse, "stages.frontend.aec=none", *names) as kiosk:
        kiosk.ready()
        pulse.play(SENTENCE)
        kiosk.until(lambda: kiosk.events("audible"))
        pulse.pactl("set-default-sink", "other")
        pulse.pactl("set-default-source", "speaker.monitor")
        kiosk.until(lambda: kiosk.answered() and kiosk.heard_all())
        for stage, streams, name in (("capture", "source-outputs", "mic"), ("playback", "sink-inputs", "speaker")):
            kiosk.until(lambda: pulse.clients_of(streams, kiosk.processes()[stage]) == [name], 5)  # noqa: B023

        pulse.play(SENTENCE)
        kiosk.until(lambda: kiosk.events("audible")[1:])
        kiosk.suffers("playback", "unplugged", "speaker.*plug", lambda: pulse.unload_sink("speaker"))
        kiosk.recovers("playback", lambda: pulse.load_speaker(rate=44_100, channels=1))
        kiosk.until(lambda: len(kiosk.answered()) == 2 and kiosk.heard_all())
        kiosk.suffers("capture", "unplugged", "microphone.*plug", lambda: pulse.unload_source("mic"))
        pulse.unload_sink("mic_feed")
        kiosk.recovers("capture", lambda: pulse.load_mic(rate=32_000, channels=4))
        kiosk.asks_and_is_answered()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["ended", "killed"])
def test_the_sound_server_dies(home: Path, pulse: PulseServer, number: signal.Signals) -> None:
    with BreakableKiosk(home, pulse) as kiosk:
        kiosk.ready()
        pulse.play(SENTENCE)
        kiosk.until(lambda: kiosk.events("audible"))
        kiosk.suffers("playback", number.name, "start.*server", lambda: pulse.signal(number))
        kiosk.suffers("capture", number.name, "start.*server", lambda: None)
        pulse.kill()
        pulse.start()
        kiosk.recovers("capture", lambda: None)
        kiosk.recovers("playback", lambda: None)
        kiosk.until(lambda: len(kiosk.answered()) == 1 and kiosk.heard_all())
        kiosk.asks_and_is_answered()


def test_the_sound_server_freezes_in_mid_answer_and_thaws(home: Path, pulse: PulseServer) -> None:
    """The answer goes on where it stood; nothing of it sounds twice, and nothing else does."""
    with BreakableKiosk(home, pulse) as kiosk, Ear(pulse.env) as ear:
        kiosk.ready()
        pulse.play(SENTENCE)
        kiosk.until(lambda: kiosk.events("audible"))
        try:
            kiosk.suffers("playback", "server frozen", "does not answer: restart", pulse.freeze)
            kiosk.suffers("capture", "server frozen", "does not answer: restart", lambda: None)
        finally:
            pulse.thaw()
        kiosk.recovers("playback", lambda: None)
        kiosk.recovers("capture", lambda: None)
        kiosk.until(lambda: kiosk.answered() and kiosk.heard_all())
        length_s = kiosk.events("heard")[-1].body["at"] / 24_000
        time.sleep(0.2)
        loud = ear.loud_at()
        sounded_s = sum(min(0.1, b - a) for a, b in pairwise(loud))
        assert sounded_s < length_s + 0.3, "something sounded twice"
        kiosk.asks_and_is_answered()


def test_what_is_suspended_is_named_and_waited_for(home: Path, pulse: PulseServer, server_kind: str) -> None:
    if server_kind == "pipewire":
        pytest.skip("PipeWire wakes whatever is used: nobody can put it to sleep under a stream")
    with BreakableKiosk(home, pulse) as kiosk:
        kiosk.ready()
        for stage, kind, name in (("capture", "source", "mic"), ("playback", "sink", "speaker")):
            kiosk.suffers(
                stage,
                "suspended",
                f"{name} is suspended.*pactl suspend-{kind} {name} 0",
                lambda: pulse.pactl(f"suspend-{kind}", name, "1"),  # noqa: B023
            )
            since = kiosk.now_ns()
            kiosk.until(lambda: kiosk.now_ns() - since > 2_500_000_000)  # noqa: B023
            assert set(kiosk.states_since(stage, since)) <= {"degraded"}, "a suspended device is opened all the same"
            assert "is suspended" in str(kiosk.status(stage)["reason"])
            kiosk.recovers(stage, lambda: pulse.pactl(f"suspend-{kind}", name, "0"))  # noqa: B023
        kiosk.asks_and_is_answered()


def test_named_devices_that_are_not_there_yet(home: Path, pulse: PulseServer) -> None:
    names = ("stages.capture.device=Jabra", "stages.playback.device=Bose")
    with BreakableKiosk(home, pulse, *names) as kiosk:
        kiosk.until(lambda: kiosk.events("connection", up=True))
        kiosk.suffers("capture", "named, absent", r"named 'Jabra'.*plug it in.*there is: mic", lambda: None)
        kiosk.suffers("playback", "named, absent", r"named 'Bose'.*plug it in.*there is: .*speaker", lambda: None)
        kiosk.recovers("capture", lambda: pulse.load_mic("usb_jabra"))
        kiosk.recovers("playback", lambda: pulse.load_null_sink("usb_bose"))
        turns = len(kiosk.answered())
        with Ear(pulse.env, "usb_bose.monitor") as ear:
            pulse.play(SENTENCE, sink="usb_jabra_feed")
            kiosk.until(lambda: len(kiosk.answered()) > turns and kiosk.heard_all())
            loud = ear.loud_at()
        assert loud[-1] - loud[0] > 1.5


@pytest.mark.parametrize("stage", ["capture", "playback"])
def test_a_card_whose_transfers_fail_for_ever(home: Path, pulse: PulseServer, shim: dict[str, str], stage: str) -> None:
    """PortAudio's own loop never ends, and prints a million lines a second: neither log nor supervisor may care."""
    fault = Path(shim["FAULT_FILE"])
    with BreakableKiosk(home, pulse, **shim) as kiosk:
        kiosk.ready()
        for number, kind in enumerate(("enodev", "eio", "epipe", "estrpipe", "hang")):
            pattern = "microphone|speaker" if number else "(microphone|speaker).*plug it in"
            kiosk.suffers(stage, kind, pattern, lambda: fault.write_text(f"{kind} {stage}"))  # noqa: B023
            if not number:
                flood(kiosk, 6.0)
            kiosk.recovers(stage, lambda: fault.write_text(""))
        kiosk.asks_and_is_answered()


def flood(kiosk: BreakableKiosk, seconds: float) -> None:
    """The log grows by less than 100 kB a minute, the supervisor takes less than 10 % of a core."""
    bytes_, cpu_s, begun = said(kiosk), cpu(kiosk.process.pid), time.monotonic()
    kiosk.until(lambda: time.monotonic() - begun > seconds)
    grown_kb_a_min = (said(kiosk) - bytes_) / 1_000 / seconds * 60
    share = (cpu(kiosk.process.pid) - cpu_s) / seconds
    kiosk.report.append(f"flood: log {grown_kb_a_min:.0f} kB/min, supervisor {share:.1%} of a core")
    assert grown_kb_a_min < 100
    assert share < 0.1


def said(kiosk: BreakableKiosk) -> int:
    return sum(len(line) + 1 for line in kiosk.log.read())


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_card_that_does_not_open(home: Path, pulse: PulseServer, shim: dict[str, str]) -> None:
    """In use by another program from the start, then forbidden, then gone, then one that knows another rate only."""
    fault = Path(shim["FAULT_FILE"])
    fault.write_text("busy")
    with BreakableKiosk(home, pulse, **shim) as kiosk:
        kiosk.until(lambda: kiosk.events("connection", up=True))
        kiosk.suffers("capture", "busy", "mic: .*end its other user", lambda: None)
        kiosk.suffers("playback", "busy", "speaker: .*end its other user", lambda: None)
        kiosk.recovers("capture", lambda: fault.write_text(""))
        kiosk.recovers("playback", lambda: None)
        for kind in ("acces", "nodev"):
            fault.write_text(kind)
            kiosk.suffers("capture", kind, "mic: .*group audio", lambda: kiosk.kill("capture"))
            kiosk.recovers("capture", lambda: fault.write_text(""))
        fault.write_text("48k")
        pid = kiosk.kill("capture")
        kiosk.until(lambda: kiosk.processes().get("capture") not in (None, pid))
        kiosk.recovers("capture", lambda: None)
        kiosk.until(lambda: kiosk.audio("mic")[-1].rate == 48_000)
        kiosk.asks_and_is_answered()


@pytest.mark.parametrize("stage", ["capture", "playback"])
def test_the_owner_of_a_device_hangs(home: Path, pulse: PulseServer, stage: str) -> None:
    """Stopped in mid-speech, audio is there again within 3.2 s."""
    with BreakableKiosk(home, pulse) as kiosk, Ear(pulse.env) as ear:
        kiosk.ready()
        pulse.play(SENTENCE)
        if stage == "playback":
            kiosk.until(lambda: kiosk.events("audible"))
        begun_ns = kiosk.now_ns()
        kiosk.kill(stage, signal.SIGSTOP)
        if stage == "capture":
            again = kiosk.until(lambda: [b for b in kiosk.audio("mic") if (b.t or 0) > begun_ns + 1_000_000_000])[0]
            took_s = ((again.t or 0) - begun_ns) / 1e9
        else:
            begun = begun_ns / 1e9
            took_s = kiosk.until(lambda: [when for when in ear.loud_at(begun + 1)])[0] - begun
        kiosk.report.append(f"{stage}: stopped: audio again after {took_s:.2f} s")
        assert took_s < 3.2
        kiosk.until(lambda: kiosk.answered() and kiosk.heard_all())
        kiosk.asks_and_is_answered()
