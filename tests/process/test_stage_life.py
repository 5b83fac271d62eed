"""The Stage library in real processes: the example as printed, replay over kill -9, the nets against orphans."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from pipeline.bus.messages import Audio
from tests.rig.nursery import ROOT, Nursery

pytestmark = pytest.mark.process

RECORDING = ROOT / "tests" / "recordings" / "not_ill_disposed.wav"
SOURCE = {"use": "pipeline.stages.wav_source:WavSource", "emits": ["mic"]}
SINK = {"use": "pipeline.stages.wav_sink:WavSink", "inputs": {"reply": "session"}, "emits": ["played"]}
GAIN = {"use": "gain:Gain", "inputs": {"voice": "frontend"}, "emits": ["voice"], "options": {"db": 6}}


@pytest.fixture
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


def write_gain(folder: Path) -> None:
    """The example of the README, as printed there."""
    code = re.search(r"```python\n(\"\"\"Make quiet.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert code is not None
    (folder / "gain.py").write_text(code[1])


def voice(number: int, value: int = 100) -> Audio:
    return Audio("voice", np.full(320, value, "<i2").tobytes(), 16_000, 1, t=1_000 + number * 20_000_000)


def reply(epoch: int, at: int, value: int, frames: int = 2_400) -> Audio:
    return Audio("reply", np.full(frames, value, "<i2").tobytes(), 24_000, 1, epoch=epoch, at=at)


def states(nursery: Nursery, name: str) -> list[str]:
    return [str(event.body["state"]) for event in nursery.events("state", name)]


def test_the_twenty_line_stage_works_as_printed(run_dir: Path) -> None:
    write_gain(run_dir)
    with Nursery(run_dir, {"frontend": {}, "gain": GAIN}) as nursery:
        frontend = nursery.producer("frontend")
        frontend.offer("voice")
        frontend.event("state", {"state": "live", "reason": "", "replays": ["voice"]}, sticky=True)
        frontend.audio(voice(0))
        nursery.start("gain")

        def louder() -> list[Audio]:
            frontend.pump()
            for request in nursery.events("listening", "gain"):
                frontend.answer(request.body)
            return [audio for stamp, audio in nursery.heard if isinstance(audio, Audio) and stamp.src == "gain"]

        audio = nursery.until(louder)[0]
        assert audio.samples.tolist() == [200] * 320
        assert audio.t == 1_000
        frontend.close()


def test_a_wav_is_spoken_in_real_time_then_silence_goes_on(run_dir: Path) -> None:
    options = {"files": [str(RECORDING)], "lead_s": 0.1, "gap_s": 0.1, "wait_for_reply": False}
    with Nursery(run_dir, {"capture": {**SOURCE, "options": options}}) as nursery:
        nursery.start("capture")
        nursery.until(lambda: nursery.events("source_ended"))
        nursery.until(lambda: len(nursery.audio("mic")) > 0)
        blocks = nursery.audio("mic")
        with wave.open(str(RECORDING)) as file:
            spoken = file.readframes(file.getnframes())
        assert spoken in b"".join(block.pcm for block in blocks)
        times = [block.t for block in blocks if block.t is not None]
        assert {b - a for a, b in itertools.pairwise(times)} == {20_000_000}
        stamps = [stamp for stamp, message in nursery.heard if isinstance(message, Audio) and message.replay is None]
        assert all(stamp.sent >= t + 20_000_000 for stamp, t in zip(stamps, times, strict=True)), "before it was spoken"
        nursery.until(lambda: len(nursery.audio("mic")) > len(blocks) + 10)


def test_the_sink_plays_a_reply_says_what_was_heard_and_its_file_is_valid_at_every_moment(run_dir: Path) -> None:
    with Nursery(run_dir, {"session": {}, "playback": SINK}) as nursery:
        session = nursery.producer("session")
        session.event("state", {"state": "live", "reason": "", "replays": []}, sticky=True)
        nursery.start("playback")
        nursery.until(lambda: (session.pump(), states(nursery, "playback") == ["live"])[1])
        nursery.until_heard(session, b"audio.reply")
        nursery.until(lambda: session.pump() or (run_dir / "reply.wav").exists())
        for number in range(5):
            session.audio(reply(1, number * 2_400, 1_000))
        last = nursery.until(lambda: [e for e in nursery.events("heard") if e.body["at"] == 12_000])
        assert last[0].body == {"epoch": 1, "at": 12_000, "buffered_to": 12_000}
        assert len(nursery.events("audible")) == 1
        with wave.open(str(run_dir / "reply.wav")) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        assert np.count_nonzero(samples == 1_000) == 12_000
        heard = np.flatnonzero(samples)
        assert heard[-1] - heard[0] == 11_999, "a hole in an answer that was all in hand"
        played = nursery.audio("played")
        assert sum(block.frames for block in played) == 12_000
        session.close()


def test_a_flush_silences_what_is_queued_and_late_ones_do_nothing(run_dir: Path) -> None:
    with Nursery(run_dir, {"session": {}, "playback": SINK}) as nursery:
        session = nursery.producer("session")
        session.event("state", {"state": "live", "reason": "", "replays": []}, sticky=True)
        nursery.start("playback")
        nursery.until(lambda: (session.pump(), states(nursery, "playback") == ["live"])[1])
        nursery.until_heard(session, b"audio.reply")
        for number in range(50):
            session.audio(reply(1, number * 2_400, 1_000))
        nursery.until(lambda: nursery.events("audible"))
        session.event("flush", {"epoch": 2, "cause": "interrupted"}, sticky=True)
        session.audio(reply(1, 120_000, 1_000))
        session.audio(reply(2, 0, 2_000))
        session.event("flush", {"epoch": 2, "cause": "interrupted"})
        nursery.until(lambda: [e for e in nursery.events("heard") if e.body["epoch"] == 2 and e.body["at"] == 2_400])
        second = [block for block in nursery.audio("played") if block.epoch == 2]
        assert sum(block.frames for block in second) == 2_400
        after = nursery.audio("played")[nursery.audio("played").index(second[0]) :]
        assert all(block.epoch == 2 for block in after), "what was interrupted played on"
        session.close()


def test_a_stage_gets_again_what_it_missed_while_it_was_dead(run_dir: Path) -> None:
    write_gain(run_dir)
    source = {**SOURCE, "options": {"files": [], "lead_s": 0.0}}
    gain = {**GAIN, "use": "doubling:Doubling", "inputs": {"mic": "capture"}, "emits": ["voice"], "options": {}}
    (run_dir / "doubling.py").write_text(
        "from pipeline import Stage\n"
        "class Doubling(Stage):\n"
        "    emits = ('voice',)\n"
        "    def on_audio(self, audio):\n"
        "        with open(self.run_dir / f'heard.{self.inst}', 'a') as file:\n"
        "            print(audio.t, file=file)\n"
        "        self.emit('voice', audio)\n"
    )
    with Nursery(run_dir, {"capture": source, "gain": gain}) as nursery:
        nursery.start("capture")
        nursery.start("gain")
        nursery.until(lambda: len(nursery.audio("voice")) > 20)
        nursery.kill("gain")
        nursery.start("gain")
        nursery.until(lambda: len([s for s, _ in nursery.heard if s.src == "gain" and s.inst == 2]) > 20)
        # as it heard them: a tap joins when it can, and is owed no replay
        before, after = (set(map(int, (run_dir / f"heard.{inst}").read_text().split())) for inst in (1, 2))
        assert after - before
        times = sorted(before | after)
        steps = {b - a for a, b in itertools.pairwise(times)}
        assert steps == {20_000_000}, "a block is missing around the restart"


def test_a_frozen_reader_catches_up_without_a_hole(run_dir: Path) -> None:
    (run_dir / "copy_stage.py").write_text(
        "from pipeline import Stage\n"
        "class Copy(Stage):\n"
        "    emits = ('voice',)\n"
        "    def on_audio(self, audio):\n"
        "        self.emit('voice', audio)\n"
    )
    copy = {"use": "copy_stage:Copy", "inputs": {"mic": "capture"}, "emits": ["voice"]}
    with Nursery(run_dir, {"capture": {**SOURCE, "options": {"files": []}}, "copy": copy}) as nursery:
        nursery.start("capture")
        process = nursery.start("copy")
        nursery.until(lambda: len(nursery.audio("voice")) > 5)
        os.kill(process.pid, signal.SIGSTOP)
        frozen_at = len(nursery.audio("mic"))
        nursery.until(lambda: len(nursery.audio("mic")) > frozen_at + 50)
        os.kill(process.pid, signal.SIGCONT)
        last = nursery.audio("mic")[-1].t
        nursery.until(lambda: nursery.audio("voice")[-1].t >= last)
        times = [block.t for block in nursery.audio("voice") if block.t is not None]
        assert {b - a for a, b in itertools.pairwise(times)} == {20_000_000}


def test_a_stage_beats_in_every_state_and_counts_what_passes(run_dir: Path) -> None:
    with Nursery(run_dir, {"capture": {**SOURCE, "options": {"files": []}}}) as nursery:
        nursery.start("capture")

        def beats() -> list[dict[str, object]]:
            return [message for _, message in nursery.said if message["kind"] == "beat"]

        nursery.until(lambda: len(beats()) >= 3)
        kinds = [message["kind"] for _, message in nursery.said]
        assert kinds[:2] == ["hello", "primed"]
        assert beats()[-1]["state"] == "live"
        assert beats()[-1]["counts"]["out"]["mic"] > 10  # type: ignore[index]


def test_an_ordered_stop_says_bye_and_exits_0(run_dir: Path) -> None:
    with Nursery(run_dir, {"capture": {**SOURCE, "options": {"files": []}}}) as nursery:
        process = nursery.start("capture")
        nursery.until(lambda: nursery.audio("mic"))
        nursery.tell("capture", "stop", grace_s=2.0)
        nursery.until(lambda: process.poll() is not None)
        assert process.returncode == 0
        assert nursery.until(lambda: [m for _, m in nursery.said if m["kind"] == "bye"])[0]["reason"] == "stop"


@pytest.mark.parametrize(
    ("code", "options", "complaint"),
    [
        ("import nothing_of_this_name", {}, "nothing_of_this_name"),
        ("from pipeline import Stage\nclass Mine(Stage):\n    db: float = 1.0\n", {"db": "loud"}, "db"),
        ("from pipeline import Stage\nclass Mine(Stage):\n    db: float = 1.0\n", {"dbb": 3}, "dbb"),
        ("class Mine: pass", {}, "Stage"),
    ],
)
def test_a_stage_that_cannot_be_built_exits_78_and_says_why(
    run_dir: Path, code: str, options: dict[str, object], complaint: str
) -> None:
    (run_dir / "mine.py").write_text(code)
    with Nursery(run_dir, {"mine": {"use": "mine:Mine", "options": options}}) as nursery:
        process = nursery.start("mine")
        nursery.until(lambda: process.poll() is not None)
        assert process.returncode == 78
        assert complaint in (run_dir / "mine.stderr").read_text()


def test_an_exception_of_a_stage_is_a_crash_with_its_traceback(run_dir: Path) -> None:
    (run_dir / "mine.py").write_text(
        "from pipeline import Stage\nclass Mine(Stage):\n    def step(self):\n        raise ZeroDivisionError('mine')\n"
    )
    with Nursery(run_dir, {"mine": {"use": "mine:Mine"}}) as nursery:
        process = nursery.start("mine")
        nursery.until(lambda: process.poll() is not None)
        assert process.returncode == 1
        assert "ZeroDivisionError" in (run_dir / "mine.stderr").read_text()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_exception_in_a_callback_ends_the_process_in_both_loops(run_dir: Path, kind: str) -> None:
    runner = (
        "    async def run(self):\n        import asyncio\n        await asyncio.sleep(60)\n" if kind == "async" else ""
    )
    (run_dir / "mine.py").write_text(
        "from pipeline import Stage\nclass Mine(Stage):\n"
        "    def start(self):\n        self.after(0.05, lambda: 1 / 0)\n" + runner
    )
    with Nursery(run_dir, {"mine": {"use": "mine:Mine"}}) as nursery:
        process = nursery.start("mine")
        nursery.until(lambda: process.poll() is not None)
        assert process.returncode == 1


def test_nothing_outlives_its_parent(run_dir: Path) -> None:
    """A supervisor that is killed takes a stage with it, also one that hangs in a native call."""
    (run_dir / "mine.py").write_text(
        "import ctypes\nfrom pipeline import Stage\nclass Mine(Stage):\n"
        "    def step(self):\n        print('hanging', flush=True)\n        ctypes.PyDLL(None).sleep(60)\n"
    )
    parent_code = (
        "import sys, json, os, subprocess, msgpack, zmq\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\nfrom tests.rig.nursery import Nursery\n"
        f"nursery = Nursery(Path({str(run_dir)!r}), {{'mine': {{'use': 'mine:Mine'}}}})\n"
        "process = nursery.start('mine')\n"
        "print(process.pid, flush=True)\n"
        "nursery.until(lambda: False, 60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert "hanging" in parent.stdout.readline()
    parent.kill()
    parent.wait()
    end = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]:
        assert time.monotonic() < end, "the stage outlived its parent"
        time.sleep(0.01)


def test_a_stage_that_crashed_twice_in_a_row_is_not_given_again_what_may_have_ended_it(run_dir: Path) -> None:
    write_gain(run_dir)
    with Nursery(run_dir, {"frontend": {}, "gain": {**GAIN, "crashes": 2}}) as nursery:
        frontend = nursery.producer("frontend")
        frontend.audio(voice(0))
        frontend.event("state", {"state": "live", "reason": "", "replays": ["voice"]}, sticky=True)
        nursery.start("gain")
        number = 0

        def after() -> list[Audio]:
            nonlocal number
            frontend.pump()
            frontend.audio(voice(number := number + 1))
            return [audio for stamp, audio in nursery.heard if isinstance(audio, Audio) and stamp.src == "gain"]

        first = nursery.until(after)[0]
        assert first.t > voice(0).t
        assert not nursery.events("listening", "gain")
        frontend.close()
