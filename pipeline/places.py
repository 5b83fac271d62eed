"""Where a pipeline keeps what: the run directory, gone after a reboot, and the state directory, which outlives it.

RUN is `$PIPELINE_RUN_DIR`, else `$RUNTIME_DIRECTORY` (systemd), else `$XDG_RUNTIME_DIR/voice-pipeline/NAME`, else
`TMP/voice-pipeline-UID/NAME`. STATE is `$STATE_DIRECTORY` (systemd), else `$XDG_STATE_HOME/voice-pipeline/NAME`, else
`~/.local/state/voice-pipeline/NAME`; where none of them can be written, a folder in RUN.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

SOCKET_PATH_BYTES: Final = 107
"""What the kernel holds of the path of a socket."""
LOCK: Final = "lock"
PRODUCT: Final = "voice-pipeline"
_PATIENCE_S: Final = 0.2
"""How long a lock is tried for: `find_runs` of another process holds each for an instant."""


class PlaceError(Exception):
    """A folder that can't be used. The text names it, and what to set or do."""


class AlreadyRunning(PlaceError):
    """The run directory belongs to another supervisor."""

    def __init__(self, run: Path, pid: int) -> None:
        by = f"by process {pid}" if pid else "by a process that is just starting"
        remedy = f"end it (`voice-pipeline stop`, or kill {pid})" if pid else "wait for it"
        second = "PIPELINE_RUN_DIR=/another/folder" if "PIPELINE_RUN_DIR" in os.environ else "--set name=another"
        super().__init__(f"{run} is in use {by}: {remedy}, or start a second one with {second}")
        self.pid = pid
        """0 if it is not known yet."""


@dataclass(frozen=True)
class State:
    """The state directory."""

    path: Path
    degraded: str = ""
    """Why what is kept there will not outlive a reboot; empty if it will."""


@dataclass(frozen=True)
class FoundRun:
    """A pipeline that is running."""

    name: str
    """As its connection file says, else the folder's name."""
    run_dir: Path
    pid: int
    """Of the supervisor; 0 for the instant before it is known."""


# -- where


