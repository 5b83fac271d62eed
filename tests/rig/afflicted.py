"""A kiosk to which things happen: on a private sound server, with a service of its own, in a network and on a disk of
its own where that is allowed. `status` is asked meanwhile, as a person would.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import yaml

from tests.rig.machine import ROOT, Machine, Service, alive
from tests.rig.pulse import PulseServer, ahead

VOICES = ROOT / "tests" / "recordings"
KEY, OTHER_KEY = "key-of-the-test", "key-that-was-taken-back"
DISK_KB = 2_000
HISS_S = 900
HERE, FAR = "127.0.0.1 localhost\n", "10.77.0.9 localhost\n"
"""Lines of /etc/hosts. The other address is on a wire at whose other end nobody is."""
SCRIPT = f"""
version: 1
keys: [{KEY}]
spoken: [{{say: "Goodbye, and enjoy your visit."}}]
text: [{{say: "Goodbye, and enjoy your visit."}}]
"""
GAIN = '''
from pathlib import Path
from pipeline import Audio, Stage

HERE = Path(__file__).parent
if (HERE / "no_import").exists():
    import a_library_that_nobody_installed

class Gain(Stage):
    """A shop's own stage."""
    reads = ("voice",)
    emits = ("voice",)

    def start(self) -> None:
        if (HERE / "raises").exists():
            raise ValueError("no calibration for this room")

    def on_audio(self, audio: Audio) -> None:
        self.emit("voice", audio)
