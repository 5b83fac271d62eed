"""Stages as real processes without a supervisor: says `go`, listens to control, taps the bus, ends them by pid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgpack
import zmq

from pipeline.bus.codec import Stamp
from pipeline.bus.consumer import Consumer
from pipeline.bus.messages import Audio, Event
from pipeline.bus.producer import Producer

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 20.0


class Nursery:
    """A few stages on one bus in a directory of their own. Use as a context manager."""

    def __init__(
        self, run_dir: Path, stages: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str] = os.environ
    ) -> None:
        """`stages`: name → {use, inputs, emits, options}; a test may bind one of the names itself."""
        self.run_dir, self.stages, self._environ = run_dir, stages, environ
        self.context: zmq.Context[Any] = zmq.Context()
        self.router: zmq.Socket[bytes] = self.context.socket(zmq.ROUTER)
        self.router.setsockopt(zmq.LINGER, 0)
        self.router.bind(f"ipc://{run_dir}/control")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.said: list[tuple[str, dict[str, Any]]] = []
        """(identity, message) of everything heard on control."""
        self.heard: list[tuple[Stamp, Audio | Event]] = []
        """Everything that passed on the bus, in the order of reading."""
        self.settings: dict[str, dict[str, Any]] = {}
        """What `go` says that people have set."""
        self.taps = {name: Consumer(self.context, self.endpoint(name), ("event.", "audio.")) for name in stages}
        self._insts: dict[str, int] = {}

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
            process.wait()
        for tap in self.taps.values():
            tap.close()
        self.context.destroy(linger=0)

    def endpoint(self, name: str) -> str:
        return f"ipc://{self.run_dir}/{name}.bus"

    def producer(self, name: str, inst: int = 1) -> Producer:
        """Be a stage ourselves."""
        producer = Producer(self.context, self.endpoint(name), name, inst, time.monotonic_ns)
        producer.bind()
        return producer

    def until_heard(self, producer: Producer, topic: bytes) -> None:
        """Wait until somebody besides our tap has subscribed to what we say there."""

        def readers() -> int:
            producer.pump()
            return sum(guest.wants(topic) for guest in producer._line._guests.values())  # type: ignore[attr-defined]

        self.until(lambda: readers() > 1)

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start a stage's process; `go` is said when it is primed."""
        stage = self.stages[name]
        self._insts[name] = self._insts.get(name, 0) + 1
        wiring = {
            "bind": self.endpoint(name),
            "control": f"ipc://{self.run_dir}/control",
            "peers": {other: self.endpoint(other) for other in self.stages},
            "config_dir": str(self.run_dir),
            "state_dir": str(self.run_dir),
            **stage,
        }
        environ = {
            **self._environ,
            "PIPELINE_STAGE": name,
            "PIPELINE_INST": str(self._insts[name]),
            "PIPELINE_RUN": str(self.run_dir),
            "PIPELINE_WIRING": json.dumps(wiring),
            "PYTHONPATH": str(ROOT),
        }
        with (self.run_dir / f"{name}.stderr").open("ab") as errors:
            process = subprocess.Popen([sys.executable, "-m", "pipeline.stage"], env=environ, stderr=errors)
        self.processes[name] = process
        return process

    def kill(self, name: str) -> None:
        """kill -9."""
        self.processes[name].kill()
        self.processes[name].wait()

    def tell(self, name: str, kind: str, **fields: Any) -> None:
        """Say something to a stage on control."""
        identity = f"{name}/{self._insts[name]}".encode()
        self.router.send_multipart([identity, msgpack.packb({"v": 1, "kind": kind, **fields})])

    def until(self, enough: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
        """Read control and bus until `enough()` is true; returns that. Fails naming what was said last."""
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            self._read()
            if result := enough():
                return result
            self.router.poll(5)
        errors = {path.name: path.read_text()[-2000:] for path in self.run_dir.glob("*.stderr")}
        raise AssertionError(f"not within {deadline_s} s; control: {self.said[-5:]}; stderr: {errors}")

    def events(self, name: str, src: str | None = None) -> list[Event]:
        """Events of that name that were heard so far."""
        return [m for _, m in self.heard if isinstance(m, Event) and m.name == name and src in (None, m.src)]

    def audio(self, stream: str) -> list[Audio]:
        """Live blocks of a stream that were heard so far."""
        return [m for _, m in self.heard if isinstance(m, Audio) and m.stream == stream and m.replay is None]

    def _read(self) -> None:
        while self.router.poll(0):
            identity, data = self.router.recv_multipart()
            message = msgpack.unpackb(data)
            self.said.append((identity.decode(), message))
            if message["kind"] == "primed":
                self.router.send_multipart([identity, msgpack.packb({"v": 1, "kind": "go", "settings": self.settings})])
        for tap in self.taps.values():
            tap.drain(time.monotonic_ns())
            while (message := tap.next()) is not None:
                self.heard.append(message)
