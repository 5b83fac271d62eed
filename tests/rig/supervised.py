"""A supervisor of foreign stages in a process of its own, and what a test needs to watch it.

As a program: `python supervised.py SPEC`, SPEC being the JSON that `Supervised` writes.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import zmq

HERE = Path(__file__).resolve().parent
FOREIGN = [sys.executable, str(HERE / "foreign_stage.py")]
DEADLINE_S = 15.0


def foreign(*words: str | int, **table: Any) -> dict[str, Any]:
    """The table of a stage that behaves so."""
    return {"command": [*FOREIGN, *map(str, words)], **table}


class Supervised:
    """One running supervisor. `close` ends it and everything it started."""

    def __init__(
        self,
        home: Path,
        stages: Mapping[str, dict[str, Any]],
        environ: Mapping[str, str] | None = None,
        start_s: float = 20.0,
    ):
        """`stages`: name to the fields of its table. `start_s` is the start deadline."""
        self.run_dir, self.state_dir = home / "run", home / "state"
        for folder in (self.run_dir, self.state_dir):
            folder.mkdir(exist_ok=True)
        self.output = home / "output"
        spec = {
            "stages": stages,
            "run_dir": str(self.run_dir),
            "state_dir": str(self.state_dir),
            "home": str(home),
            "start_s": start_s,
        }
        clean = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, __file__, json.dumps(spec)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**clean, "PYTHONPATH": str(HERE.parents[1]), **(environ or {})},
            )
        self._context = zmq.Context()
        self._events = self._context.socket(zmq.SUB)
        self._events.setsockopt(zmq.RECONNECT_IVL, 20)
        self._events.connect(f"ipc://{self.run_dir}/supervisor.bus")
        self._events.subscribe(b"event.")
        self.history: list[dict[str, Any]] = []
        """Bodies of `event.stage`, oldest first, each with `at`."""
        self.events: list[tuple[str, dict[str, Any]]] = []
        """Every other event."""
        self._waited: dict[str, int] = {}

    def until(self, done: Callable[[dict[str, Any]], bool], deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        """The next `event.stage` for which `done` holds. What other stages said meanwhile can still be waited for."""
        end, looked = time.monotonic() + deadline_s, 0
        while True:
            for at, body in enumerate(self.history[looked:], looked):
                if at >= self._waited.get(body["stage"], 0) and done(body):
                    self._waited[body["stage"]] = at + 1
                    return body
            looked = len(self.history)
            if (left := end - time.monotonic()) <= 0:
                raise AssertionError(f"not within {deadline_s:g} s\n{self.log()}")
            self.read(left)

    def until_state(self, stage: str, state: str, not_pid: int = -1, **more: Any) -> dict[str, Any]:
        """Wait for a stage's state."""
        return self.until(
            lambda body: body["stage"] == stage and body["state"] == state and body["pid"] != not_pid, **more
        )

    def until_live(self, *stages: str) -> dict[str, int]:
        """Wait until all of these are live; their pids."""
        return {stage: self.until_state(stage, "live")["pid"] for stage in stages}

    def read(self, wait_s: float = 0.0) -> None:
        """Note the events that have come, after waiting for one at most so long."""
        import msgpack

        while self._events.poll(int(wait_s * 1000)):
            topic, data = self._events.recv_multipart()
            wait_s, body = 0.0, msgpack.unpackb(data)["body"]
            if topic != b"event.stage":
                self.events.append((topic.decode(), body))
                continue
            self.history.append({**body, "at": time.monotonic()})

    def until_event(self, name: str) -> dict[str, Any]:
        """Wait for another event of the supervisor."""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            self.read(0.1)
            for topic, body in reversed(self.events):
                if topic == f"event.{name}":
                    return body
        raise AssertionError(f"no event.{name}\n{self.log()}")

    def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """A person's command."""
        from pipeline.supervisor.client import ask

        return ask(self.run_dir, kind, **fields)

    def log(self) -> str:
        """Everything it wrote."""
        return self.output.read_text(errors="replace")

    def said(self, event: str) -> list[dict[str, Any]]:
        """Its log events of this name."""
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def until_said(self, event: str) -> list[dict[str, Any]]:
        """Wait for a log event of this name."""
        end = time.monotonic() + DEADLINE_S
        while not (found := self.said(event)):
            assert time.monotonic() < end, self.log()
            self.read(0.02)
        return found

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        """Its exit code."""
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {deadline_s:g} s\n{self.log()}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it; its sweeper ends the rest."""
        self.process.kill()
        self.process.wait()
        self._context.destroy(linger=0)


def gone(pid: int, within_s: float) -> bool:
    """Whether a process has ended, or does so in time."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], within_s)[0])
    finally:
        os.close(descriptor)


def end(*pids: int) -> None:
    """SIGKILL to what a test may have left."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def main() -> None:
    """The supervisor's process."""
    from pipeline import log
    from pipeline.config import LogTable, Pipeline, Restart, StageTable
    from pipeline.supervisor import health, swap
    from pipeline.supervisor.app import run

    spec = json.loads(sys.argv[1])
    log.for_supervisor("debug")
    health.START_S = spec["start_s"]
    swap.AGE_S = 0.3
    stages = []
    for name, table in spec["stages"].items():
        restart = Restart(**table.pop("restart", {}))
        table = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
        stages.append(StageTable(name=name, restart=restart, **table))
    home = Path(spec["home"])
    pipeline = Pipeline(
        name="test", language="en-GB", stages=tuple(stages), file=home / "test.yaml", config_dir=home, log=LogTable()
    )
    sys.exit(run(pipeline, Path(spec["run_dir"]), Path(spec["state_dir"])))


if __name__ == "__main__":
    main()
