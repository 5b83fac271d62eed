"""Opening, naming and losing devices at a real sound server, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.audio import devices, soundserver
from tests.rig.pulse import PulseServer, wait_until

pytestmark = pytest.mark.device

Python = Callable[[str], subprocess.Popen[str]]

LISTEN = """
import time
from pipeline.audio import devices
mic = devices.Microphone(devices.find("microphone", {device!r}){more})
print("open", mic.rate, mic.channels, len(mic.read()), flush=True)
try:
    while not mic.watch.moved:
        mic.read()
    print("moved", time.monotonic(), mic.watch.moved, flush=True)
except devices.DeviceLost as error:
    print("lost", time.monotonic(), error, flush=True)
"""
SPEAK = """
import time
from pipeline.audio import devices
speaker = devices.Speaker(devices.find("speaker", {device!r}))
print("open", speaker.rate, speaker.channels, speaker.capacity, flush=True)
try:
    while not speaker.watch.moved:
        if free := speaker.free():
            speaker.write(bytes(2 * free))
        time.sleep(0.004)
    print("moved", time.monotonic(), speaker.watch.moved, flush=True)
except devices.DeviceLost as error:
    print("lost", time.monotonic(), error, flush=True)
"""


def line(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    said = process.stdout.readline()
    assert said, process.stderr.read() if process.stderr else ""
    return said.split(maxsplit=2)


def settled(pulse: PulseServer, process: subprocess.Popen[str], kind: str) -> None:
    """Until the server knows the stream, and the process's own watch has looked at it."""
    wait_until(lambda: pulse.clients_of(kind, process.pid) != [], 3, f"a stream of {process.pid}")
    time.sleep(0.1)  # the watch looks at the start; there is nothing from outside to wait on


@pytest.mark.both_servers
def test_a_microphone_opens_at_the_wanted_rate_in_blocks_of_20_ms(pulse: PulseServer, python: Python) -> None:
    process = python(LISTEN.format(device="mic", more=""))
    assert line(process) == ["open", "16000", "2 1280\n"]
    settled(pulse, process, "source-outputs")
    assert pulse.clients_of("source-outputs", process.pid) == ["mic"]


def test_every_channel_of_an_array_can_be_had(pulse: PulseServer, python: Python) -> None:
    pulse.load_mic("array", channels=4)
    process = python(LISTEN.format(device="array", more=", rate=48000"))
    assert line(process) == ["open", "48000", "4 7680\n"]


@pytest.mark.both_servers
def test_a_speaker_queues_three_periods(pulse: PulseServer, python: Python) -> None:
    process = python(SPEAK.format(device="speak"))
    assert line(process) == ["open", "48000", "1 1536\n"]
    settled(pulse, process, "sink-inputs")
    assert pulse.clients_of("sink-inputs", process.pid) == ["speaker"]


@pytest.mark.both_servers
def test_an_unplugged_microphone_is_noticed_though_it_raises_nothing(
    pulse: PulseServer, python: Python, server_kind: str
) -> None:
    process = python(LISTEN.format(device="mic", more=""))
    line(process)
    settled(pulse, process, "source-outputs")
    pulled = time.monotonic()
    pulse.unload_source("mic")
    word, when, what = line(process)
    if server_kind == "pipewire":
        assert (word, "the microphone is gone" in what) == ("lost", True), "it is led nowhere else, as it asked"
    else:
        assert (word, "from mic to speaker.monitor" in what) == ("moved", True)
    assert float(when) - pulled < 0.5


@pytest.mark.both_servers
def test_an_unplugged_speaker_is_noticed(pulse: PulseServer, python: Python, server_kind: str) -> None:
    process = python(SPEAK.format(device="speaker"))
    line(process)
    settled(pulse, process, "sink-inputs")
    pulse.unload_sink("speaker")
    word, _, what = line(process)
    if server_kind == "pipewire":
        assert (word, "the speaker is gone" in what) == ("lost", True)
    else:
        assert (word, "from speaker to mic_feed" in what) == ("moved", True)


@pytest.mark.parametrize("round_", range(3))
def test_a_killed_server_is_an_error_at_once_and_never_a_deadlock(
    pulse: PulseServer, python: Python, round_: int
) -> None:
    both = [python(LISTEN.format(device="mic", more="")), python(SPEAK.format(device="speaker"))]
    for process in both:
        line(process)
    killed = time.monotonic()
    pulse.kill()
    for process in both:
        word, when, _ = line(process)
        assert word == "lost"
        assert float(when) - killed < 0.5
        assert process.wait(3) == 0


@pytest.mark.both_servers
def test_waiting_never_needs_portaudio_and_names_the_remedy(no_pulse: PulseServer) -> None:
    said = devices.find("microphone", "auto")
    assert isinstance(said, str)
    assert "start the server" in said
    no_pulse.start(devices=False)
    assert isinstance(devices.find("microphone", "auto"), str)
    no_pulse.load_speaker()
    assert devices.find("microphone", "auto") == "the sound server offers no microphone: plug one in"
    no_pulse.load_mic()
    found = devices.find("microphone", "auto")
    assert isinstance(found, devices.Found)
    assert found.name == "mic"
    assert "(there is: mic)" in str(devices.find("microphone", "Jabra"))


def test_a_frozen_server_is_said_within_its_bound(pulse: PulseServer) -> None:
    pulse.freeze()
    begun = time.monotonic()
    said = devices.find("microphone", "mic")
    pulse.thaw()
    assert isinstance(said, str)
    assert "does not answer" in said
    assert time.monotonic() - begun < 1.5 * soundserver.PACTL_S


def test_without_pactl_a_device_is_still_found(
    pulse: PulseServer, monkeypatch: pytest.MonkeyPatch, python: Python, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = devices.find("microphone", "auto")
    assert isinstance(found, devices.Found)
    assert found.endpoint is None
    process = python(LISTEN.format(device="mic", more=""))
    assert line(process)[0] == "open"


def test_the_command_lists_what_a_configuration_would_name(pulse: PulseServer) -> None:
    code = (
        "import argparse; from pipeline.cli import devices as c; p = argparse.ArgumentParser(); c.arguments(p);"
        "raise SystemExit(c.run(p.parse_args()))"
    )
    table = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "microphone *  mic" in table.stdout
    assert "monitor" not in table.stdout
    assert table.stderr == ""
    answer = subprocess.run([sys.executable, "-c", code, "--json"], capture_output=True, text=True, check=True)
    listed = {d["name"]: d for d in json.loads(answer.stdout)["devices"]}
    assert set(listed) == {"mic", "speaker", "mic_feed"}
    assert {16000, 48000} <= set(listed["mic"]["rates"])
    pulse.kill()
    gone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (gone.returncode, gone.stdout) == (69, ""), "no table of nothing"
    assert "start the server" in gone.stderr