def run_directory(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """RUN of the pipeline `name`. Nothing is created."""
    return _given(environ) or _bases(environ)[0] / name


def state_directories(name: str, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Where STATE of the pipeline `name` may be, the best first. Empty without a home. Nothing is created."""
    if given := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return [Path(os.path.abspath(given))]
    folders = []
    if os.path.isabs(home := environ.get("XDG_STATE_HOME", "")):  # the XDG specification: a relative one is ignored
        folders.append(Path(home))
    if home := environ.get("HOME") or _account_home():
        folders.append(Path(home) / ".local" / "state")
    return [folder / PRODUCT / name for folder in folders]


def bus_endpoint(run: Path, stage: str) -> str:
    """Where a stage binds. Raises PlaceError for a path that no socket can have."""
    return _endpoint(run / f"{stage}.bus")


def control_endpoint(run: Path) -> str:
    """Where the supervisor hears stages and people. Raises PlaceError as `bus_endpoint` does."""
    return _endpoint(run / "control")


def connection_file(run: Path) -> Path:
    """What tells a reader where everybody binds."""
    return run / "bus.json"


def end_file(run: Path) -> Path:
    """What tells how the last pipeline there ended, in fields of the connection file."""
    return run / "ended.json"


# -- making them


def make_run(run: Path) -> None:
    """Create RUN, for its owner alone (0700). Raises PlaceError if it can't be, or belongs to somebody else."""
    ours = _temporary() / f"{PRODUCT}-{os.geteuid()}"
    if ours in run.parents:  # who may write there could swap RUN
        _make_private(ours)
    _make_private(run)


def make_state(name: str, run: Path, environ: Mapping[str, str] = os.environ) -> State:
    """Create STATE (0700), in RUN where nothing else can be written. Raises PlaceError if not even that."""
    why = "no home directory"
    for folder in state_directories(name, environ):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):  # os.access lies to root, and about read-only disks
                return State(folder)
        except OSError as error:
            why = f"{folder}: {error.strerror}"
    folder = run / "state"
    _make_private(folder)
    return State(folder, f"settings are lost at the next reboot ({why}): set STATE_DIRECTORY to a folder of your own")


def identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another that was put in its place; None if nothing is there. Raises OSError."""
    try:
        return _identity(os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


class RunLock:
    """The proof that this process owns RUN; holds it until `release` or the end of the process, however it ends."""

    def __init__(self, run: Path) -> None:
        """Raises AlreadyRunning naming the other supervisor, PlaceError if the lock can't be written."""
        self._run = run
        try:
            self._file = os.open(run / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise PlaceError(f"{run / LOCK}: {error.strerror}; set PIPELINE_RUN_DIR to a folder of your own") from error
        deadline = time.monotonic() + _PATIENCE_S
        while not self._try():
            if time.monotonic() > deadline:
                pid = _pid_in(self._file)
                os.close(self._file)
                raise AlreadyRunning(run, pid)
            time.sleep(0.02)
        os.ftruncate(self._file, 0)
        with contextlib.suppress(OSError):  # a full disk: then nobody knows whose it is, but ours it is
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def _try(self) -> bool:
        try:
            return _lock(self._file, fcntl.LOCK_EX)
        except OSError as error:
            os.close(self._file)
            raise PlaceError(f"{self._run / LOCK}: {error.strerror}; set PIPELINE_RUN_DIR to a local disk") from error

    def release(self) -> None:
        """Let the next one in. The file stays: removing it would let two processes lock two files of one name."""
        if self._file >= 0 and identity(self._run / LOCK) == _identity(os.fstat(self._file)):  # else RUN is another's
            with contextlib.suppress(OSError):
                connection_file(self._run).unlink()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> RunLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def write_connection(run: Path, content: Mapping[str, Any]) -> None:
    """Write the connection file (0600) as a whole: a reader finds the old or the new one. Raises OSError."""
    _write(connection_file(run), content)


def write_end(run: Path, content: Mapping[str, Any]) -> None:
    """Write how the pipeline ended, for who asks then. Raises OSError."""
    _write(end_file(run), content)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as text:
            json.dump(content, text, indent=1)
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


# -- finding them


def holder(run: Path) -> int | None:
    """Pid of the supervisor that holds RUN, 0 for the instant before it is known; None if nobody does."""
    try:
        file = os.open(run / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return None if _lock(file, fcntl.LOCK_SH) else _pid_in(file)
    finally:
        os.close(file)


def find_runs(environ: Mapping[str, str] = os.environ) -> list[FoundRun]:
    """The running pipelines of this user, or the one whose directory the environment names."""
    held = [(folder, holder(folder)) for folder in _candidates(environ)]
    return [FoundRun(_name(folder), folder, pid) for folder, pid in held if pid is not None]


def find_past_runs(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Where pipelines ran that run no more."""
    return [folder for folder in _candidates(environ) if holder(folder) is None]


def _candidates(environ: Mapping[str, str]) -> list[Path]:
    if given := _given(environ):
        return [given]
    folders = [folder for base in _bases(environ) for folder in [base, *sorted(_folders(base))]]
    return list(dict.fromkeys(folders))


def _name(run: Path) -> str:
    try:
        name = json.loads(connection_file(run).read_text()).get("name")
    except (OSError, ValueError, AttributeError):
        return run.name
    return name if isinstance(name, str) else run.name


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid_in(file: int) -> int:
    text = os.pread(file, 20, 0).strip()
    return int(text) if text.isdigit() else 0


def _given(environ: Mapping[str, str]) -> Path | None:
    given = environ.get("PIPELINE_RUN_DIR") or environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(os.path.abspath(given)) if given else None


def _bases(environ: Mapping[str, str]) -> list[Path]:
    """Every folder that holds run directories of this user, the one for new ones first."""
    folders = dict.fromkeys((_temporary(), Path("/tmp")))
    bases = [*(folder / f"{PRODUCT}-{os.geteuid()}" for folder in folders), Path("/run") / PRODUCT]
    given = environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(given) and _is_ours(Path(given)):  # after `sudo -u` it is somebody else's
        bases.insert(0, Path(given) / PRODUCT)
    return bases


def _temporary() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except OSError:  # none can be written; whether RUN needs it is seen when RUN is made
        return Path("/tmp")


def _folders(base: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir(base) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)


def _is_ours(folder: Path) -> bool:
    try:
        status = folder.stat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and os.access(folder, os.W_OK | os.X_OK)


def _make_private(folder: Path) -> None:
    remedy = "set PIPELINE_RUN_DIR to a folder of your own"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Opened, not named again: between looking and changing, a link could be put in its place.
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise PlaceError(f"{folder}: {error.strerror}; {remedy}") from error
    try:
        status = os.fstat(file)
        if status.st_uid != os.geteuid():
            raise PlaceError(f"{folder} belongs to {_account(status.st_uid)}, not to you; {remedy}")
        if status.st_mode & 0o077:
            if status.st_mode & 0o1022 or set(os.listdir(file)) - {LOCK, "bus.json", "ended.json"}:
                raise PlaceError(f"{folder} is open to others and not ours alone; chmod 700 it, or {remedy}")
            os.fchmod(file, 0o700)  # systemd makes it 0755
    except OSError as error:
        raise PlaceError(f"{folder}: {error.strerror}; {remedy}") from error
    finally:
        os.close(file)


def _endpoint(path: Path) -> str:
    size = len(os.fsencode(path))
    if size > SOCKET_PATH_BYTES:
        raise PlaceError(
            f"{path} has {size} bytes, and the path of a socket holds {SOCKET_PATH_BYTES}: "
            f"set PIPELINE_RUN_DIR to a shorter folder, such as /tmp/{PRODUCT}"
        )
    return f"ipc://{path}"


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _account_home() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:  # a container's user without an account
        return ""
