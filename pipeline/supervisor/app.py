"""A pipeline from its configuration to its exit code."""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
import zmq

from pipeline.bus.producer import Producer
from pipeline.exits import OK
from pipeline.pids import become_subreaper
from pipeline.supervisor import policy, report
from pipeline.supervisor.away import Joining
from pipeline.supervisor.children import ExecSpawner, Spawner
from pipeline.supervisor.control import Control, Word
from pipeline.supervisor.loop import Loop
from pipeline.supervisor.notify import Notify
from pipeline.supervisor.people import People
from pipeline.supervisor.recipe import Wiring, new_mark
from pipeline.supervisor.settings import Settings
from pipeline.supervisor.slot import Slot
from pipeline.supervisor.standing import LOOK_S, Standing
from pipeline.supervisor.stopping import OrderedStop
from pipeline.supervisor.supervisor import Supervisor
from pipeline.supervisor.watching import Watching

if TYPE_CHECKING:
    from pipeline.config import Pipeline

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ASKS = (signal.SIGUSR1, signal.SIGUSR2)
"""The stacks of everybody on stderr; what the black box holds onto a tape."""
ANEW = -1
"""No exit code: the run directory was taken away, and the whole program has to start again."""

log = structlog.get_logger()


def run(
    pipeline: Pipeline, run_dir: Path, state_dir: Path, spawner: Spawner | None = None, mark: str | None = None
) -> int:
    """Run a pipeline until it ends; returns its exit code. `run_dir` must be ours already: nobody else may run there.

    `mark` tells its processes from everything else; a spawner that started some already gives its own.

    0 after an ordered stop or when the conversation is complete, 70 and 78 as `policy` says, 128 + the signal when a
    second one cut the stop short; ANEW.
    """
    return App(pipeline, run_dir, state_dir, spawner or ExecSpawner(), mark or new_mark()).run()


