"""`join`: a stage of a pipeline whose supervisor runs on another machine. Starts its process here as often as the
supervisor over there wants one, and tells it how each ended."""

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
from typing import Any

import structlog

from pipeline import places
from pipeline.bus import curve
from pipeline.exits import WORLD
from pipeline.package import import_path
from pipeline.pids import pidfd_open
from pipeline.stage.control import Control

AGAIN_S = 0.5
"""Between two offers to the supervisor."""
SILENT_S = 5.0
"""Without an answer for so long it is said what may be the matter."""
LINGER_S = 0.5
ABORT_S = 0.5
"""For a stack on stderr, before a process is killed."""

log = structlog.get_logger()


class Refused(Exception):
    """The supervisor has no such stage for this machine. The text is its own."""


class Join:
    """One stage on this machine."""

    def __init__(self, stage: str, control: str, pair: Path, server: str, folder: Path) -> None:
        """`control`: the supervisor's endpoint; `pair`: our secret file; `server`: the supervisor's public key;
        `folder`: where relative names start, as the configuration's does over there. Raises curve.Unfit."""
        self._stage, self._pair, self._folder = stage, pair, folder
        curve.be(curve.Identity(curve.read_pair(pair), {control: server}, {}))
        self._line = Control(control, f"join/{os.getpid()}")
        self._ended: dict[str, int] | None = None
        self._heard = time.monotonic()
        self._leaving = False
        self.child: subprocess.Popen[bytes] | None = None

    def leave(self) -> None:
        """End the process and go; may be called by a signal handler."""
        self._leaving = True
        if self.child is not None:
            self.child.terminate()

    def run(self) -> None:
        """Until `leave`. Raises Refused."""
        waits = ""
        while not self._leaving:
            said = self._offer()
            if said is None:
                continue
            if "inst" in said:
                self._run(int(said["inst"]), said["wiring"])
            elif (wait := str(said.get("wait"))) != waits:
                waits = wait
                log.info("stage waits", stage=self._stage, reason=wait)
        if self._ended is not None:
            self._line.say("join", stage=self._stage, ended=self._ended)
        self._line.close(LINGER_S)

    def _offer(self) -> Mapping[str, Any] | None:
        """Ask for work; the answer, if there is one within AGAIN_S."""
        self._line.say("join", stage=self._stage, ended=self._ended)
        end, answer = time.monotonic() + AGAIN_S, None
        while (left := end - time.monotonic()) > 0:
            for word in self._line.heard():
                # an answer that was long under way may speak of a process that has ended since
                if word.get("kind") == "joined" and word.get("inst") != (self._ended or {}).get("inst", -1):
                    answer, self._heard = word, time.monotonic()
            if answer is not None and "inst" in answer:
                break
            if not self._line.waits:
                select.select([self._line.fileno], [], [], left)
        if answer is not None and not answer.get("ok"):
            raise Refused(str(answer.get("error")))
        if time.monotonic() - self._heard > SILENT_S:
            self._heard = time.monotonic()
            log.warning("no answer", reason="the pipeline does not run, is not to be reached, or does not know our key")
        return answer

    def _run(self, inst: int, wiring: Mapping[str, Any]) -> None:
        """One process, from its start to its end."""
        name = f"{wiring['name']}-{self._stage}"
        run_dir = places.run_directory(name)
        places.make_run(run_dir)
        guard = {**wiring["curve"], "pair": str(self._pair)}
        here = {"config_dir": str(self._folder), "state_dir": str(places.make_state(name, run_dir).path)}
        read, write = os.pipe()
        environ = {
            **os.environ,
            **wiring.get("env", {}),
            "PIPELINE_STAGE": self._stage,
            "PIPELINE_INST": str(inst),
            "PIPELINE_RUN": str(run_dir),
            "PIPELINE_LIFELINE": str(read),
            "PIPELINE_WIRING": json.dumps({**wiring, **here, "curve": guard}),
            "PYTHONFAULTHANDLER": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        path = [*import_path(), str(self._folder), environ.get("PYTHONPATH", "")]
        environ["PYTHONPATH"] = os.pathsep.join(part for part in path if part)
        command = [sys.executable, "-P", "-m", "pipeline.stage"]
        try:
            self.child = subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, pass_fds=(read,))
            log.info("stage started", stage=self._stage, inst=inst, pid=self.child.pid)
            if self._leaving:
                self.child.terminate()
            status = self._watch(self.child, inst)
        finally:
            os.close(read)
            os.close(write)
        self.child = None
        self._ended = {"inst": inst, "status": WORLD if self._leaving else status}  # no fault of its own
        log.info("stage ended", stage=self._stage, inst=inst, status=status)

    def _watch(self, child: subprocess.Popen[bytes], inst: int) -> int:
        """Its status when it has ended. It is ended here when the supervisor, who hears us, hears nothing of it."""
        ended = pidfd_open(child.pid)
        watched = [self._line.fileno] if ended is None else [self._line.fileno, ended]
        try:
            while child.poll() is None:
                self._line.say("join", stage=self._stage, runs=inst)
                end = time.monotonic() + AGAIN_S
                while child.poll() is None and (left := end - time.monotonic()) > 0:
                    if any(word.get("hangs") == inst for word in self._line.heard()):
                        self._end(child, inst)
                    if not self._line.waits:
                        select.select(watched, [], [], left)
        finally:
            if ended is not None:
                os.close(ended)
        return child.wait()

    def _end(self, child: subprocess.Popen[bytes], inst: int) -> None:
        log.warning("stage hangs: it is ended", stage=self._stage, inst=inst, pid=child.pid)
        child.send_signal(signal.SIGABRT)  # its stack goes to our stderr
        try:
            child.wait(ABORT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def on_signals(leave: Callable[[], None]) -> None:
    """Have SIGINT, SIGTERM and SIGHUP call `leave`."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(ValueError):  # not the main thread
            signal.signal(number, lambda *_: leave())