'''
TELL = "import ssl, sys, urllib.request as u; u.urlopen(sys.argv[1], sys.argv[2].encode(), 5, context=ssl.create_default_context(cafile=sys.argv[3]))"  # noqa: E501


def network() -> str:
    """The name of a new network namespace; "" where none is to be had."""
    name = f"vp{os.getpid()}"
    try:
        subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True)
        wire = ("tuntap add dev far mode tun", "addr add 10.77.0.1/24 dev far", "link set far up")
        for words in ("link set lo up", *wire):
            subprocess.run(["ip", "-n", name, *words.split()], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        return ""
    return name


class Afflicted:
    """Use as a context manager; `start` starts it, as often as it ended."""

    def __init__(self, home: Path, pulse: PulseServer) -> None:
        self.home, self.pulse = home, pulse
        self.shop = home / "shop"
        self.shop.mkdir()
        (home / "script.yaml").write_text(SCRIPT)
        (self.shop / "gain.py").write_text(GAIN)
        self.key_file = self.shop / "key"
        self.key_file.write_text(KEY)
        self.state_dir = home / "state" / "voice-pipeline" / "shop"
        self.state_dir.mkdir(parents=True)
        self.hosts = home / "hosts"
        """Who is known by name: the service is `localhost`."""
        self.hosts.write_text(HERE)
        self.net, self.inside = "", list[str]()
        self._hiss = (
            home / "hiss.raw"
        )  # faint by itself: PipeWire 0.3.65 does not heed the volume of a stream that begins
        np.random.default_rng(1).integers(-32, 33, HISS_S * 16_000, np.int16).tofile(self._hiss)
        self._ends = contextlib.ExitStack()
        self._noise: subprocess.Popen[bytes] | None = None
        self._running: list[subprocess.Popen[Any]] = []

    def __enter__(self) -> Self:
        self._ends.callback(self._end)
        self.net = network()
        if self.net:
            self.inside = ["ip", "netns", "exec", self.net]
            self._ends.callback(subprocess.run, ["ip", "netns", "del", self.net], check=False)
        self.service = Service(self.home, str(self.home / "script.yaml"), inside=self.inside)
        self._ends.callback(self.service.kill)
        self.configure()
        self.room()
        return self

    def start(self) -> None:
        """`voice-pipeline run shop.yaml`; on a small disk, of which only what was there before `start` is left."""
        disk = []
        if self.net:
            new = self.home / "disk"
            new.mkdir(exist_ok=True)
            steps = f"mount -t tmpfs -o size={DISK_KB}k none {new} && cp -a {self.state_dir}/. {new} && "
            steps += f"mount --move {new} {self.state_dir} && mount --bind {self.hosts} /etc/hosts"
            disk = ["sh", "-c", f'{steps} && exec "$@"', "sh"]
        places = {name: self.pulse.env[name] for name in ("XDG_RUNTIME_DIR", "HOME")}
        environ = {**self.service.environ, **places}
        environ["GOOGLE_GEMINI_BASE_URL"] = f"https://localhost:{self.service.port}"
        self.machine = Machine(self.home, str(self.shop / "shop.yaml"), (), environ, [*self.inside, *disk])
        self._ends.enter_context(self.machine)

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def _end(self) -> None:
        for process in (*self._running, *([self._noise] if self._noise else [])):
            process.kill()
            process.wait()

    # -- the room and the people in it

    def room(self) -> None:
        """A microphone never hears nothing."""
        if self._noise is None or self._noise.poll() is not None:
            self._noise = ahead(subprocess.Popen(
                ["pacat", "--playback", "-d", "mic_feed", "--raw", "--latency-msec=20", "--rate=16000", "--channels=1",
                 str(self._hiss)],
                env=self.pulse.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            ))  # fmt: skip

    def echo(self, late_ms: int = 30) -> None:
        """The microphone hears the speaker, so late. Only while that matters: a busy machine's loopback is later than
        any gate stays closed, and the kiosk answers itself."""
        self.pulse.pactl("load-module", "module-loopback", "source=speaker.monitor", "sink=mic_feed",
                         f"latency_msec={late_ms}", "sink_dont_move=true", "source_dont_move=true")  # fmt: skip

    def no_echo(self) -> None:
        """The microphone hears the speaker no more."""
        modules = self.pulse.pactl("list", "short", "modules").splitlines()
        self.pulse.unload(next(int(line.split("\t")[0]) for line in modules if "module-loopback" in line))

    def speaks(self) -> None:
        """A person says a sentence."""
        self.pulse.play(VOICES / "made_amiable.wav", wait=False)

    def asks(self) -> None:
        """A text is to be answered."""
        self.command("say", "What is there to see?")

    # -- what is changed

    def configure(self, **stages: Any) -> None:
        """The shop's configuration, with these tables laid over it."""
        tables: dict[str, Any] = {
            "gain": {"use": "gain:Gain", "inputs": {"voice": "frontend/voice"}},
            "session": {
                "inputs": {"voice": "gain/voice"}, "key_file": "key", "opens": "always", "greeting": None, "idle_s": 0
            },
            "capture": {"device": "mic"},
            # neither a canceller is tried here, nor whether a busy machine's loopback carries an echo
            "frontend": {"aec": "half_duplex", "self_test": "none"},
            "playback": {"device": "speaker", "offline_after_s": 60},
        }  # fmt: skip
        for name, table in stages.items():
            tables[name] = {**tables.get(name, {}), **table}
        whole = {"extends": str(ROOT / "configs" / "kiosk.yaml"), "name": "shop", "stages": tables}
        (self.shop / "shop.yaml").write_text(yaml.safe_dump(whole))

    def reload(self, stage: str = "session", **options: Any) -> None:
        """The running pipeline with these options of a stage, as soon as its new process works."""
        before, was = self.inst(stage), (self.shop / "shop.yaml").read_text()
        self.configure(**({stage: options} if options else {}))
        if (self.shop / "shop.yaml").read_text() == was:
            return
        self.background("reload")
        self.machine.until(lambda: self.inst(stage) > before)

    def inst(self, stage: str) -> int:
        """Which process of the stage said its state last."""
        return max((event.inst for event in self.machine.events("state") if event.src == stage), default=0)

    def pid(self, stage: str) -> int:
        """Of its process; 0 while there is none."""
        return self.machine.processes().get(stage, 0)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of the command line."""
        return self.machine.command(*words)

    def background(self, *words: str) -> None:
        """One that takes its time."""
        argv = [sys.executable, "-m", "pipeline", *words]
        quiet = subprocess.DEVNULL
        self._running.append(
            subprocess.Popen(argv, env=self.machine.environ, cwd=self.home, stdout=quiet, stderr=quiet)
        )

    def until_answered(self) -> None:
        """Until nobody waits for an answer, so that the next fault finds a kiosk at rest."""
        events = self.machine.events
        self.machine.until(lambda: len(events("turn_started")) <= len(events("turn_ended")))

    def settle(self) -> None:
        """Until what was asked for in the background has come to its end."""
        for process in self._running:
            process.wait(60)
        self._running.clear()

    def service_does(self, *faults: dict[str, Any]) -> None:
        """Have the service do things at moments of its own."""
        url = f"https://127.0.0.1:{self.service.port}/_faults"
        argv = [*self.inside, sys.executable, "-c", TELL, url, json.dumps(faults), self.service.cert]
        subprocess.run(argv, check=True, timeout=20)

    def service_again(self) -> None:
        """The service as it was at first."""
        self.service.process.send_signal(signal.SIGCONT)
        self.service.kill()
        self.service.start()

    def stopped(self) -> None:
        """Its supervisor stands still until the end."""
        self.machine.process.send_signal(signal.SIGSTOP)

    def disk(self) -> Path:
        """The state directory as the kiosk sees it."""
        return Path(f"/proc/{self.machine.process.pid}/root{self.state_dir}")

    # -- looking on

    def line(self) -> str:
        """Line 1 of `status`: what a person who types it reads first."""
        done = self.command("status")
        return ((done.stdout or done.stderr).splitlines() or [""])[0]

    def line_s(self) -> float:
        """How long `status` takes."""
        begun = time.monotonic()
        self.line()
        return time.monotonic() - begun

    def until_line(
        self, fits: Callable[[str], bool], within_s: float, meanwhile: Callable[[], None] = lambda: None
    ) -> tuple[str, int]:
        """(line, when it was there in ns); asks again and again. AssertionError with the lines that came instead."""
        end, seen = time.monotonic() + within_s, dict[str, None]()
        while True:
            meanwhile()
            line = self.line()
            now_ns = time.monotonic_ns()
            self.machine.pump()
            if fits(line):
                return line, now_ns
            seen[line] = None
            if time.monotonic() > end:
                raise AssertionError("these lines instead:\n" + "\n".join(seen))
            self._until_something_is_said(0.25)

    def _until_something_is_said(self, within_s: float) -> None:
        """A command without end takes a core from the kiosk that it asks."""
        said, end = len(self.machine.events("verdict")), time.monotonic() + within_s
        while len(self.machine.events("verdict")) == said and time.monotonic() < end:
            time.sleep(0.01)
            self.machine.pump()

    def strike(self, stage: str, number: int) -> None:
        """Send the signal to the process of a stage; not to one that is on trial: what it replaced would come back."""
        self.settle()
        pid = self.pid(stage)
        if pid and alive(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
