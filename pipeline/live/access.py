"""With what the service lets us in: a key, a token that lasts for half an hour, or the credentials of Google Cloud.

A secret is read when a connection is dialled, so that one which was renewed holds without a restart. It stands in no
text that anybody writes: `Target` does not show it, and `hidden` takes it out of what others say.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.live.failures import CALM_S, Failure, LineFailed
from pipeline.live.service import KEYS, Service, Target, target, uses_vertex
from pipeline.log import HIDDEN, SECRET_LENGTH

COMMAND_S = 10.0
"""How long a command may take to print a token."""
TOKEN_LIVES_S = 25 * 60.0
"""A session may be resumed with the token that began it for 30 minutes; a fresh one can begin only one session."""
LONGEST = 8_192
TOKEN = "auth_tokens/"
"""How ephemeral tokens begin."""
PROJECT, LOCATION = "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"


@dataclass(frozen=True)
class Access:
    """What the options say. At most one of the three sources; none: the environment."""

    project: str = ""
    """Of Google Cloud."""
    location: str = ""
    key_file: Path | None = None
    token_file: Path | None = None
    token_command: Sequence[str] = ()
    """A program and its arguments that prints a token."""
    api_version: str = ""

    @property
    def sources(self) -> list[str]:
        """The options that name where a secret is."""
        named = {"key_file": self.key_file, "token_file": self.token_file, "token_command": self.token_command}
        return [name for name, value in named.items() if value]


def unfit(service: Service, access: Access, environ: Mapping[str, str]) -> str:
    """What is missing or too much, with the key and the next step; empty if it will do."""
    if len(access.sources) > 1:
        return f"{access.sources[1]}: there is {access.sources[0]} already; take one of them out"
    if service != "vertex":
        for name in ("project", "location"):
            if getattr(access, name):
                return f"{name}: is for Vertex AI alone: set `service: vertex`, or take it out"
        return ""
    if access.sources:
        if access.sources == ["key_file"]:
            return "project: not with key_file, whose key has its own: take one of them out" if access.project else ""
        return f"{access.sources[0]}: Vertex AI takes no ephemeral tokens: use key_file, or a project and a location"
    for name, variable, example in (("project", PROJECT, "my-project"), ("location", LOCATION, "europe-west4")):
        if not (getattr(access, name) or environ.get(variable, "").strip()):
            return f"{name}: Vertex AI needs it: write `{name}: {example}`, or set {variable}"
    return ""


class Credentials:
    """Gives each connection what it needs. `folder`: relative paths and commands start there. `now_s`: a clock."""

    def __init__(
        self,
        service: Service,
        access: Access,
        environ: Mapping[str, str],
        folder: Path,
        run_dir: Path,
        now_s: Callable[[], float],
    ) -> None:
        self._service, self._access, self._environ = service, access, environ
        self._folder, self._run_dir, self._now_s = folder, run_dir, now_s
        self._token, self._token_s = "", 0.0

    async def target(self, *, resuming: bool) -> Target:
        """Where and with what to dial now. `resuming`: a session goes on, with the token that began it if that still
        holds. Raises LineFailed while one of them is not to be had."""
        access = self._access
        bare = target(self._service, self._environ, self._run_dir, said=bool(access.sources))
        if self._service == "simulator":
            return bare
        bare = replace(bare, api_version=access.api_version or self._environ.get("GOOGLE_GENAI_API_VERSION", ""))
        if self._service == "vertex" and not access.sources:
            project = access.project or self._environ.get(PROJECT, "").strip()
            location = access.location or self._environ.get(LOCATION, "").strip()
            source = "the credentials of Google Cloud: `gcloud auth application-default login`"
            return replace(bare, project=project, location=location, key_from=source)
        if self._service == "gemini" and not access.sources and uses_vertex(self._environ):
            return bare
        key, source = await self._key(resuming)
        version = bare.api_version or ("v1alpha" if key.startswith(TOKEN) else "")
        return replace(bare, key=key, key_from=source, api_version=version)

    def refused(self) -> None:
        """The service did not take it: the next connection has a fresh one."""
        self._token = ""

    async def _key(self, resuming: bool) -> tuple[str, str]:
        access = self._access
        if access.token_command:
            if resuming and self._token and self._now_s() - self._token_s < TOKEN_LIVES_S:
                return self._token, "token_command"
            self._token = fit(await self._printed(access.token_command), "token_command")
            self._token_s = self._now_s()
            return self._token, "token_command"
        for name, path in (("token_file", access.token_file), ("key_file", access.key_file)):
            if path is not None:
                return fit(_read(self._folder / path, name), name), f"{name}: {self._folder / path}"
        name = next(each for each in KEYS if self._environ.get(each, "").strip())  # else `service.target` had raised
        return fit(self._environ[name], name), name

    async def _printed(self, command: Sequence[str]) -> str:
        name = f"token_command: {Path(command[0]).name}"
        try:
            process = _started(command, self._folder)
        except OSError as error:
            raise _failed(f"{name} can't be run ({error.strerror})", "check its path, and that it may be run") from None
        try:
            async with asyncio.timeout(COMMAND_S):
                printed = await asyncio.to_thread(_read_to_end, process)
        except TimeoutError:
            raise _failed(f"{name} printed nothing for {COMMAND_S:.0f} s", "run it by hand") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode > 0 and len(printed) <= LONGEST:
            raise _failed(f"{name} ended with {process.returncode}", "run it by hand to see why")
        return printed.decode("utf-8", "replace")


def _started(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(command),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # it may hold what must not be logged
        start_new_session=True,
    )


def _read_to_end(process: subprocess.Popen[bytes]) -> bytes:
    """What it prints, until it ends or has printed too much."""
    assert process.stdout is not None
    with process.stdout:
        printed = process.stdout.read(LONGEST + 1)
    if len(printed) <= LONGEST:
        process.wait()
    return printed


def fit(text: str, source: str) -> str:
    """A key or token without what surrounds it. Raises LineFailed for what can be none; shows nothing of it."""
    key = text.strip()
    if not key:
        raise _failed(f"{source} holds nothing", "write the key or token there, and nothing else")
    if len(key) > LONGEST or not key.isascii() or not key.isprintable() or " " in key:
        raise _failed(f"{source} holds something else than a key or token", "write it there alone, in one line")
    return key


def hidden(text: str, key: str) -> str:
    """`text` without the key, should it stand there. One of a few letters is none, and stands in every word."""
    return text.replace(key, HIDDEN) if len(key) >= SECRET_LENGTH else text


def _read(path: Path, name: str) -> str:
    try:
        with path.open("r", encoding="utf-8", errors="replace") as file:
            return file.read(LONGEST + 2)
    except OSError as error:
        words = f"{name}: {path} can't be read ({error.strerror})"
        raise _failed(words, "create it, readable for this user, with the key or token in one line") from None


def _failed(words: str, remedy: str) -> LineFailed:
    return LineFailed(Failure("key", words, remedy, wait_cap_s=CALM_S))
