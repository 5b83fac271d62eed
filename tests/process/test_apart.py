"""A stage on another machine: two network namespaces, two clocks, a cable with loss that is cut for ten seconds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig.two_machines import Cable

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
HOUR_S = 3600
CUT_S = 10.0
STAGES = '''
import time
import numpy as np
from pipeline import Audio, Stage

class Teller(Stage):
    """Numbers each block."""
    emits = ("voice",)

    def start(self) -> None:
        self.count, self.due, self.began_ns = 0, time.monotonic(), self.now_ns()

    def step(self) -> float:
        while self.due <= time.monotonic():
            samples = np.full(320, self.count % 30_000, np.int16)
            t = self.began_ns + self.count * 20_000_000  # without a seam: by their places blocks are known again
            self.emit("voice", Audio("voice", samples.tobytes(), 16_000, 1, t=t))
            self.count, self.due = self.count + 1, self.due + 0.02
        return max(0.0, self.due - time.monotonic())

    def on_mute(self, event) -> None:
        self.tell("level", muted=event.body["muted"])

class Taker(Stage):
    """Writes down what comes, and how old it is."""
    reads = ("voice",)

    def start(self) -> None:
        self.file = open(self.run_dir / "taken", "a", buffering=1)

    def on_level(self, event) -> None:
        (self.run_dir / "heard").write_text(str(event.body["muted"]))

    def on_audio(self, audio: Audio) -> None:
        self.file.write(f"{audio.samples[0]} {(self.now_ns() - audio.t) / 1e6:.1f} {bool(audio.replay)}\\n")
'''
STRANGER = """
import sys, time, zmq
context, (control, *writers), server = zmq.Context(), sys.argv[2:], sys.argv[1].encode()
def connected(kind, endpoint, keys):
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    if keys:
        socket.curve_publickey, socket.curve_secretkey, socket.curve_serverkey = *zmq.curve_keypair(), server
    socket.setsockopt(zmq.SUBSCRIBE, b"") if kind == zmq.SUB else socket.setsockopt(zmq.IDENTITY, b"cli/1")
    socket.connect(endpoint)
    return socket
readers = [connected(zmq.SUB, writer, keys) for writer in writers for keys in (False, True)]
speakers = [connected(zmq.DEALER, control, keys) for keys in (False, True)]
end = time.monotonic() + 2
while time.monotonic() < end:
    for speaker in speakers:
        try:
            speaker.send(b"\\x82\\xa1v\\x01\\xa4kind\\xa4stop", zmq.NOBLOCK)
        except zmq.Again:  # it was thrown out
            pass
    time.sleep(0.1)
print("STRANGER READ", sum(socket.poll(0) for socket in readers + speakers))
"""
CONFIG = """
name: apart
curve: {{folder: keys, name: booth, allow: [hall], control: 'tcp://{booth}:{p}0', events: 'tcp://{booth}:{p}1'}}
stages:
  teller: {{use: 'told:Teller', remote: hall, endpoint: 'tcp://{hall}:{p}2'}}
  taker: {{use: 'told:Taker', endpoint: 'tcp://{booth}:{p}3'}}
"""


class Machines:
    """The supervisor's machine `booth`, and `hall`, where one stage runs."""

    def __init__(self, home: Path, cable: Cable | None) -> None:
        self.home, self.cable = home, cable
        self.port = 2000 + os.getpid() % 1000
        """All but the last digit."""
        addresses = cable.ends if cable else {"booth": "127.0.0.1", "hall": "127.0.0.1"}
        self.booth, self.hall = list(addresses.items())
        for name, other in (("booth", "hall"), ("hall", "booth")):
            self.command(name, "keys", "new", name, "--in", str(home / name / "keys")).wait()
            (home / other / "keys").mkdir(parents=True, exist_ok=True)
            shutil.copy(home / name / "keys" / f"{name}.key", home / other / "keys")
            (home / name / "told.py").write_text(STAGES)
        (home / "booth" / "apart.yaml").write_text(CONFIG.format(booth=self.booth[1], hall=self.hall[1], p=self.port))
        self.processes: list[subprocess.Popen[bytes]] = []

    def command(self, machine: str, *words: str, apart: bool = False, output: Any = None) -> subprocess.Popen[bytes]:
        """`voice-pipeline WORDS…` on a machine; `apart`: in its namespace, and hall's clock is another one."""
        inside: list[str] = []
        if apart and self.cable:
            inside = ["ip", "netns", "exec", self.booth[0] if machine == "booth" else self.hall[0]]
            if machine == "hall":
                inside += ["unshare", "-T", "--monotonic", str(HOUR_S), "--fork", "--kill-child"]
        run_dir = self.home / machine / "run"
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "PIPELINE_RUN_DIR": str(run_dir)}
        environ["STATE_DIRECTORY"] = str(self.home / machine / "state")
        with (self.home / f"{machine}.log").open("ab") as log:
            return subprocess.Popen(
                [*inside, sys.executable, "-m", "pipeline", *words],
                cwd=self.home / machine if (self.home / machine).exists() else self.home,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output or log,
                stderr=log,
            )

    def start(self) -> None:
        self.supervise()
        words = ["join", "teller", "--at", f"tcp://{self.booth[1]}:{self.port}0", "--server", "booth", "--as", "hall"]
        self.processes.append(self.command("hall", *words, apart=True))

    def supervise(self) -> None:
        self.run = self.command("booth", "run", "apart.yaml", apart=True)
        self.processes.append(self.run)

    def tellers(self) -> list[int]:
        """Process ids of the stage over there, so far."""
        lines = [line for line in (self.home / "hall.log").read_text().splitlines() if line.startswith("{")]
        return [line["pid"] for line in map(json.loads, lines) if line["event"] == "stage started"]

    def heard(self) -> str:
        """Of mute, by way of the stage over there."""
        file = self.home / "booth" / "run" / "heard"
        return file.read_text() if file.exists() else ""

    def ask(self, kind: str) -> None:
        """A person's command."""
        from pipeline.supervisor.client import ask

        assert ask(self.home / "booth" / "run", kind)["ok"]

    def taken(self) -> list[tuple[int, float, bool]]:
        """Number, age in ms, replayed; of each block that came."""
        file = self.home / "booth" / "run" / "taken"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(int(line.split()[0]), float(line.split()[1]), line.endswith("True")) for line in lines]

    def status(self) -> dict[str, Any]:
        from pipeline.supervisor.client import NoAnswer, ask

        try:
            return ask(self.home / "booth" / "run", "status")
        except NoAnswer:
            return {}

    def teller(self) -> tuple[str, str]:
        stage = self.status().get("stages", {}).get("teller", {})
        return stage.get("state", ""), stage.get("reason", "")

    def until(self, done: Any, within_s: float = 20.0) -> None:
        end = time.monotonic() + within_s
        while not done():
            assert time.monotonic() < end, self.log()
            time.sleep(0.1)

    def log(self) -> str:
        return "\n".join((self.home / f"{name}.log").read_text()[-6000:] for name in ("booth", "hall"))

    def close(self) -> None:
        for process in reversed(self.processes):
            inner = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            inside = inner.read_text().split() if process is not self.run and process.poll() is None else []
            os.kill(int(inside[0]), signal.SIGTERM) if self.cable and inside else process.terminate()
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    names = {f"booth{os.getpid()}": "10.77.3.1", f"hall{os.getpid()}": "10.77.3.2"}
    try:
        cable = Cable(names, loss=0.02)
        cable.__enter__()
    except OSError:
        cable = None  # no root, no namespaces: over the loopback, where nothing can be cut
    found = Machines(tmp_path, cable)
    yield found
    found.close()
    if cable is not None:
        cable.__exit__()


