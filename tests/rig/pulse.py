"""A private sound server: own run directory, own home, a virtual microphone and a virtual speaker.

    speech.wav -> [sink mic_feed] -> source `mic`        (what capture opens)
    playback   -> [sink speaker]  -> `speaker.monitor`   (what a person would hear)

Nothing of the machine's own sound is touched. Everything is started, stopped and killed by pid.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAMS = ("pulseaudio", "pactl", "pacat", "parec", "paplay")
MISSING = "the device tests start their own PulseAudio, which is missing here: sudo apt-get install -y pulseaudio"


def available() -> bool:
    """Whether the sound server's programs are installed."""
    return all(shutil.which(program) for program in PROGRAMS)


def wait_until(condition: Callable[[], bool], within_s: float, what: str) -> float:
    """Poll `condition` each 5 ms. Seconds until it held; AssertionError naming `what` after `within_s`."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > within_s:
            raise AssertionError(f"not within {within_s} s: {what}")
        time.sleep(0.005)
    return time.monotonic() - begun


def ahead(process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """Let it run before others, where that is allowed: the world does not stop because a machine is busy."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, -11)  # what a sound server gives itself
    return process


class PulseServer:
    """`with PulseServer() as pulse:` a server with `mic` and `speaker`; `start=False`: the place for one."""

    def __init__(self, *, start: bool = True) -> None:
        if not available():
            raise RuntimeError(MISSING)
        self._place = tempfile.TemporaryDirectory(prefix="pulse-")
        self.dir = Path(self._place.name)
        for name in ("run", "home"):
            (self.dir / name).mkdir(mode=0o700)
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._children: list[subprocess.Popen[bytes]] = []
        self._keepers: list[subprocess.Popen[bytes]] = []
        if start:
            self.start()

    def __enter__(self) -> PulseServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the server

    @property
    def env(self) -> dict[str, str]:
        """What a client needs in its environment, over `os.environ` without the machine's own sound."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PULSE_")}
        return kept | {"XDG_RUNTIME_DIR": str(self.dir / "run"), "HOME": str(self.dir / "home"), "LC_ALL": "C"}

    def start(self, *, devices: bool = True) -> None:
        """The server up and answering; `devices=False`: without any sink or source."""
        self._launch()
        wait_until(self.answers, 10.0, f"a sound server that answers; its log:\n{self._log()}")
        if devices:
            self.load_speaker()
            self.load_mic()
            self.pactl("set-default-sink", "speaker")
            self.pactl("set-default-source", "mic")

    def _launch(self) -> None:
        """Start the server's processes."""
        self._daemon(
            "pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disallow-exit", "--realtime=no",
            "--high-priority=no", "--log-target=stderr", "-L", "module-native-protocol-unix",
        )  # fmt: skip

    def _daemon(self, *command: str) -> None:
        with (self.dir / "pulse.log").open("ab") as log:
            self._daemons.append(
                ahead(subprocess.Popen(command, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
            )

    def answers(self) -> bool:
        return (
            subprocess.run(["pactl", "info"], env=self.env, capture_output=True, timeout=5, check=False).returncode == 0
        )

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self._end(self._daemons)
        self._end(self._keepers)

    def signal(self, number: signal.Signals) -> None:
        """To each of the server's processes."""
        for daemon in self._daemons:
            daemon.send_signal(number)

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def close(self) -> None:
        """End everything that was started here."""
        self.thaw()
        self._end(self._children)
        self.kill()
        self._place.cleanup()

    def _log(self) -> str:
        with contextlib.suppress(OSError):
            return (self.dir / "pulse.log").read_text(errors="replace")[-2000:]
        return ""

    # -- modules

    def pactl(self, *words: str) -> str:
        """Output of `pactl WORDS`. CalledProcessError if it fails, TimeoutExpired if the server is frozen."""
        return subprocess.run(
            ["pactl", *words], env=self.env, capture_output=True, text=True, timeout=10, check=True
        ).stdout

    def load_null_sink(self, name: str, *, rate: int = 48_000, channels: int = 2, form: str = "s16le") -> int:
        """A sink that sounds into its monitor. Module number.

        norewinds=1 and a client that always wants 5 ms: without them a null sink renders up to 2 s ahead, and every new
        stream stalls for that long.
        """
        module = int(self.pactl(
            "load-module", "module-null-sink", f"sink_name={name}", "norewinds=1", f"rate={rate}",
            f"channels={channels}", f"format={form}", f"sink_properties=device.description={name}",
        ))  # fmt: skip
        self._keepers.append(ahead(subprocess.Popen(
            ["pacat", "--playback", "-d", name, "--latency-msec=5", "--raw", f"--rate={rate}",
             f"--channels={channels}", "/dev/zero"],
            env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )))  # fmt: skip
        return module

    def load_speaker(self, *, rate: int = 48_000, channels: int = 2) -> int:
        return self.load_null_sink("speaker", rate=rate, channels=channels)

    def load_mic(self, name: str = "mic", *, rate: int = 48_000, channels: int = 2, form: str = "s16le") -> int:
        """A source fed by the sink NAME_feed. Module number of the source."""
        if f"{name}_feed" not in self.sinks():
            self.load_null_sink(f"{name}_feed", rate=rate, channels=channels, form=form)
        return int(self.pactl(
            "load-module", "module-remap-source", f"source_name={name}", f"master={name}_feed.monitor",
            f"channels={channels}", f"source_properties=device.description={name}",
        ))  # fmt: skip

    def unload(self, module: int) -> None:
        self.pactl("unload-module", str(module))

    def unload_source(self, name: str) -> None:
        """Pull the plug of a source."""
        self._unload_with(f"source_name={name}")

    def unload_sink(self, name: str) -> None:
        """Pull the plug of a sink (and of its monitor)."""
        self._unload_with(f"sink_name={name}")

    def _unload_with(self, argument: str) -> None:
        for line in self.pactl("list", "short", "modules").splitlines():
            number, _, arguments = [*line.split("\t"), "", ""][:3]  # PipeWire's own have arguments of many lines
            if argument in arguments.split():
                self.unload(int(number))

    def sinks(self) -> list[str]:
        return [line.split("\t")[1] for line in self.pactl("list", "short", "sinks").splitlines()]

    def sources(self) -> list[str]:
        return [line.split("\t")[1] for line in self.pactl("list", "short", "sources").splitlines()]

    # -- sound in and out

    def play(self, wav: Path, *, sink: str = "mic_feed", wait: bool = True) -> subprocess.Popen[bytes]:
        """Speak a file into the microphone."""
        player = self._child(["paplay", "-d", sink, "--latency-msec=150", str(wav)])
        if wait:
            with wave.open(str(wav)) as opened:
                length_s = opened.getnframes() / opened.getframerate()
            player.wait(length_s + 10)
        return player

    @contextlib.contextmanager
    def tone_on_left(self, sink: str) -> Iterator[None]:
        """While inside, a tone sounds on the first channel of a sink, the others being silent."""
        path = self.dir / "tone.raw"
        with path.open("wb") as file:
            for n in range(48_000 * 20):
                file.write(struct.pack("<hh", round(10_000 * math.sin(n * 2 * math.pi / 96)), 0))
        player = self._child(["pacat", "--playback", "-d", sink, "--latency-msec=20", "--raw", "--rate=48000",
                              "--channels=2", "--no-remix", str(path)])  # fmt: skip
        try:
            yield
        finally:
            player.kill()
            player.wait(5)

    def clients_of(self, kind: str, pid: int) -> list[str]:
        """Names of sources (`source-outputs`) or sinks (`sink-inputs`) that process `pid` is connected to."""
        import json

        which = "source" if kind == "source-outputs" else "sink"
        listed = json.loads(self.pactl("--format=json", "list", kind) or "[]")
        names = {
            int(line.split("\t")[0]): line.split("\t")[1]
            for line in self.pactl("list", "short", f"{which}s").splitlines()
        }
        return [
            names[entry[which]] for entry in listed if entry["properties"].get("application.process.id") == str(pid)
        ]

    def _child(self, command: list[str]) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            command, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        ahead(child)
        self._children.append(child)
        return child

    def _end(self, children: list[subprocess.Popen[bytes]]) -> None:
        for child in children:
            if child.poll() is None:
                child.kill()
            child.wait(5)
        children.clear()
