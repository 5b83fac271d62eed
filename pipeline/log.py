"""Where log events go: readable lines on a terminal, JSON lines elsewhere, and a file that cannot fill the disk.

Events are verbs with fields: `log.info("stage restarted", stage="capture", after_s=0.4)`. Stages write JSON lines to
stderr, which the supervisor reads and says again in its own form. Whoever reads the log can never hold who writes it:
in the supervisor lines go through a bounded queue (the newest are dropped when it is full, and counted), and a full or
read-only disk costs the lines only.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import queue
import sys
import threading
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Protocol


class _Later(ModuleType):
    """A module that is imported when it is first used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


_SPARED = {"rich": None, "asyncio": _Later("asyncio")}
_KNOWN = {name: sys.modules[name] for name in _SPARED if name in sys.modules}
sys.modules.update(_SPARED)  # type: ignore[arg-type]
# structlog would import the one for tracebacks that we do not print, with a syntax highlighter and more (60 ms and
# 4 MB in every process), the other, with TLS, for loggers to be awaited (30 ms before the microphone is heard). Hence
# log is imported before whoever else imports structlog.
import structlog  # noqa: E402

for _name in _SPARED:
    del sys.modules[_name]
sys.modules.update(_KNOWN)

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
QUEUE_LINES = 2_000
"""Lines waiting for a slow terminal or disk, some minutes of a busy log."""
FLUSH_S = 0.5
"""Longest wait at the end for room in the queue, and again for the lines in it."""
BOOKKEEPING = ("inst", "last_words")
"""Fields that a program wants and a person at a terminal does not: they have just seen the last words scroll by."""
CLEAR_LINE = "\r\x1b[K"
SECRET_WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")
HIDDEN = "***"
SECRET_LENGTH = 8
"""Shorter values of such variables are left alone: hiding `1` would hide half of the log."""


class Outlet(Protocol):
    """A place that log lines go to."""

    def write(self, event: MutableMapping[str, Any]) -> None:
        """Write one event. Never raises."""


