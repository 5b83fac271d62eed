"""Microphone and speaker, opened for two seconds. In a process of its own: a sound card's library may never return.

`python -m pipeline.doctor.sound {"microphone": DEVICE, "speaker": DEVICE, "loud": BOOL}` prints findings as JSON.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from typing import Any, Final

from pipeline.doctor.findings import Finding

LISTEN_S: Final = 1.0
PATIENCE_S: Final = 25.0
QUIET_DBFS: Final = -75.0
"""RMS under which a microphone in a room is switched off, or is not where anybody speaks."""
LOUD_HZ: Final = 880.0
TRACE_DB: Final = 10.0
"""By so much the tone must stand above what the microphone hears without it, at its own frequency."""


def check(microphone: str | None, speaker: str | None, *, loud: bool) -> list[Finding]:
    """Ask a process of its own; what it can't say in time is a finding too. None: a device that nobody needs."""
    if microphone is None and speaker is None:
        return []
    asked = json.dumps({"microphone": microphone, "speaker": speaker, "loud": loud})
    argv = [sys.executable, "-m", "pipeline.doctor.sound", asked]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        remedy = "restart the sound server (systemctl --user restart pipewire or pulseaudio), replug the device"
        return [Finding("sound", "bad", f"no answer within {PATIENCE_S:g} s", remedy)]
    try:
        return [Finding(**found) for found in json.loads(done.stdout)]
    except (ValueError, TypeError):
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return [Finding("sound", "bad", last[:300], "see `voice-pipeline devices`")]


def _measure(asked: dict[str, Any]) -> list[Finding]:
    from pipeline.audio import soundserver

    try:
        served = soundserver.reachable()
    except soundserver.ServerSilent as frozen:
        return [Finding("sound server", "bad", str(frozen), "restart it")]
    findings = [Finding("sound server", "ok", "answers" if served else "none: ALSA alone")]
    heard = None
    if asked["microphone"] is not None:
        microphone, heard = _microphone(asked["microphone"])
        findings.append(microphone)
    if asked["speaker"] is not None:
        findings.append(_speaker(asked["speaker"]))
    if asked["loud"] and heard is not None and asked["speaker"] is not None:
        findings.append(_loop(asked["microphone"], asked["speaker"]))
    return findings


def _microphone(device: str) -> tuple[Finding, float | None]:
    """Opened, and its level in a second of the room."""
    from pipeline.audio import devices
    from pipeline.audio.pcm import level

    found = devices.find("microphone", device)
    if isinstance(found, str):
        return Finding("microphone", "bad", found, "see `voice-pipeline devices`"), None
    try:
        microphone = devices.Microphone(found)
        samples = _listen(microphone, LISTEN_S)
        microphone.close()
    except devices.DeviceLost as error:
        return Finding("microphone", "bad", str(error), "see `voice-pipeline devices`"), None
    dbfs = level(samples).rms_dbfs
    words = f"{found.name}, {microphone.rate} Hz, {dbfs:.0f} dBFS in the room"
    if not samples.any():
        return Finding(
            "microphone", "bad", f"{found.name}: zeros only", "switch it on, unmute it (alsamixer, pavucontrol)"
        ), dbfs
    if dbfs < QUIET_DBFS:
        return Finding(
            "microphone", "warning", words, "speak while this runs; raise its gain if that changes nothing"
        ), dbfs
    if abs(samples).max() >= 32767:
        return Finding("microphone", "warning", f"{words}, clipped", "lower its gain"), dbfs
    return Finding("microphone", "ok", words), dbfs


def _speaker(device: str) -> Finding:
    from pipeline.audio import devices

    found = devices.find("speaker", device)
    if isinstance(found, str):
        return Finding("speaker", "bad", found, "see `voice-pipeline devices`")
    try:
        speaker = devices.Speaker(found)
        speaker.close()
    except devices.DeviceLost as error:
        return Finding("speaker", "bad", str(error), "see `voice-pipeline devices`")
    return Finding("speaker", "ok", f"{found.name}, {speaker.rate} Hz")


def _loop(microphone_name: str, speaker_name: str) -> Finding:
    """Play a tone and listen for it."""
    import numpy as np

    from pipeline.audio import devices

    try:
        ear, mouth = devices.find("microphone", microphone_name), devices.find("speaker", speaker_name)
        assert not isinstance(ear, str)
        assert not isinstance(mouth, str)
        microphone, speaker = devices.Microphone(ear), devices.Speaker(mouth)
        before = _power_at(_listen(microphone, LISTEN_S), microphone.rate)
        places = np.arange(int(speaker.rate * 2 * LISTEN_S)) / speaker.rate
        tone = (8000 * np.sin(2 * np.pi * LOUD_HZ * places)).astype("<i2").tobytes()
        blocks, sent, until = [], 0, time.monotonic() + 2 * LISTEN_S
        while time.monotonic() < until:
            frames = min(speaker.free(), len(tone) // 2 - sent)
            if frames > 0:
                speaker.write(tone[2 * sent : 2 * (sent + frames)])
                sent += frames
            blocks.append(_mixed(microphone.read(), microphone.channels))
        during = _power_at(np.concatenate(blocks[len(blocks) // 3 :]), microphone.rate)
        microphone.close()
        speaker.close()
    except (devices.DeviceLost, AssertionError) as error:
        return Finding("loop", "bad", str(error) or "a device is gone", "see `voice-pipeline devices`")
    gained_db = 10 * math.log10(max(during, 1e-9) / max(before, 1e-9))
    words = f"a tone of {LOUD_HZ:.0f} Hz stands {gained_db:.0f} dB above the room in the microphone"
    if gained_db < TRACE_DB:
        remedy = "raise the volume; see that amplifier and microphone are on and are the ones that people use"
        return Finding("loop", "bad", words, remedy)
    return Finding("loop", "ok", words)


def _listen(microphone: Any, seconds: float) -> Any:
    return _mixed(b"".join(microphone.read() for _ in range(int(seconds * 50))), microphone.channels)


def _mixed(block: bytes, channels: int) -> Any:
    from pipeline.audio import pcm

    return pcm.pick(pcm.to_samples(block, channels), "mix").astype(int)


def _power_at(samples: Any, rate: int) -> float:
    import numpy as np

    places = np.arange(len(samples)) / rate
    return float(abs(np.dot(samples.astype(float), np.exp(-2j * np.pi * LOUD_HZ * places)) / max(1, len(samples))) ** 2)


if __name__ == "__main__":
    print(json.dumps([finding.as_json() for finding in _measure(json.loads(sys.argv[1]))]))
