"""From `speech_started` to a quieter machine at the speaker's monitor: front end and playback as they are deployed."""

from __future__ import annotations

import time
import wave
from pathlib import Path

import numpy as np

from scripts.benchmarks.figures import Figure
from scripts.benchmarks.rooms import Room
from scripts.benchmarks.speaker import Listener
from tests.rig.fakes import Speaks, recording, tone
from tests.rig.nursery import Nursery

AMPLITUDE = 12_000
DUCKED = AMPLITUDE * 10 ** (-(12 - 1.5) / 20)
"""Of the tone at the monitor, -12 dB and what the ear may miss: a piece of 2 ms is one wave of it."""
SAID_S = 0.9
WITHIN_S = 0.12
"""Not ducked by then is not ducked."""
STAGES = {
    "supervisor": {},
    "session": {},
    "capture": {"use": "pipeline.stages.capture:Capture", "emits": ["mic"]},
    "frontend": {
        "use": "pipeline.stages.frontend:Frontend",
        "inputs": {"mic": "capture", "played": "playback"},
        "emits": ["voice"],
        "options": {"aec": "none", "self_test": "none"},
    },
    "playback": {
        "use": "pipeline.stages.playback:Playback",
        "inputs": {"reply": "session"},
        "emits": ["played"],
        "options": {"volume": 100},
    },
}


def run(room: Room) -> list[Figure]:
    """100 words spoken into an answer (40 as usual)."""
    home = room.home("duck")
    word = _word(home / "word.wav")
    took, missed = [], 0
    with (
        room.sound() as pulse,
        Nursery(home, STAGES, pulse.env) as nursery,
        Speaks(nursery, "session", "reply") as session,
    ):
        for name in ("capture", "frontend", "playback"):
            nursery.start(name)
        nursery.until(
            lambda: {e.src for e in nursery.events("state") if e.body["state"] == "live"} >= set(nursery.processes)
        )
        time.sleep(3.0)  # the null sinks render ahead until then: nothing measured before is true
        with Listener(pulse.env) as ear:
            for epoch in range(1, 2 * room.times(100, 40, 5), 2):
                said = session.answer(epoch, tone(4.0, amplitude=AMPLITUDE))
                nursery.until(lambda: [at for at, part in ear.since(said) if part.max() > DUCKED])  # noqa: B023
                time.sleep(0.3)
                before = len(nursery.events("speech_started"))
                player = pulse.play(word, wait=False)
                started = nursery.until(lambda: nursery.events("speech_started")[before:])[0]  # noqa: B023
                begun_s = started.sent / 1e9
                time.sleep(WITHIN_S + 0.05)
                loud = [at for at, part in ear.since(begun_s) if part.max() > DUCKED and at < begun_s + WITHIN_S]
                ducked = bool(loud) and loud[-1] < begun_s + WITHIN_S - 0.01
                took += [(loud[-1] - begun_s) * 1000] if ducked else []
                missed += not ducked
                session.event("flush", sticky=True, epoch=epoch + 1, cause="interrupted")
                player.wait(10)
                nursery.until(  # whatever else it took for speech, too
                    lambda: len(nursery.events("speech_ended")) == len(nursery.events("speech_started"))
                )
    broken = [f"{missed} times it was not ducked"] if missed else []
    note = "10.5 dB quieter, heard in pieces of 2 ms; three periods of 10.7 ms are queued, and the fade takes 5"
    return [Figure("speech_started to ducked at the monitor", "ms", took, p99=40.0, broken=broken, note=note)]


def _word(path: Path) -> Path:
    """The beginning of a sentence."""
    spoken = recording("made_amiable.wav")
    begin = int(np.flatnonzero(np.abs(spoken) > 1_000)[0])
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(16_000)
        wav.writeframes(spoken[max(0, begin - 1_600) : begin + int(SAID_S * 16_000)].tobytes())
    return path
