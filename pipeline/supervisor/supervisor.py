"""The table of stages come alive: starts them, judges them, buries them, acts on what `policy` and `health` decide."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

import structlog

from pipeline import pids
from pipeline.bus.producer import Producer
from pipeline.exits import CONFIG, OK, WORLD
from pipeline.supervisor import children, health, policy
from pipeline.supervisor.away import Away, judge_away
from pipeline.supervisor.children import Child, NoSuchProgram, Spawner, Sweeper
from pipeline.supervisor.control import Control
from pipeline.supervisor.hearing import Hearing
from pipeline.supervisor.loop import Loop
from pipeline.supervisor.printing import Printing, say_death
from pipeline.supervisor.recipe import MARK, Wiring
from pipeline.supervisor.slot import DEVICE_PLACES, Run, Slot, rules_of
from pipeline.supervisor.starting import Starting
from pipeline.supervisor.swap import Swaps
from pipeline.supervisor.telling import Telling

JUDGE_S = 0.1
GRACE_S = 2.0
"""For a stage to stop when told to, and for the kernel to end what was killed."""
ABORT_S = 0.5
"""For a hung stage to print its stack."""
BYE_S = 0.1
"""A word said just before an exit may come after the news of the exit: it travels through a thread of libzmq."""
TIDY_S = 10.0
"""Between two looks for orphans that have ended, and at the sweeper."""
WARN_LATE_S, WARN_AGAIN_S = 1.0, 60.0
"""Late by so much, the supervisor left somebody's `status` without an answer: worth a warning, at most so often."""

log = structlog.get_logger()


