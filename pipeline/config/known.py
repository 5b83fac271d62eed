"""What the stages that ship say of themselves, remembered from an earlier run.

Nothing needs it: without it a child process imports them all to say the same, which keeps the microphone closed for
0.2 s longer. It holds for exactly the package that said it: each of its files by size, times and number, its place, and
the interpreter. A person's stages are never remembered: what they say may hang on anything.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.config.use import BUILTIN, builtin_stages, modules
from pipeline.package import CODE

Line = dict[str, Any]
"""The answer of `config.describe` for one stage."""

FILE: Final = "stages.json"
MOST_BYTES: Final = 1_000_000
PACKAGE: Final = CODE / "pipeline"


class Known:
    """The file of what is remembered. Whatever is wrong with it, it is as if it were empty."""

    def __init__(self, folder: Path | None, package: Path = PACKAGE) -> None:
        """`folder`: where the file is; None: nowhere, nothing is remembered."""
        self._folder = folder
        self._key = fingerprint(package) if folder is not None else ""
        self._lines: dict[str, Line] = self._read()

    def line(self, name: str, use: str | None) -> Line | None:
        """What the stage `name` said, None if that is not known."""
        return self._lines.get(_shipped(name, use))

    def keep(self, said: Mapping[tuple[str, str | None], Line]) -> None:
        """Remember what stages (by name and `use`) said now. Costs nothing but the memory where it can't be written."""
        new = {_shipped(name, use): line for (name, use), line in said.items() if "problem" not in line}
        new.pop("", None)
        if self._folder is None or new.items() <= self._lines.items():
            return
        self._lines |= new
        body = json.dumps({"key": self._key, "stages": self._lines}).encode()
        part = self._folder / f"{FILE}.{os.getpid()}"
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                part.write_bytes(b"%08x\n" % zlib.crc32(body) + body)
                part.chmod(0o600)
                part.replace(self._folder / FILE)
            except OSError:
                part.unlink(missing_ok=True)

    def _read(self) -> dict[str, Line]:
        if self._folder is None:
            return {}
        try:
            file = os.open(self._folder / FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return {}
        with os.fdopen(file, "rb") as opened:
            about = os.fstat(file)
            ours = about.st_uid == os.geteuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if not stat.S_ISREG(about.st_mode) or not ours or about.st_size > MOST_BYTES:
                return {}
            try:
                check, _, body = opened.read(MOST_BYTES).partition(b"\n")
                if int(check, 16) != zlib.crc32(body):
                    return {}
                found = json.loads(body)
                return dict(found["stages"]) if found["key"] == self._key else {}
            except (OSError, ValueError, KeyError, TypeError):
                return {}


def folder(environ: Mapping[str, str]) -> Path | None:
    """`$CACHE_DIRECTORY` (of systemd), else `$XDG_CACHE_HOME/voice-pipeline`, else `~/.cache/voice-pipeline`."""
    if os.path.isabs(given := environ.get("CACHE_DIRECTORY", "").partition(":")[0]):
        return Path(given)
    if os.path.isabs(given := environ.get("XDG_CACHE_HOME", "")):
        return Path(given) / "voice-pipeline"
    if os.path.isabs(given := environ.get("HOME", "")):
        return Path(given) / ".cache" / "voice-pipeline"
    return None


def fingerprint(package: Path = PACKAGE) -> str:
    """Another one as soon as a file of the package is another one."""
    return json.dumps([sys.version, str(package), *sorted(_files(str(package)))])


def _files(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _files(entry.path)
            elif entry.name.endswith(".py"):
                about = entry.stat()
                yield f"{entry.path} {about.st_size} {about.st_mtime_ns} {about.st_ctime_ns} {about.st_ino}"


def _shipped(name: str, use: str | None) -> str:
    """`module:Class` (the class may be missing) of a stage that ships, "" for others."""
    candidates, cls = modules(name, use)
    package, _, module = candidates[0].rpartition(".")
    return f"{candidates[0]}:{cls}" if package == BUILTIN and module in builtin_stages() else ""
