"""A whole pipeline as a person starts it, in directories of its own: its log, its bus, its processes."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import zmq

from pipeline.bus.codec import Stamp
from pipeline.bus.consumer import Consumer
from pipeline.bus.messages import Audio, Event

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 40.0
KEYS = ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL", "SSL_CERT_FILE", "PIPELINE_RUN_DIR")


def environment(home: Path, **more: str) -> dict[str, str]:
    """An environment with an empty home, no key and nothing of ours."""
    clean = {name: value for name, value in os.environ.items() if name not in KEYS and not name.startswith("PULSE_")}
    runtime = home / "runtime"
    runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    places = {"HOME": str(home), "XDG_RUNTIME_DIR": str(runtime), "XDG_STATE_HOME": str(home / "state")}
    return clean | places | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"} | more


class Lines:
    """The lines of a pipe, read by a thread so that nobody is held up."""

    def __init__(self, pipe: Any) -> None:
        self._queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.lines: list[str] = []
        threading.Thread(target=self._run, args=(pipe,), daemon=True).start()

    def read(self) -> list[str]:
        """All lines so far."""
        while not self._queue.empty():
            self.lines.append(self._queue.get())
        return self.lines

    def _run(self, pipe: Any) -> None:
        for line in pipe:
            self._queue.put(line.rstrip("\n"))


class Machine:
    """`voice-pipeline run CONFIG`, tapped. Use as a context manager: whatever it started is gone afterwards."""

    def __init__(
        self,
        home: Path,
        config: str,
        sets: Sequence[str] = (),
        environ: Mapping[str, str] = {},
        inside: Sequence[str] = (),
    ) -> None:
        """`inside`: a command that becomes the one after it, elsewhere: `ip netns exec NAME`."""
        self.home, self.run_dir = home, home / "run"
        self.environ = environment(home, PIPELINE_RUN_DIR=str(self.run_dir), **environ)
        argv = [*inside, sys.executable, "-m", "pipeline", "run", config]
        argv += [word for value in sets for word in ("--set", value)]
        self.began_ns = time.monotonic_ns()
        self.process = subprocess.Popen(
            argv, env=self.environ, cwd=home, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.out, self.log = Lines(self.process.stdout), Lines(self.process.stderr)
        self.heard: list[tuple[Stamp, Audio | Event]] = []
        self._events: dict[str, list[Event]] = {}  # who looks 200 times a second must not go through all that was heard
        self._live: dict[str, list[Audio]] = {}
        self._context: zmq.Context[Any] = zmq.Context()
        self._taps: dict[str, Consumer] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        left = self.processes()
        if self.process.poll() is None:
            self.process.kill()
        for pid in left.values():
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        for tap in self._taps.values():
            tap.close()
        self._context.destroy(linger=0)

    def until(self, enough: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
        """Read the bus until `enough()` is true and return that. Fails showing the end of the log."""
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            self.pump()
            if result := enough():
                return result
            time.sleep(0.005)  # between looks: nothing is judged by it
        tail = "\n".join(self.log.read()[-40:])
        raise AssertionError(
            f"not within {deadline_s} s.\n--- log\n{tail}\n--- screen\n" + "\n".join(self.out.read()[-20:])
        )

    def pump(self) -> None:
        """Read what has passed on the bus."""
        for name, endpoint in self.connection().get("endpoints", {}).items():
            if name not in self._taps:
                self._taps[name] = Consumer(self._context, endpoint, ("event.", "audio."))
        for tap in self._taps.values():
            tap.drain(time.monotonic_ns())
            while (message := tap.next()) is not None:
                self.heard.append(message)
                self._sort(message[1])

    def _sort(self, message: Audio | Event) -> None:
        if isinstance(message, Event):
            self._events.setdefault(message.name, []).append(message)
        elif message.replay is None:
            self._live.setdefault(message.stream, []).append(message)

    def connection(self) -> dict[str, Any]:
        """The connection file, {} before it is there."""
        try:
            return dict(json.loads((self.run_dir / "bus.json").read_text()))
        except (OSError, ValueError):
            return {}

    def processes(self) -> dict[str, int]:
        """Pid of every stage."""
        return {name: pid for name, pid in self.connection().get("pids", {}).items() if pid}

    def events(self, name: str, **fields: Any) -> list[Event]:
        """Events of that name so far whose body has these fields."""
        found = self._events.get(name, ())
        return [event for event in found if all(event.body.get(key) == value for key, value in fields.items())]

    def audio(self, stream: str) -> list[Audio]:
        """Live blocks of a stream so far."""
        return list(self._live.get(stream, ()))

    def captions(self, who: str) -> list[str]:
        """Complete captions of one side so far."""
        return [str(event.body["text"]).strip() for event in self.events("caption", who=who, final=True)]

    def live(self, *stages: str) -> bool:
        """True if each of the stages said that it is at work (live, or degraded by the simulator's standing in)."""
        last = {event.src: event.body["state"] for event in self.events("state")}
        return all(last.get(stage) in ("live", "degraded") for stage in stages)

    def now_ns(self) -> int:
        """The clock of the bus."""
        return time.monotonic_ns()

    def kill(self, stage: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a stage; returns the pid."""
        pid = self.processes()[stage]
        os.kill(pid, number)
        return pid

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command of the command line, in this pipeline's environment."""
        argv = [sys.executable, "-m", "pipeline", *words]
        return subprocess.run(argv, env=self.environ, cwd=self.home, text=True, capture_output=True, timeout=60)


class Service:
    """`voice-pipeline simulate` as a process of its own, so that it can go away and come back at the same address."""

    def __init__(
        self, home: Path, script: str | None = None, audio: Path | None = None, inside: Sequence[str] = ()
    ) -> None:
        """`audio`: a folder for the sound that each connection sends. `inside`: as for Machine."""
        self.home, self._script, self._audio, self.port = home, script, audio, 0
        self._inside = inside
        self.log_file, self.certs = home / "service.jsonl", home / "certs"
        self.cert = ""
        self.start()

    def start(self) -> None:
        """Start it (again); returns when it is ready."""
        argv = [*self._inside, sys.executable, "-m", "pipeline", "simulate", "--port", str(self.port)]
        argv += ["--log", str(self.log_file), "--certs", str(self.certs)]
        argv += ["--script", self._script] if self._script else []
        argv += ["--audio", str(self._audio)] if self._audio else []
        self.process = subprocess.Popen(argv, env=environment(self.home), text=True, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        ready = json.loads(self.process.stdout.readline())
        self.port, self.cert = int(ready["url"].rsplit(":", 1)[1]), ready["cert"]

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    @property
    def environ(self) -> dict[str, str]:
        """What points the SDK at it."""
        url = f"https://127.0.0.1:{self.port}"
        return {"GOOGLE_GEMINI_BASE_URL": url, "SSL_CERT_FILE": self.cert, "GOOGLE_API_KEY": "test-key-of-no-value"}

    def log(self) -> list[dict[str, Any]]:
        """Its log so far."""
        try:
            return [json.loads(line) for line in self.log_file.read_text().splitlines() if line.endswith("}")]
        except OSError:
            return []


def alive(pid: int) -> bool:
    """True if the process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