class Supervisor:
    """Stages and their processes. Whole-pipeline matters are handed to `on_exit` and `on_escalation`."""

    def __init__(self, wiring: Wiring, loop: Loop, spawner: Spawner, control: Control, bus: Producer) -> None:
        self.wiring, self.loop = wiring, loop
        self.slots = {table.name: Slot(table, rules_of(table)) for table in wiring.pipeline.stages}
        self.telling = Telling(wiring, bus, self.slots)
        self.hearing = Hearing(control, loop, self.telling, self.slots)
        self.on_exit: Callable[[Slot], None] = lambda slot: None
        """Called when a process that was asked to stop has gone."""
        self.on_escalation: Callable[[policy.Action, Slot], None] = lambda action, slot: None
        """Called when the policy wants the whole pipeline restarted or ended."""
        self._spawner, self._control, self._bus = spawner, control, bus
        self._printing = Printing(loop)
        self.swaps = Swaps(self)
        self._sweeper = Sweeper(f"{MARK}={wiring.mark}")
        self._starting = Starting(loop, spawner, self.slots, self.start)
        self._late_warned = -WARN_AGAIN_S

    # -- starting

    def open(self) -> None:
        """Begin to hear and judge, and start every stage."""
        self.loop.first = self._hear
        self.loop.late = self._forgive
        self.start_all()
        self._judge_again()
        self._tidy_again()
        self.swaps.open()

    def start_all(self) -> None:
        """Start every stage. None waits for another: all imports overlap."""
        for slot in self.slots.values():
            slot.stopping = False
        self._starting.begin(list(self.slots.values()))

    def start(self, slot: Slot) -> None:
        """Start a process for a stage that has none."""
        slot.cancel_start()
        slot.leaving, slot.start_again, slot.counters, now = None, False, {}, self.loop.clock()
        if slot.incoming is not None:
            self._take_over(slot, slot.incoming)
            return
        try:
            slot.run = self.spawn(slot, slot.restarts)
        except NoSuchProgram as error:
            self._not_started(slot, policy.Exit(CONFIG, now, bye=str(error)), str(error))
            return
        except OSError as error:  # no descriptors, memory or process numbers left: that may pass
            self._not_started(slot, policy.Exit(WORLD, now, bye=f"no process to be had: {error}"), str(error))
            return
        self.hearing.show_start(slot, "starting")

    def spawn(self, slot: Slot, restarts: int) -> Run:
        """Make a process of a stage, to be its `run` or its `incoming` one. Raises NoSuchProgram, OSError."""
        now = self.loop.clock()
        recipe = self.wiring.recipe(slot.table, slot.next_inst(), restarts, slot.history.quick)
        child = Away.expected(recipe) if recipe.remote else self._spawner.spawn(recipe)
        if child.pid:
            self._sweeper.add(child.pid)
        device = slot.name in DEVICE_PLACES
        run = Run(child, now, health.Pulse.begun(now), owns_device=device, series=slot.series)
        self._printing.begin(run)
        if child.pidfd is not None:
            self.loop.watch(child.pidfd, lambda: self._bury(slot, child))
        return run

    def _take_over(self, slot: Slot, run: Run) -> None:
        """The process that was primed ahead becomes the stage's."""
        slot.run, slot.incoming = run, None
        self.swaps.taken_over(slot)
        if run.pulse.deadline is not None:
            self.hearing.show_start(slot, "starting")  # not primed yet: `go` follows its word
            return
        self.hearing.show_start(slot, "primed")
        self.hearing.go(run)

    def _not_started(self, slot: Slot, exit: policy.Exit, why: str) -> None:
        log.error("stage not started", stage=slot.name, reason=why)
        slot.down_since = slot.down_since or exit.started
        self._decide(slot, exit)

    # -- hearing and judging

    def _hear(self) -> float | None:
        """All control and all subscriptions; returns seconds until this is due again."""
        more = self.hearing.read()
        due_ns = self._bus.pump()
        if more:
            return 0.0
        return None if due_ns is None else max(0.0, (due_ns - time.monotonic_ns()) / 1e9)

    def _forgive(self, late_s: float) -> None:
        now, say = self.loop.clock(), log.debug
        if late_s >= WARN_LATE_S and now - self._late_warned >= WARN_AGAIN_S:
            self._late_warned, say = now, log.warning
        reason = "the machine stood still or has too much to do, see `uptime`; every deadline is moved"
        say("supervisor was late", late_s=round(late_s, 2), reason=reason)
        for slot in self.slots.values():
            for run in slot.processes:
                run.pulse.forgive(late_s)

    def _judge_again(self) -> None:
        # what comes from another machine may be late, for which who reads it here is not to blame
        here = [slot for slot in self.slots.values() if slot.table.remote is None]
        pulses = {slot.name: slot.run.pulse for slot in here if slot.run is not None}
        for slot in self.slots.values():
            for process in slot.processes:
                self._printing.settle(process)
                if process.child.pidfd is None:
                    self._bury(slot, process.child)
            if (run := slot.run) is not None and not slot.stopping and not run.hang:
                self._judge(slot, run, pulses)
        self.loop.after(JUDGE_S, self._judge_again)

    def _judge(self, slot: Slot, run: Run, pulses: dict[str, health.Pulse]) -> None:
        now = self.loop.clock()
        times = slot.series.times
        if slot.series.recovered(now - (run.pulse.live_since or now)):
            log.info("stage works again", stage=slot.name, deaths=times, state=slot.state)
        if isinstance(run.child, Away):
            judge_away(slot, run, run.child, now, self.telling)
            return
        if slot.table.command and not run.connected:
            # a foreign program need not speak control: after the start deadline it counts as live while it exists
            if run.pulse.deadline is not None and now > run.pulse.deadline:
                run.pulse.deadline, run.pulse.live_since = None, now
                run.said = ("live", "says nothing on control: only its death is noticed")
                self.hearing.show_said(slot, run)
            return
        if run.pulse.doubtful(now):
            run.pulse.kept_waiting(pids.kept_waiting_s(run.child.pid))
        producers = {stream: pulses[name] for stream, name in slot.table.inputs.items() if name in pulses}
        reason = health.hang(run.pulse, now) or health.deafness(run.pulse, producers)
        if reason:
            if words := self.hearing.unreadable.words(now, slot.name):
                reason = f"{reason}; {words}"
            run.hang = reason
            say = log.debug if slot.series.worn else log.error
            say("stage hangs", stage=slot.name, pid=run.child.pid, reason=reason)
            self.telling.state(slot, "degraded" if run.owns_device else "restarting", reason)
            run.child.kill(signal.SIGABRT)
            run.killing = self.loop.after(ABORT_S, lambda: self.kill(slot))

    def show_stacks(self) -> None:
        """Have every stage of ours print its threads' stacks, also one that hangs in native code."""
        for slot in self.slots.values():
            for run in slot.processes:
                if not slot.table.command:
                    run.child.kill(signal.SIGUSR1)

    # -- stopping

    def stop(self, slot: Slot, reason: str = "") -> None:
        """Have a stage's process end: by word, else by SIGTERM, after GRACE_S by SIGKILL to its group."""
        slot.stopping = True
        slot.cancel_start()
        run = slot.run
        if run is None or run.killing is not None:
            return
        self.telling.state(slot, "stopping", reason)
        if not (run.connected and self._control.say(run.identity, "stop", grace_s=GRACE_S)):
            run.child.kill(signal.SIGTERM)
        run.killing = self.loop.after(GRACE_S, lambda: self.kill(slot))

    def kill(self, slot: Slot) -> None:
        """End a stage's process and its group now. One that the kernel can't end in GRACE_S is left behind."""
        run = slot.run
        if run is None:
            return
        if run.killing is not None:
            run.killing.cancel()
        run.child.kill_group()
        run.killing = self.loop.after(GRACE_S, lambda: self._leave_behind(slot, run))

    def _leave_behind(self, slot: Slot, run: Run) -> None:
        if slot.run is not run:
            return
        log.error("process does not end", stage=slot.name, pid=run.child.pid, reason="it is stuck in the kernel")
        self._let_go(slot, run)
        self._gone(slot, run, -signal.SIGKILL)

    def restart(self, slot: Slot) -> None:
        """Because somebody wants it: its past is forgotten, a wait for its next start is over."""
        slot.history = policy.History(pipeline_restarted=slot.history.pipeline_restarted)
        slot.down_since = slot.down_since or self.loop.clock()
        slot.restarts += 1
        if slot.run is None:
            self.start(slot)
        else:
            slot.start_again = True
            self.stop(slot, "a restart was asked for")

    def close(self) -> None:
        """Everything has ended: end what stages left behind, too."""
        for pid in children.orphans(self._known_pids()):
            children.end_orphan(pid)
        self._sweeper.close()

    # -- dying

    def _bury(self, slot: Slot, child: Child) -> None:
        """The process has ended, or (without pidfd) may have."""
        run = next((run for run in slot.processes if run.child is child), None)
        if run is None or (status := child.reap()) is None:
            return
        if run is slot.incoming:
            self._release(run)
            slot.incoming = None
            self.swaps.incoming_ended(slot)
            return
        self._let_go(slot, run)
        self._end_strays(run)
        self.hearing.read()
        if status == OK and run.bye != "ended" and not slot.stopping:
            self.loop.after(BYE_S, lambda: self._gone(slot, run, status))
        else:
            self._gone(slot, run, status)

    def _release(self, run: Run) -> None:
        self._printing.end(run)
        if run.child.pidfd is not None:
            self.loop.unwatch(run.child.pidfd)
        run.child.close()
        if run.child.pid:
            self._sweeper.discard(run.child.pid)
        if run.killing is not None:
            run.killing.cancel()

    def _let_go(self, slot: Slot, run: Run) -> None:
        self._release(run)
        slot.run, slot.leaving = None, run
        slot.down_since = slot.down_since or self.loop.clock()

    def _gone(self, slot: Slot, run: Run, status: int) -> None:
        if slot.leaving is not run:
            return  # started again meanwhile, by hand
        slot.leaving = None
        how = run.hang or policy.how_it_ended(status)
        if slot.stopping:
            log.info("stage stopped", stage=slot.name, how="in order" if status == OK else how)
            if slot.start_again:
                slot.stopping = False
                self.start(slot)
            elif slot.removed:
                del self.slots[slot.name]
                self.telling.state(slot, "ended", "removed from the configuration")
            else:
                self.on_exit(slot)
            return
        exit = run.exit(status, self.loop.clock())
        if run.bye == "ended":
            log.info("stage ended", stage=slot.name)
        else:
            say_death(slot, run, exit, how)
        self._decide(slot, exit)

    def _decide(self, slot: Slot, exit: policy.Exit) -> None:
        if self.swaps.failed(slot, exit.bye or exit.hang or policy.how_it_ended(exit.status)):
            slot.restarts += 1
            self.start(slot)
            return
        now, systemd = self.loop.clock(), "NOTIFY_SOCKET" in os.environ
        action = policy.decide(slot.rules, slot.history, exit, now, dice=random.random(), under_systemd=systemd)
        slot.history = action.history
        self.telling.state(slot, action.state, action.reason)
        if action.kind != "start":
            if action.kind != "stay_down":
                self.on_escalation(action, slot)
            return
        slot.restarts += 1
        if action.after_s > 0:
            say = log.debug if slot.series.worn else log.info
            say("stage waits for its restart", stage=slot.name, after_s=round(action.after_s, 2))
            slot.pending = self.loop.after(action.after_s, lambda: self.start(slot))
        else:
            self.start(slot)

    # -- what stages leave behind

    def _end_strays(self, run: Run) -> None:
        """End what left the group of a dead process but carries its name in the environment."""
        names = {f"PIPELINE_STAGE={run.child.stage}".encode(), f"PIPELINE_INST={run.child.inst}".encode()}
        for pid in children.orphans(self._known_pids()):
            if names <= pids.environ_of(pid):
                log.warning("orphan ended", stage=run.child.stage, pid=pid)
                children.end_orphan(pid)

    def _known_pids(self) -> set[int]:
        stages = {run.child.pid for slot in self.slots.values() for run in slot.processes}
        return {*stages, *self._spawner.pids, self._sweeper.pid}

    def _tidy_again(self) -> None:
        children.orphans(self._known_pids())
        self._sweeper.revive()
        self.loop.after(TIDY_S, self._tidy_again)
