"""What the words of stages mean for the supervisor's table."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

import structlog

from pipeline.bus import codec
from pipeline.supervisor.control import Control, Word, counts_of, state_of
from pipeline.supervisor.health import dumbness
from pipeline.supervisor.loop import Loop
from pipeline.supervisor.slot import Run, Slot
from pipeline.supervisor.telling import Telling
from pipeline.supervisor.unreadable import UNREADABLE, Unreadable, told

MALFORMED_S = 1.0
"""Malformed messages are logged this often at most."""

log = structlog.get_logger()


class Hearing:
    """Reads the control socket, keeps the table true to what stages say of themselves."""

    def __init__(self, control: Control, loop: Loop, telling: Telling, slots: Mapping[str, Slot]) -> None:
        self._control, self._loop, self._telling, self._slots = control, loop, telling, slots
        self.on_person: Callable[[Word], None] = lambda word: None
        """Called with each command of a person."""
        self.on_beat: Callable[[], None] = lambda: None
        """Called with each beat of a stage: that there is progress."""
        self.on_join: Callable[[Word], None] = lambda word: None
        """Called when another machine asks for a stage to run."""
        self.unreadable = Unreadable()
        self._refused: Counter[str] = Counter()
        control.on_malformed = self._refuse
        self._logged = 0
        self._logged_at = -MALFORMED_S

    def read(self) -> bool:
        """Everything that has come, up to the bound of one turn. True if more is left."""
        for word in self._control.heard():
            try:
                self._word(word)
            except codec.Malformed as error:
                self._control.refuse(word.sender, str(error))
        self._log_malformed()
        return self._control.waits

    def _word(self, word: Word) -> None:
        if word.sender == "cli" and not word.machine:
            self.on_person(word)
            return
        if word.sender == "join":
            self.on_join(word)
            return
        slot = self._slots.get(word.sender)
        if word.machine and (slot is None or slot.table.remote != word.machine):
            raise codec.Malformed(f"{word.machine}: expected words of a stage that runs there, got {word.sender[:40]}")
        if slot is None:
            return
        if slot.leaving is not None and word.number == slot.leaving.child.inst and word.kind == "bye":
            _bye(slot.leaving, word)
        if slot.incoming is not None and word.number == slot.incoming.child.inst:
            self._of_incoming(slot.incoming, word)
            return
        if slot.run is None or word.number != slot.run.child.inst:
            if word.machine and word.kind == "beat":  # nobody there knows that it was replaced
                self._control.say(f"{word.sender}/{word.number}", "stop", grace_s=1.0)
            return  # the last words of one that was replaced
        self._of_stage(slot, slot.run, word)

    def _of_stage(self, slot: Slot, run: Run, word: Word) -> None:
        now = self._loop.clock()
        run.connected = True
        if word.kind == "beat":
            self._beat(slot, run, word, now)
        elif word.kind == "state":
            run.said = state_of(word)
            self.show_said(slot, run)
        elif word.kind == "hello":
            run.owns_device = run.owns_device or word.fields.get("device") is True
        elif word.kind == "primed":
            run.pulse.primed()
            self.go(run)  # first: what follows writes a file
            self.show_start(slot, "primed")
        elif word.kind == "live":
            run.pulse.live(now)
            self.show_said(slot, run)
        elif word.kind == "bye":
            _bye(run, word)
        elif word.kind == "now":
            self._control.say(run.identity, "now", monotonic_ns=time.monotonic_ns(), asked=word.fields.get("asked"))

    def _of_incoming(self, run: Run, word: Word) -> None:
        """A process that is primed to take a stage over: it waits for its `go`, and the table is not its yet."""
        run.connected = True
        if word.kind == "hello":
            run.owns_device = run.owns_device or word.fields.get("device") is True
        elif word.kind == "primed":
            run.pulse.primed()
        elif word.kind == "bye":
            _bye(run, word)

    def go(self, run: Run) -> None:
        """Let a primed process take its name, sockets and devices, as far as nobody has muted it."""
        run.pulse.told_to_go(self._loop.clock())
        self._control.say(run.identity, "go", settings=self._telling.told)

    def show_start(self, slot: Slot, state: str) -> None:
        """Show `starting` or `primed`, unless the stage is away for the world's sake: then that is how it is."""
        if not slot.stopping and not (slot.down_since is not None and slot.state == "degraded"):
            self._telling.state(slot, state, slot.reason if slot.down_since is not None else "")

    def show_said(self, slot: Slot, run: Run) -> None:
        """Show what a stage says of itself, from the moment that it is live."""
        if run.pulse.live_since is None or slot.stopping or run.hang:
            return
        if run.said[0] == "waiting" and run.owns_device and slot.down_since is not None and slot.state == "degraded":
            return  # it is about to try the device that its predecessor lost: not up, until there is sound
        if slot.down_since is not None:
            after_s = round(self._loop.clock() - slot.down_since, 3)
            slot.down_since = None
            say = log.debug if slot.series.worn else log.info
            say("stage restarted", stage=slot.name, inst=slot.inst, after_s=after_s, restarts=slot.restarts)
        words = self.unreadable.words(self._loop.clock(), slot.name)
        words = words or dumbness(run.pulse, slot.table.inputs, slot.table.emits)
        self._telling.state(slot, *(("degraded", words) if words else run.said))

    def hard_to_read(self, reader: str, writer: str, count: int, words: str) -> None:
        """`reader` could not read so many messages of `writer` since it began."""
        if (slot := self._slots.get(writer)) is None:
            return
        now = self._loop.clock()
        self.unreadable.note(now, reader, writer, count, words)
        if slot.run is not None and (self.unreadable.words(now, writer) or slot.reason.startswith(UNREADABLE)):
            self.show_said(slot, slot.run)

    def _refuse(self, sender: str, error: str) -> None:
        if sender in self._slots:
            self._refused[sender] += 1
            self.hard_to_read("supervisor, control", sender, self._refused[sender], f"control: {error}")

    def _beat(self, slot: Slot, run: Run, word: Word, now: float) -> None:
        taken, sent = counts_of(word)
        self.on_beat()
        if run.pulse.live_since is not None:
            run.said = state_of(word)
            self.show_said(slot, run)
        run.pulse.beat(now, run.said[0] if run.pulse.live_since is not None else "", taken, sent)
        bus = word.fields.get("bus")
        slot.counters = {"in": taken, "out": sent, "bus": bus if isinstance(bus, dict) else {}}
        for writer, (count, words) in told(bus).items():
            self.hard_to_read(slot.name, writer, count, words)

    def _log_malformed(self) -> None:
        new, now = self._control.malformed - self._logged, self._loop.clock()
        if new and now - self._logged_at >= MALFORMED_S:
            self._logged_at, self._logged = now, self._control.malformed
            log.warning("malformed control message dropped", error=self._control.last_malformed, count=new)


def _bye(run: Run, word: Word) -> None:
    reason = word.fields.get("reason", "")
    run.bye = reason if isinstance(reason, str) else ""
