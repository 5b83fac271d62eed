"""Recording a conversation from the bus, and holding it again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pipeline import Audio
from pipeline.bus.tape import Tape
from scripts.benchmarks.tape import alike
from tests.rig.machine import ROOT, Machine

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

VOICES = ROOT / "tests" / "recordings"
NAMES = ("not_ill_disposed", "cold_hearted", "made_amiable")
SHORT = (
    f"stages.simulator={{script: {ROOT}/tests/rig/short_answers.yaml, notice: false}}",
    f"stages.capture.files=[{', '.join(f'{VOICES}/{name}.wav' for name in NAMES)}]",
    "stages.capture.lead_s=1.0",
    "stages.capture.gap_s=3.0",  # a service that is slower the next time must not be spoken over
)
SECRET = "s3cret-of-the-kiosk"


@contextmanager
def recording(machine: Machine, tape: Path, *words: str) -> Iterator[None]:
    """`record` beside a machine, from before its first message to after its last."""
    argv = [sys.executable, "-m", "pipeline", "record", str(tape), *words]
    process = subprocess.Popen(argv, env=machine.environ, text=True, stderr=subprocess.PIPE)
    try:
        yield
        assert os.getpriority(os.PRIO_PROCESS, process.pid) > os.getpriority(os.PRIO_PROCESS, 0), "it stands back"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 0, said
        assert "messages" in said
    finally:
        process.kill()
        process.wait()


def microphone_of(tape: Path) -> tuple[list[bytes], int]:
    """Its blocks in order, and how many there were when the recording ended the conversation."""
    mic: list[bytes] = []
    end = 0
    for entry in Tape(tape).entries():
        if entry.topic == "audio.mic" and entry.fields.get("replay") is None:
            mic.append(entry.fields["pcm"])
        elif entry.topic == "event.source_ended":
            end = len(mic)
    return mic, end


def test_a_conversation_is_recorded_without_words_or_sound_and_held_again_from_the_tape(tmp_path: Path) -> None:
    whole, discreet = tmp_path / "whole.tape", tmp_path / "discreet.tape"
    first, second = tmp_path / "first", tmp_path / "second"
    environ = {"SHOP_PASSWORD": SECRET}
    with (
        Machine(first, "demo.yaml", SHORT, environ) as machine,
        recording(machine, whole, "--privacy", "everything"),
        recording(machine, discreet, "--privacy", "no_words", "event.*"),
    ):
        machine.until(lambda: machine.events("connection", up=True))
        machine.command("trigger", "--by", SECRET)
        machine.until(lambda: machine.events("trigger", by=SECRET))
        machine.until(lambda: machine.process.poll() is not None, 90)
        machine.pump()
        said = {who: machine.captions(who) for who in ("machine", "person")}
    assert len(said["machine"]) == len(said["person"]) == len(NAMES)
    assert said["machine"][0].encode() in whole.read_bytes()
    assert not any(caption.encode() in discreet.read_bytes() for caption in said["machine"])
    assert not any(entry.fields.get("pcm") for entry in Tape(discreet).entries())
    for tape in (whole, discreet):
        assert SECRET.encode() not in tape.read_bytes()

    tape = [sys.executable, "-m", "pipeline", "tape"]
    subprocess.run([*tape, "wav", str(whole)], check=True, capture_output=True, timeout=30)
    with wave.open(str(whole.with_suffix(".wav"))) as file:
        sides = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    assert (np.abs(sides).max(axis=0) > 1000).all(), "the person on the left, the machine on the right"

    torn = tmp_path / "torn.tape"
    torn.write_bytes(whole.read_bytes()[:-100])
    done = subprocess.run([*tape, "vtt", str(torn)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 65
    assert "damaged at byte" in done.stderr
    assert said["machine"][0].split(".")[0] in torn.with_suffix(".vtt").read_text()

    replayed = (
        SHORT[0],
        "stages.capture.use=pipeline.stages.replay",
        "stages.capture.emits=[mic]",
        f"stages.capture.tape={whole}",
    )
    with Machine(second, "demo.yaml", replayed) as machine:
        machine.until(lambda: machine.process.poll() is not None, 90)
        machine.pump()
        assert machine.process.returncode == 0
        for who, words in said.items():
            pairs = zip(words, machine.captions(who), strict=True)
            assert all(alike((who, one), (who, other)) for one, other in pairs), "the same words, in the same order"
        ended = machine.events("turn_ended", kind="speech")
        assert [event.body["outcome"] for event in ended] == len(NAMES) * ["answered"]
        again = [
            (stamp.seq, m.pcm) for stamp, m in machine.heard if stamp.topic == "audio.mic" and isinstance(m, Audio)
        ]
    mic, end = microphone_of(whole)
    assert {seq for seq, _ in again} >= set(range(again[0][0], end)), "each block to the word with which it ended"
    assert all(pcm == mic[seq] for seq, pcm in again)
