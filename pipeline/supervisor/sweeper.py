"""Ends what a killed supervisor would leave behind. A program of its own, standard library only: it must start in
milliseconds, and live on when everything else of the pipeline dies.

    python -I -S sweeper.py MARK        with stdin: a pipe from the supervisor

Each line of stdin is `+PGID` or `-PGID`, a process group that came or went. End of file means that the supervisor is
gone: every group still known is killed, then every process that carries MARK in its environment. Stages have nets of
their own (the lifeline, the death signal of their parent), but a program they started has none.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator

PASSES = 20
PASS_S = 0.05
"""A process may fork while /proc is read: look again until nothing is found, for one second at most."""


def marked(mark: bytes) -> Iterator[int]:
    """Processes, other than this one, with `mark` ("NAME=VALUE") in the environment they were started with."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        # gone meanwhile, or another user's
        with contextlib.suppress(OSError), open(f"/proc/{entry}/environ", "rb") as file:
            if mark in file.read().split(b"\0"):
                yield int(entry)


def kill_marked(mark: bytes) -> int:
    """SIGKILL to every marked process; how many there were. 0 where there is no /proc."""
    if not os.path.isdir("/proc/self"):
        return 0
    killed = 0
    for pid in marked(mark):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed


def main() -> None:
    """Wait for the end of the supervisor, then sweep."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # it ends when the supervisor has ended, not before
    mark = os.fsencode(sys.argv[1])
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    for _ in range(PASSES):
        if not kill_marked(mark):
            break
        time.sleep(PASS_S)


if __name__ == "__main__":
    main()
