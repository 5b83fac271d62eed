"""What the supervisor tells everybody: stage states, mute, volume, texts; and the connection file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from pipeline import places
from pipeline.bus.producer import Producer
from pipeline.supervisor import report
from pipeline.supervisor.recipe import Wiring
from pipeline.supervisor.settings import Settings
from pipeline.supervisor.slot import Slot

BAD = ("degraded", "failed")
"""States whose beginning is a warning, and whose end is worth a line. Deaths and restarts have events of their own."""
TEXTS, TEXT_S = 8, 60.0
"""So many texts are told again to a session that comes, for so long; the oldest goes first."""

log = structlog.get_logger()


class Telling:
    """The supervisor's own bus, and the file by which others find all of them."""

    def __init__(self, wiring: Wiring, bus: Producer, slots: Mapping[str, Slot]) -> None:
        self._wiring, self._bus, self._slots = wiring, bus, slots
        self._connection: dict[str, Any] = {}
        self._unwritten = False
        """It could not be written the last time, which is a warning once."""
        self._verdict = ""
        self._texts: list[str] = []
        self.on_state: Callable[[str, str, str], None] = lambda stage, state, reason: None
        """Called with each change that is told."""
        self.on_setting: Callable[[str, Mapping[str, Any]], None] = lambda name, body: None
        """Called whenever mute or volume is told."""
        self.told: Mapping[str, Mapping[str, Any]] = {}
        """Mute and volume as they hold, by the names of their events."""

    def state(self, slot: Slot, state: str, reason: str = "") -> None:
        """Note and tell how a stage is; nothing is told if nothing changed."""
        if state != slot.state or (reason and reason != slot.reason):
            level = "warning" if state in BAD else "info" if slot.state in (*BAD, "waiting") else "debug"
            getattr(log, "debug" if slot.series.worn and state not in ("failed", "ended") else level)(
                "stage is", stage=slot.name, state=state, reason=reason
            )
        slot.state, slot.reason = state, reason
        pid = slot.run.child.pid or None if slot.run is not None else None
        body = {"stage": slot.name, "state": state, "reason": reason, "inst": slot.inst, "pid": pid}
        if body != slot.told:
            slot.told = body
            self.on_state(slot.name, state, reason)
            # sticky, so that a screen or tap that joins later knows them all at once
            self._bus.event("stage", body, sticky=True, key=slot.name)
            self._write_connection()

    def settings(self, settings: Settings, when: str = "") -> None:
        """Mute and volume; stages that start later hear them too. `when`: said beside who muted it."""
        told: dict[str, dict[str, Any]] = {
            "mute": {"muted": settings.muted, "by": (settings.muted_by or "somebody") + when}
        }
        if settings.volume is not None:
            told["volume"] = {"percent": settings.volume}
        self.told = told
        for name, body in told.items():
            self._bus.event(name, body, sticky=True)
            self.on_setting(name, body)

    def verdict(self, line: str) -> None:
        """Keep the verdict where it can be read when nobody answers."""
        self._verdict = line
        self._write_connection()

    def end(self, how: str) -> None:
        """Keep how it ended where it can be read when nobody runs."""
        try:
            places.write_end(self._wiring.run_dir, report.connection(self._wiring, self._slots.values(), how))
        except OSError as error:
            log.warning("end not written", file=str(places.end_file(self._wiring.run_dir)), error=error.strerror)

    def text(self, text: str) -> str:
        """Something that a person typed for the model. Sticky, for a session that is only just being replaced; returns
        the name by which `text_over` ends that."""
        name = os.urandom(8).hex()
        if len(self._texts) == TEXTS:
            self.text_over(self._texts[0])
        self._texts.append(name)
        self._bus.event("text_in", {"text": text, "id": name}, sticky=True, key=name)
        return name

    def text_over(self, name: str) -> None:
        """Whoever has not heard of it by now need not."""
        if name in self._texts:
            self._texts.remove(name)
            self._bus.release("text_in", name)

    def trigger(self, by: str) -> None:
        """Somebody wants to be listened to."""
        self._bus.event("trigger", {"by": by})

    def play(self, prompt: str) -> None:
        """A prompt that a person wants to hear."""
        self._bus.event("play", {"name": prompt, "cause": "command"})

    def keep_connection(self) -> None:
        """Write the connection file again if somebody has removed it."""
        if self._connection and not os.path.exists(places.connection_file(self._wiring.run_dir)):
            self._connection = {}
            self._write_connection()

    def _write_connection(self) -> None:
        connection = report.connection(self._wiring, self._slots.values(), self._verdict)
        if connection == self._connection:
            return
        try:
            places.write_connection(self._wiring.run_dir, connection)
        except OSError as error:  # tried again at the next change; stages know it all from their environment
            say = log.debug if self._unwritten else log.warning
            self._unwritten = True
            file, remedy = places.connection_file(self._wiring.run_dir), "make room there: taps and `swap` need it"
            say("connection file not written", file=str(file), error=error.strerror, next=remedy)
        else:
            self._connection, self._unwritten = connection, False