def test_a_stranger_in_the_same_network_reads_nothing_and_stops_nothing(machines: Machines) -> None:
    machines.start()
    machines.until(lambda: len(machines.taken()) > 10)
    key = (machines.home / "booth" / "keys" / "booth.key").read_text().partition('"')[2][:40]
    ports = [f"tcp://{machines.booth[1]}:{machines.port}{each}" for each in (0, 1, 3)]
    (machines.home / "stranger.py").write_text(STRANGER)
    inside = ["ip", "netns", "exec", machines.hall[0]] if machines.cable else []
    words = [
        *inside,
        sys.executable,
        str(machines.home / "stranger.py"),
        key,
        *ports,
        f"tcp://{machines.hall[1]}:{machines.port}2",
    ]
    before = len(machines.taken())
    with (machines.home / "tapped").open("wb") as output:
        tap = machines.command("booth", "tap", "--json", "audio.voice", apart=True, output=output)
    said = subprocess.run(words, capture_output=True, text=True, timeout=20)
    tap.send_signal(signal.SIGINT)
    tap.wait(5)
    assert said.stdout == "STRANGER READ 0\n", said.stderr
    assert machines.run.poll() is None
    assert len(machines.taken()) > before + 50
    assert (machines.home / "tapped").read_text().count('"src": "teller"') > 20  # one of this machine reads on


def test_a_stage_on_another_machine_with_loss_and_a_cut(machines: Machines) -> None:
    machines.start()
    machines.until(lambda: sum(not replayed for _, _, replayed in machines.taken()) > 25)
    machines.until(lambda: machines.teller()[0] == "live")
    ages = sorted(age for _, age, replayed in machines.taken() if not replayed)
    assert -5.0 < ages[len(ages) // 2] < 250.0, ages  # an hour, if the clocks had not been brought together
    if machines.cable is not None:
        machines.cable.cut = True
        time.sleep(CUT_S)
        assert machines.teller()[0] == "degraded"
        assert "power and its network" in machines.teller()[1]
        during = machines.taken()[-1][0]
        machines.cable.cut = False
        machines.until(lambda: machines.taken()[-1][0] > during + 600)
        machines.until(lambda: machines.teller()[0] == "live")
    numbers = [number for number, _, _ in machines.taken()]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))  # all, once, in order
    told = json.loads((machines.home / "booth" / "run" / "bus.json").read_text())
    secret = (machines.home / "booth" / "keys" / "booth.key_secret").read_text().rpartition('secret-key = "')[2][:40]
    assert secret not in json.dumps(told)
    assert secret not in machines.log()

    machines.ask("mute")
    machines.until(lambda: machines.heard() == "True")
    os.kill(machines.tellers()[-1], signal.SIGKILL)  # is started again over there, as the supervisor here wants it
    machines.until(lambda: len(machines.tellers()) == 2)
    machines.until(lambda: machines.teller()[0] == "live")
    os.kill(machines.tellers()[-1], signal.SIGSTOP)  # its `join` is heard and it is not: it hangs
    machines.until(lambda: len(machines.tellers()) == 3, 40)
    machines.until(lambda: machines.teller()[0] == "live")
    machines.run.kill()
    machines.run.wait()
    machines.supervise()  # another one: it tells what is left of the old one's to stop, and has a stage of its own
    machines.until(lambda: len(machines.tellers()) == 4)
    machines.until(lambda: machines.teller()[0] == "live")
    machines.run.send_signal(signal.SIGTERM)
    assert machines.run.wait(10) == 0, machines.log()
