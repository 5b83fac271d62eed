"""People's commands: what each does and what it answers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from pipeline.supervisor.changes import Changes, Unfit, table_of
from pipeline.supervisor.control import Word
from pipeline.supervisor.settings import Settings, is_percent
from pipeline.supervisor.supervisor import Supervisor
from pipeline.supervisor.telling import TEXT_S

TEXT_LENGTH = 10_000
NAME_LENGTH = 100
PROMPT = re.compile(r"[A-Za-z0-9_-]{1,64}")

log = structlog.get_logger()


class Refused(Exception):
    """The command can't be done; the text says why and what would do."""


class People:
    """Acts on commands, each answered with `ok` or with `error`."""

    def __init__(
        self,
        supervisor: Supervisor,
        settings: Settings,
        status: Callable[[], dict[str, Any]],
        stop: Callable[[str], None],
    ) -> None:
        self._supervisor, self._settings, self._status, self._stop = supervisor, settings, status, stop
        self._changes = Changes(supervisor)
        self._commands: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "status": lambda fields: self._status(),
            "stop": self._stop_all,
            "restart": self._restart,
            "mute": lambda fields: self._mute(True, fields),
            "unmute": lambda fields: self._mute(False, fields),
            "volume": self._volume,
            "say": self._say,
            "trigger": self._trigger,
            "swap": self._swap,
            "reload": self._reload,
            "play": self._play,
        }

    def answer(self, word: Word) -> dict[str, Any]:
        """Do it; returns the reply."""
        command = self._commands.get(word.kind)
        try:
            if command is None:
                raise Refused(f"expected one of {', '.join(self._commands)}, got {word.kind[:40]!r}")
            reply = command(word.fields)
        except Refused as error:
            return {"ok": False, "error": str(error)}
        if word.kind != "status":
            log.info("command obeyed", command=word.kind, by=f"cli/{word.number}")
        return {"ok": True, **reply}

    def _stop_all(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        self._stop("stop was asked for")
        return {}

    def _restart(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        name, slots = fields.get("stage"), self._supervisor.slots
        slot = slots.get(name) if isinstance(name, str) else None
        if slot is None:
            near = difflib.get_close_matches(str(name), slots, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the stages are {', '.join(slots)}"
            raise Refused(f"no stage is called {str(name)[:40]!r}: {hint}")
        if slot.stopping:
            raise Refused(f"{slot.name} is stopping already")
        self._supervisor.restart(slot)
        return {}

    def _swap(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        try:
            self._changes.swap(table_of(fields.get("table")))
        except Unfit as error:
            raise Refused(str(error)) from error
        return {}

    def _reload(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        tables, machine = fields.get("tables"), fields.get("machine")
        if not isinstance(tables, list) or not tables:
            raise Refused("expected the tables of all stages")
        settled = self._supervisor.wiring.pipeline.machine()
        later = [key for key in settled if isinstance(machine, dict) and machine.get(key) != settled[key]]
        try:
            found = self._changes.reload([table_of(table) for table in tables])
        except Unfit as error:
            raise Refused(str(error)) from error
        names = {"added": found.added, "changed": found.changed}
        told = {key: [table.name for table in tables] for key, tables in names.items()}
        return {"removed": list(found.removed), **told, "later": later}

    def _mute(self, muted: bool, fields: Mapping[str, Any]) -> dict[str, Any]:
        by = fields.get("by") or "command"
        if not isinstance(by, str) or len(by) > NAME_LENGTH:
            raise Refused(f"expected who mutes in 1 to {NAME_LENGTH} characters")
        self._settings.muted, self._settings.muted_by = muted, by
        return self._keep()

    def _volume(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        percent = fields.get("percent")
        if not is_percent(percent):
            raise Refused(f"expected a volume of 0 to 100 percent, got {str(percent)[:40]!r}")
        self._settings.volume = percent
        return self._keep()

    def _say(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        text = fields.get("text")
        if not isinstance(text, str) or not text.strip() or len(text) > TEXT_LENGTH:
            raise Refused(f"expected a text of 1 to {TEXT_LENGTH} characters")
        telling = self._supervisor.telling
        name = telling.text(text)
        self._supervisor.loop.after(TEXT_S, lambda: telling.text_over(name))
        return {}

    def _play(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        prompt = fields.get("prompt")
        if not isinstance(prompt, str) or not PROMPT.fullmatch(prompt):
            raise Refused(f"expected the name of a prompt, letters and hyphens, got {str(prompt)[:40]!r}")
        self._supervisor.telling.play(prompt)
        return {}

    def _trigger(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        by = fields.get("by", "command")
        if not isinstance(by, str) or not by or len(by) > NAME_LENGTH:
            raise Refused(f"expected who triggers in 1 to {NAME_LENGTH} characters")
        self._supervisor.telling.trigger(by)
        return {}

    def _keep(self) -> dict[str, Any]:
        """Tell the stages first: a full disk must not keep a microphone open."""
        self._supervisor.telling.settings(self._settings)
        try:
            self._settings.keep()
        except OSError as error:
            why, lasts = f"{self._settings.path}: {error.strerror}", "until the next start only"
            log.error("setting not kept", reason=why, lasts=lasts)
            return {"warning": f"it holds {lasts}, for it can't be kept ({why}): make room there, then say it again"}
        return {}
