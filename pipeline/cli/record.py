"""`record TAPE [PATTERN…]`: what passes on the bus, into a file. Any reader can be stopped; no stage notices."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from pipeline import __version__, exits, log
from pipeline.bus import privacy
from pipeline.bus.listener import Heard, Listener
from pipeline.bus.tape import Recorder
from pipeline.cli import running

FLUSH_S = 1.0
"""What a loss of power costs at most. A tape is written to the disk once in this time, whatever passes."""
DISK_FULL = 74
"""sysexits' EX_IOERR: the tape ends early."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("tape", type=Path, metavar="TAPE", help="the file to write; it must not be there yet")
    parser.add_argument(
        "patterns", nargs="*", metavar="PATTERN", help="topics or edges: event.*, gain/voice; default all"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="longest time (default 60)")
    parser.add_argument("--max-mb", type=float, default=500.0, help="largest file (default 500)")
    kinds = ("everything", "no_audio", "no_words")
    parser.add_argument("--privacy", choices=kinds, default="no_audio", help="what is kept (default no_audio)")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    running.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Record until Ctrl-C or a bound (0). 1: the file can't be made. 74: the disk took no more."""
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if args.force else os.O_EXCL)
        file: BinaryIO = os.fdopen(os.open(args.tape, flags, 0o600), "wb", 2**18)
    except OSError as error:
        hint = "choose another name, or --force" if isinstance(error, FileExistsError) else "choose another place"
        print(f"{args.tape}: {error.strerror}; {hint}", file=sys.stderr)
        return exits.CRASH
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell's background job inherits SIGINT ignored
        signal.signal(number, _interrupt)
    running.look_on()
    listener = Listener(running.wait_for(args), args.patterns)
    header = {
        "version": __version__,
        "privacy": args.privacy,
        "patterns": args.patterns,
        "monotonic_ns": time.monotonic_ns(),
        "wall_s": time.time(),
        "name": args.name or "",
    }
    why = "stopped"
    try:
        recorder = Recorder(file, header, int(args.max_mb * 1e6))
        with contextlib.suppress(KeyboardInterrupt):
            why = _record(recorder, listener, args, file)
        file.close()
    except OSError as error:
        print(f"{args.tape}: {error.strerror}; what was written until then can be read", file=sys.stderr)
        return DISK_FULL
    finally:
        listener.close()
    print(f"{args.tape}: {recorder.entries} messages, {recorder.bytes / 1e6:.1f} MB ({why})", file=sys.stderr)
    return exits.OK


def _record(recorder: Recorder, listener: Listener, args: argparse.Namespace, file: BinaryIO) -> str:
    """Until a bound is met; returns which."""
    secrets, began_ns = log.secrets_in(os.environ), time.monotonic_ns()
    until = time.monotonic() + args.minutes * 60
    lost = 0
    while (left_s := until - time.monotonic()) > 0:
        for message in listener.heard(min(FLUSH_S, left_s)):
            lost += message.missed
            t = message.fields.get("t")
            if isinstance(t, int) and t < began_ns:  # said again to a stage that was restarted, and said before
                continue
            if not recorder.write(message.ns, message.topic, _kept(message, args.privacy, secrets)):
                return f"--max-mb {args.max_mb:g} is full"
        file.flush()
    return f"--minutes {args.minutes:g} are over" + (f", {lost} messages missed" if lost else "")


def _kept(message: Heard, kind: privacy.Privacy, secrets: tuple[str, ...]) -> dict[str, object]:
    return privacy.keep(message.topic, message.fields, kind, secrets)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
