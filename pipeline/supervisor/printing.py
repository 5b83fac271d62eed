"""Reads what stages print, at a bounded pace, and says it in the log; there also how they died."""

from __future__ import annotations

import os

import structlog

from pipeline.exits import WORLD
from pipeline.log import LEVELS
from pipeline.supervisor.loop import Loop
from pipeline.supervisor.policy import Exit
from pipeline.supervisor.slot import Run, Slot
from pipeline.supervisor.stderr import BYTES_A_TURN, TURN_S, Said

LAST_READ_BYTES = 262_144
"""Of what a dead stage left in its pipe: a grandchild may still be filling it."""

log = structlog.get_logger()


class Printing:
    """The stderr pipes of all processes."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def begin(self, run: Run) -> None:
        """Read this process's pipe whenever there is something in it."""
        self._loop.watch(run.child.stderr, lambda: self._read(run))
        run.reading = True

    def settle(self, run: Run) -> None:
        """Say the counts of repeated and dropped lines whose time is over."""
        self._say(run, run.voice.settle(self._loop.clock()))

    def end(self, run: Run) -> None:
        """The process is dead: read what it left, stop reading."""
        run.reading = False
        self._loop.unwatch(run.child.stderr)
        left, now = LAST_READ_BYTES, self._loop.clock()
        while left > 0 and (data := _read_once(run.child.stderr)):
            left -= len(data)
            self._say(run, run.voice.feed(data, now))
        self._say(run, run.voice.close(now))

    def _read(self, run: Run) -> None:
        data = _read_once(run.child.stderr)
        if data is None:
            return
        if data:
            self._say(run, run.voice.feed(data, self._loop.clock()))
        if not data or len(data) >= BYTES_A_TURN:
            # closed, and then readable for ever; or a flood, which its full pipe slows down
            self._loop.unwatch(run.child.stderr)
        if data and len(data) >= BYTES_A_TURN:
            self._loop.after(TURN_S, lambda: self._read_on(run))

    def _read_on(self, run: Run) -> None:
        if run.reading:
            self._loop.watch(run.child.stderr, lambda: self._read(run))

    def _say(self, run: Run, lines: list[Said]) -> None:
        for said in lines:
            fields = {**said.fields, "stage": run.child.stage}
            fields.pop("event", None)
            level = "debug" if run.series.worn else said.level if said.level in LEVELS else "info"
            getattr(log, level)(said.event, **fields)


def say_death(slot: Slot, run: Run, exit: Exit, how: str) -> None:
    """Of a process that nobody asked to end, and `how` it did: with its last words, but not for the hundredth time."""
    series, fields = slot.series, {"stage": slot.name, "pid": run.child.pid, "how": how}
    worn = series.worn
    series.death(run.bye or how, exit.live_s)
    say = log.warning if exit.status == WORLD else log.error
    # where it said itself why it left, its lines are not said twice
    words = [run.bye] if exit.status == WORLD and run.bye else list(run.voice.tail)
    if worn and series.worn:
        say = say if series.counted else log.debug
        fields["times"], words = series.times, words[-1:]
    say("stage died", **fields, last_words=words)


def _read_once(descriptor: int) -> bytes | None:
    """Bytes, nothing at the end of the pipe, None if there is nothing yet."""
    try:
        return os.read(descriptor, BYTES_A_TURN)
    except BlockingIOError:
        return None
