"""Who may speak from machine to machine: key pairs in files, whose key belongs to which endpoint, who is let in.

Within a machine the file system guards the bus. A tcp endpoint is guarded by CURVE: nobody reads or speaks without a
key that is on the list. The secret half never leaves its file but into the memory of who uses it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TCP = "tcp://"
PUBLIC, SECRET = ".key", ".key_secret"
"""Ends of the names of the two files of a pair, as other programs of ZeroMQ know them; so is what they hold."""
NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_KEY = r"-key\s*=\s*\"(?P<key>[^\"\n]{40})\""


class Unfit(Exception):
    """A key or an endpoint that can't be used. The text names it, and what to do."""


@dataclass(frozen=True)
class Pair:
    """A key pair, each half in the 40 characters of Z85."""

    public: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Identity:
    """This machine among others."""

    pair: Pair
    servers: Mapping[str, str]
    """Endpoint to the public key of the machine that binds there."""
    allow: Mapping[str, Mapping[str, str]]
    """`bus` and `control` to the machines that may connect: name to public key."""

    @classmethod
    def from_wiring(cls, said: Mapping[str, Any]) -> Identity:
        """As the wiring of a stage or the connection file tells it. Raises Unfit, KeyError."""
        return cls(read_pair(Path(said["pair"])), dict(said["servers"]), dict(said.get("allow", {})))


_own: Identity | None = None


def be(identity: Identity | None) -> None:
    """From now on every tcp socket of this process is guarded as this machine's. A process is on one machine."""
    global _own
    _own = identity


def server_at(endpoint: str) -> Identity | None:
    """Whose guard to set where we bind; None: it needs none. Raises Unfit where it would stand open."""
    return _own if _needs(endpoint) else None


def client_of(endpoint: str) -> tuple[Pair, str] | None:
    """Our pair and the public key of who binds there; None: in the open. Raises Unfit where that must not be."""
    if not _needs(endpoint) or _own is None:
        return None
    try:
        return _own.pair, _own.servers[endpoint]
    except KeyError:
        raise Unfit(f"{endpoint}: it is not known whose key is there") from None


def _needs(endpoint: str) -> bool:
    if not endpoint.startswith(TCP):
        return False
    if _own is None and not is_loopback(endpoint):
        raise Unfit(f"{endpoint} would stand open to everybody: give the machine keys with `curve:`")
    return _own is not None


def is_loopback(endpoint: str) -> bool:
    """Whether a tcp endpoint can be reached from this machine alone."""
    import ipaddress  # 2 ms of a start, for the few that need it

    try:
        return ipaddress.ip_address(endpoint.removeprefix(TCP).rpartition(":")[0].strip("[]")).is_loopback
    except ValueError:
        return False


def make_pair(folder: Path, name: str, pair: Pair) -> None:
    """Write the two files of a new pair. Raises Unfit; never replaces one."""
    if not NAME.fullmatch(name):
        raise Unfit(f"{name!r} names no machine: a-z, 0-9, '_' and '-', a letter first, 32 at most")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(folder / f"{name}{SECRET}", 0o600, f'public-key = "{pair.public}"\n    secret-key = "{pair.secret}"')
        _write(folder / f"{name}{PUBLIC}", 0o644, f'public-key = "{pair.public}"')
    except FileExistsError as error:
        raise Unfit(f"{error.filename} is there already: choose another name, or move it away") from error
    except OSError as error:
        raise Unfit(f"{error.filename or folder}: {error.strerror}; choose another folder by --in") from error


def _write(path: Path, mode: int, lines: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "w") as file:
        file.write(f"metadata\ncurve\n    {lines}\n")


def read_public(folder: Path, name: str) -> str:
    """The public key of a machine. Raises Unfit."""
    path = folder / f"{name}{PUBLIC}"
    try:
        return _key(path, path.read_text(), "public")
    except OSError as error:
        remedy = f"`voice-pipeline keys new {name} --in {folder}` there, and copy {path.name} here"
        raise Unfit(f"{path}: {error.strerror}; {remedy}") from error


def read_pair(path: Path) -> Pair:
    """A pair from the file of its secret half. Raises Unfit, also for a file that others may read."""
    try:
        with path.open() as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4096)
    except OSError as error:
        name = path.name.removesuffix(SECRET)
        raise Unfit(f"{path}: {error.strerror}; `voice-pipeline keys new {name} --in {path.parent}`") from error
    if mode & 0o077:
        raise Unfit(f"{path} is open to others: chmod 600 {path}, or make a new pair if somebody may have read it")
    return Pair(_key(path, text, "public"), _key(path, text, "secret"))


def _key(path: Path, text: str, half: str) -> str:
    found = re.search(half + _KEY, text)
    if found is None:
        raise Unfit(f'{path}: expected a line {half}-key = "…" of 40 characters')
    return found["key"]