class App:
    """The whole-pipeline matters: its sockets, signals, ordered stops and restarts, its end."""

    def __init__(self, pipeline: Pipeline, run_dir: Path, state_dir: Path, spawner: Spawner, mark: str) -> None:
        become_subreaper()
        self.wiring = Wiring(pipeline, run_dir, state_dir, mark)
        self.loop = Loop()
        self.settings = Settings(state_dir)
        self._began = self.loop.clock()
        self._spawner = spawner
        self.wiring.be_guarded()
        self._context: zmq.Context[Any] = zmq.Context()
        self._context.setsockopt(zmq.MAX_SOCKETS, 4096)
        self._control = Control(self._context, self.wiring.control)
        inst = time.monotonic_ns() // 1_000_000
        outside = [None if at == "none" else at for at in (pipeline.curve.control, pipeline.curve.events)]
        if outside[0] is not None:
            self._control.listen_outside(outside[0])
        self._bus = Producer(
            self._context, self.wiring.supervisor_bus, "supervisor", inst, time.monotonic_ns, outside[1]
        )
        self._bus.bind()
        self._supervisor = Supervisor(self.wiring, self.loop, spawner, self._control, self._bus)
        self._people = People(self._supervisor, self.settings, self.status, self.stop)
        self._watching = Watching(self.wiring, self.loop, self._bus, self._supervisor.slots)
        self._standing = Standing(run_dir)
        self._lost = ""
        """What was taken out of the run directory."""
        self._notify = Notify()
        self._ending: OrderedStop | None = None
        self._code: int | None = None
        """What the ordered stop that is under way will end with; None if it is a restart."""
        self._reason = ""

    def run(self) -> int:
        """Start everything, turn until the end, leave nothing behind."""
        supervisor, loop = self._supervisor, self.loop
        supervisor.hearing.on_person = self._person
        joining = Joining(self.wiring, supervisor.slots, self._control)
        supervisor.hearing.on_join = lambda word: joining.hear(word, loop.clock())
        supervisor.hearing.on_beat = self._notify.progress
        supervisor.telling.on_state = self._watching.stage
        supervisor.telling.on_setting = self._watching.setting
        self._watching.changed = self._verdict_changed
        self._watching.hard_to_read = supervisor.hearing.hard_to_read
        supervisor.on_escalation = self._escalate
        loop.signalled = self._signal
        loop.take_signals(*SIGNALS, *ASKS)
        outside = [self._control.outside.fileno()] if self._control.outside is not None else []
        for descriptor in (self._control.socket.fileno(), self._bus.fileno, *outside):
            # the first announces once, and a send can eat that: each turn reads both to their end, whoever woke it
            loop.watch(descriptor, lambda: None)
        if self.settings.unfit:
            log.warning("kept settings ignored", error=self.settings.unfit)
        log.info("pipeline starts", name=self.wiring.pipeline.name, pid=os.getpid(), run_dir=str(self.wiring.run_dir))
        for warning in self.wiring.pipeline.warnings:
            log.warning("a promise is missing", reason=warning)
        supervisor.telling.settings(self.settings, ", before the last start")
        try:
            self._spawner.attach(loop)
            supervisor.open()
            self._watching.open()
            self._notify.ready()
            self._look_again()
            return loop.run()
        finally:
            self._watching.close()
            self._spawner.close()
            supervisor.close()
            self._bus.close()
            self._control.close()
            self._context.destroy(linger=200)
            loop.close()

    def status(self) -> dict[str, Any]:
        """The reply to `status`."""
        stopping = self._ending.reason if self._ending is not None else ""
        slots = self._supervisor.slots.values()
        status = report.status(self.wiring, slots, stopping=stopping, now=self.loop.clock(), began=self._began)
        return {**status, **self._watching.status()}

    def stop(self, reason: str, code: int = OK) -> None:
        """End everything in order. If that is under way already, or a restart is, it ends with this code."""
        if self._code is None:
            self._code, self._reason = code, reason
            self._watching.stopping()
            self._notify.stopping()
        if self._ending is None:
            log.info("pipeline stopping", reason=reason)
            self._end_all(reason)

    def _end_all(self, reason: str) -> None:
        self._ending = OrderedStop(self._supervisor, reason, self._stopped)
        self._ending.begin()

    def _stopped(self) -> None:
        code, reason, self._ending = self._code, self._reason, None
        if code is None and not self._lost:
            self._supervisor.start_all()
            return
        if code is None:
            self.loop.finish(ANEW)
            return
        log.info("pipeline stopped", code=code)
        self._supervisor.telling.end(f"{'stopped' if code == OK else f'ended with exit code {code}'}: {reason}")
        self.loop.finish(code)

    def _escalate(self, action: policy.Action, slot: Slot) -> None:
        reason = f"{slot.name}: {action.reason}"
        if action.kind == "end_pipeline":
            if action.code != OK:
                log.error("pipeline ends", reason=reason, code=action.code)
            self.stop(reason, action.code)
        elif self._ending is None:
            log.error("pipeline restarts", reason=reason)
            now = self.loop.clock()
            for other in self._supervisor.slots.values():
                other.history = policy.History(pipeline_restarted=now)
                other.down_since = other.down_since or now
                other.restarts += 1
            self._end_all(reason)

    def _look_again(self) -> None:
        self._lost = self._standing.lost()
        if not self._lost:
            self._supervisor.telling.keep_connection()
            self.loop.after(LOOK_S, self._look_again)
            return
        log.error("run directory lost", reason=self._lost, next="the whole pipeline is started anew")
        self._watching.fault("run directory", self._lost)
        if self._ending is None:
            self._end_all(self._lost)

    def _person(self, word: Word) -> None:
        self._control.answer(word, **self._people.answer(word))

    def _verdict_changed(self) -> None:
        line = self._watching.verdict().line
        self._notify.status(line)
        self._supervisor.telling.verdict(line)

    def _signal(self, number: int) -> None:
        if number == signal.SIGUSR1:
            faulthandler.dump_traceback()
            self._supervisor.show_stacks()
        elif number == signal.SIGUSR2:
            self._bus.event("write_tape", {"by": "SIGUSR2"})
        if number not in SIGNALS:
            return
        if self._ending is None or self._code is None:
            self.stop(f"{signal.Signals(number).name} received")
        elif number != signal.SIGHUP:  # a closed terminal sends one beside the others
            log.warning("pipeline stops at once", signal=signal.Signals(number).name)
            self._code = 128 + number
            self._ending.now()
