"""What makes a forked copy of the fork server the very process that exec would have made.

Before anything of a stage runs: a group of its own, the supervisor as parent and its death signal, no descriptor but
stdio and the lifeline, the environment, the import path, `__main__`, and a name for `ps`.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import sys
import time
from collections.abc import Callable, Collection, Mapping
from typing import NoReturn

from pipeline.stage.guard import die_with_parent

PR_SET_NAME = 15
REPARENTED_S = 5.0
"""For the process between us and the fork server to have ended: microseconds, on a machine that is not frozen."""
ARGUMENTS_AT = 45
"""Place, after the name, of arg_start, arg_end, env_start and env_end in /proc/self/stat."""

_libc = ctypes.CDLL(None)


def fork_away(become: Callable[[], NoReturn], supervisor: int) -> int:
    """Fork a process that is no child of ours and runs `become`; returns its pid. Raises OSError.

    Twice: the process between ends at once, and the kernel gives its child to the supervisor, the nearest subreaper,
    which so learns the true exit status and does not depend on our life. When this returns, that has happened.
    """
    read, write = os.pipe()
    try:
        between = os.fork()
        if between == 0:
            _between(become, supervisor, write)
        os.close(write)
        write = -1
        told = os.read(read, 16)
        os.waitpid(between, 0)
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)
    if not told:
        raise OSError("no process to be had")
    return int(told)


def _between(become: Callable[[], NoReturn], supervisor: int, write: int) -> NoReturn:
    try:
        child = os.fork()
        if child == 0:
            _child(become, supervisor)
        with contextlib.suppress(OSError):  # it may have been faster
            os.setpgid(child, child)  # before anybody knows its number, so that its group can be killed at once
        os.write(write, str(child).encode())
    finally:
        os._exit(0)


def _child(become: Callable[[], NoReturn], supervisor: int) -> NoReturn:
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    _wait_for_parent(supervisor)
    die_with_parent(supervisor)
    be(become)


def be(become: Callable[[], NoReturn]) -> NoReturn:
    """Run `become`; however it ends, this process ends as an interpreter would, but without being torn down."""
    try:
        become()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if end.code is not None and not isinstance(end.code, int):
            print(end.code, file=sys.stderr)
        _leave(code)
    except BaseException:
        import traceback

        traceback.print_exc()
        _leave(1)
    _leave(0)


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code & 0xFF)


def _wait_for_parent(supervisor: int) -> None:
    """The death signal is of the parent one has when asking for it: asked for too early, it is of the wrong one."""
    end = time.monotonic() + REPARENTED_S
    while os.getppid() != supervisor:
        if time.monotonic() > end:
            os._exit(1)  # the supervisor is gone, or is no subreaper: nobody would ever end us
        time.sleep(0.0002)


def take_stdio(stdin: int | None, stdout: int, stderr: int) -> None:
    """Make these our standard streams; without `stdin` it stays as it is (empty)."""
    for ours, theirs in ((0, stdin), (1, stdout), (2, stderr)):
        if theirs is not None:
            os.dup2(theirs, ours)


def close_all_but(kept: Collection[int]) -> None:
    """Close every descriptor above stdio but these: exec would have closed the fork server's own."""
    for name in os.listdir("/proc/self/fd"):
        if (number := int(name)) > 2 and number not in kept:
            with contextlib.suppress(OSError):  # the one that listed them
                os.close(number)


def take_environment(environ: Mapping[str, str]) -> None:
    """Have this environment and no other, in C as well."""
    for name in set(os.environ) - set(environ):
        del os.environ[name]
    os.environ.update(environ)


def take_path(pythonpath: str, beyond: list[str]) -> None:
    """Search modules where a new interpreter would: PYTHONPATH, then what it finds by itself (`beyond`)."""
    entries = [os.path.abspath(entry) for entry in pythonpath.split(os.pathsep)] if pythonpath else []
    sys.path[:] = list(dict.fromkeys([*entries, *beyond]))
    importlib.invalidate_caches()  # a person's modules may have come while the fork server ran


def take_main(module: str) -> None:
    """Be `python -m MODULE` for who looks at `__main__` and `sys.argv`, such as multiprocessing."""
    main = importlib.import_module(module)
    sys.modules["__main__"] = main
    sys.argv[:] = [str(main.__file__)]


def take_name(name: str, title: str, environ: Mapping[str, str]) -> None:
    """Be `name` in `top` and `title` in `ps`; have `environ` found in /proc/PID/environ.

    The supervisor knows by that file what a stage left behind. It shows the bytes that the kernel was given at exec;
    `take_environment` moves the program's own environment off them.
    """
    _libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    arg_start, arg_end, env_start, env_end = map(int, fields[ARGUMENTS_AT : ARGUMENTS_AT + 4])
    _write(arg_start, arg_end, title.encode())
    _write(env_start, env_end, b"".join(f"{key}={value}\0".encode() for key, value in environ.items()))


def _write(start: int, end: int, text: bytes) -> None:
    room = end - start
    if start and room > 1:
        ctypes.memmove(start, text[: room - 1].ljust(room, b"\0"), room)