class StreamOutlet:
    """A terminal or a pipe. A reader that has gone costs the lines only."""

    def __init__(self, stream: IO[str], secrets: tuple[str, ...], terminal_level: str = "debug") -> None:
        self._stream, self._secrets = stream, secrets
        self._console = structlog.dev.ConsoleRenderer(pad_event_to=28) if stream.isatty() else None
        self._terminal_level = LEVELS[terminal_level]
        self.lost = 0

    def write(self, event: MutableMapping[str, Any]) -> None:
        """Write one line."""
        if self._console is None:
            line = as_json(event)
        elif LEVELS.get(str(event.get("level")), LEVELS["error"]) < self._terminal_level:
            return
        else:
            shown = {key: value for key, value in event.items() if key not in BOOKKEEPING}
            line = str(self._console(None, "", {**shown, "timestamp": str(event.get("timestamp", ""))[11:23]}))
            line = CLEAR_LINE + line  # the screen's changing line may stand here
        try:
            self._stream.write(hide(line, self._secrets) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream was closed
            self.lost += 1


class FileOutlet:
    """A file with a cap: full, it becomes `FILE.1` and a new one begins, so both take 2x the cap at most."""

    def __init__(self, path: Path, cap_mb: float, secrets: tuple[str, ...]) -> None:
        self._path, self._cap_bytes, self._secrets = path, int(cap_mb * 1_000_000), secrets
        self._file: int | None = None
        self._size = 0
        self.lost = 0
        """Lines that found no room. They are named in the first line that does."""

    def write(self, event: MutableMapping[str, Any]) -> None:
        """Append one JSON line, rotating first if it would pass the cap."""
        line = (hide(as_json(event), self._secrets) + "\n").encode(errors="replace")
        if self.lost:
            line = (as_json({"level": "warning", "event": "log lines lost", "lines": self.lost}) + "\n").encode() + line
        try:
            self._make_room(len(line))
            self._append(line)
        except OSError:  # disk full, read-only or gone: a log is never worth a conversation
            self.lost += 1
            self._close()
        else:
            self.lost = 0

    def _make_room(self, size: int) -> None:
        if self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._size = os.fstat(self._file).st_size
        if self._size and self._size + size > self._cap_bytes:
            self._close()
            self._path.replace(self._path.with_name(self._path.name + ".1"))
            self._make_room(size)

    def _append(self, line: bytes) -> None:
        assert self._file is not None
        written = os.write(self._file, line)
        self._size += written
        if written < len(line):
            raise OSError("the disk took a part of the line only")

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None


class Queued:
    """Outlets behind a bounded queue and a thread: a terminal stopped by Ctrl-S must not stop the supervisor."""

    def __init__(self, outlets: list[Outlet]) -> None:
        self._outlets = outlets
        self._lines: queue.Queue[MutableMapping[str, Any] | threading.Event] = queue.Queue(QUEUE_LINES)
        self.lost = 0
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def write(self, event: MutableMapping[str, Any]) -> None:
        """Queue one event; a full queue drops it."""
        try:
            if self.lost:
                self._lines.put_nowait({"level": "warning", "event": "log lines lost", "lines": self.lost})
                self.lost = 0
            self._lines.put_nowait(event)
        except queue.Full:
            self.lost += 1

    def flush(self) -> None:
        """Wait until what is queued is written, but not for ever."""
        done = threading.Event()
        with contextlib.suppress(queue.Full):
            self._lines.put(done, timeout=FLUSH_S)
            done.wait(FLUSH_S)

    def _run(self) -> None:
        while True:
            line = self._lines.get()
            if isinstance(line, threading.Event):
                line.set()
                continue
            for outlet in self._outlets:
                outlet.write(line)


class _Sink:
    """What structlog calls a logger: takes the finished event."""

    def __init__(self, outlets: list[Outlet]) -> None:
        self._outlets = outlets

    def msg(self, event: MutableMapping[str, Any]) -> None:
        for outlet in self._outlets:
            outlet.write(event)

    debug = info = warning = error = critical = msg


def for_supervisor(
    level: str = "info", file: Path | None = None, cap_mb: float = 5, terminal_level: str = "debug"
) -> Queued:
    """Log to stderr (readable if it is a terminal) and, if given, to a capped file. Call once, early.

    `terminal_level`: what a terminal shows at least; where the screen shows the conversation, warnings are enough.
    """
    secrets = secrets_in(os.environ)
    # A writer of its own: stuck in a pipe that nobody reads, the thread would hold the lock of sys.stderr, for which
    # the interpreter waits when it ends.
    stderr = open(sys.stderr.fileno(), "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    outlets: list[Outlet] = [StreamOutlet(stderr, secrets, terminal_level)]
    if file is not None:
        outlets.append(FileOutlet(file, cap_mb, secrets))
    queued = Queued(outlets)
    atexit.register(queued.flush)
    _configure(level, [queued])
    return queued


def early() -> None:
    """Before the configuration says where the log goes: warnings to stderr."""
    _configure("warning", [StreamOutlet(sys.stderr, secrets_in(os.environ))])


def for_stage(level: str = "info", **bound: Any) -> Any:
    """Log JSON lines to stderr, with `bound` (stage=, inst=) in each. Returns the bound logger.

    Written straight away: what a stage says before it dies must be in the pipe, not in a queue.
    """
    _configure(level, [StreamOutlet(sys.stderr, secrets_in(os.environ))])
    return structlog.get_logger(**bound)


def _configure(level: str, outlets: list[Outlet]) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            _stamp,
            _finish,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: _Sink(outlets),
        cache_logger_on_first_use=False,
    )


_clock = structlog.processors.TimeStamper(fmt="iso", utc=True)


def _stamp(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The time of the event, unless it brings that of the stage that said it first."""
    return event if "timestamp" in event else _clock(logger, method, event)


def _finish(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (event,), {}


def unfit(file: Path) -> str:
    """Why nothing can be written to a file, with the remedy; "" if it can. Makes its folder where that is missing."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    except OSError as error:
        return f"{error.strerror}: give `log: {{file: …}}` a path that this user may write to"
    return ""


def as_json(event: Mapping[str, Any]) -> str:
    """One line, `timestamp`, `level` and `event` first; what JSON does not know is written as text."""
    first = {key: event[key] for key in ("timestamp", "level", "event") if key in event}
    return json.dumps({**first, **event}, ensure_ascii=False, default=repr)


def hide(line: str, secrets: tuple[str, ...]) -> str:
    """The line without the values of secret environment variables."""
    for secret in secrets:
        line = line.replace(secret, HIDDEN)
    return line


def secrets_in(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Values of the environment that must never be written anywhere."""
    return tuple(
        value
        for name, value in environ.items()
        if len(value) >= SECRET_LENGTH and any(word in name.upper() for word in SECRET_WORDS)
    )
