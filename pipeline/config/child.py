"""Questions to a child process that imports what the asking one must not: a JSON line of answer for each stage."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import IO, Any, Protocol

from pipeline.package import import_path

Answer = dict[str, Any]


class Process(Protocol):
    """A child process."""

    pid: int

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, or minus the signal. Raises subprocess.TimeoutExpired."""


class Starter(Protocol):
    """A way of starting a child that answers for a module, leader of its own session."""

    def __call__(
        self, module: str, question: IO[bytes], answers: IO[bytes], noise: IO[bytes], environ: Mapping[str, str]
    ) -> Process:
        """The files are its stdin, stdout and stderr."""


def by_exec(
    module: str,
    question: IO[bytes],
    answers: IO[bytes],
    noise: IO[bytes],
    environ: Mapping[str, str],
    python: str = sys.executable,
) -> Process:
    """A new interpreter: works everywhere."""
    return subprocess.Popen(
        [python, "-P", "-m", module],
        stdin=question,
        stdout=answers,
        stderr=noise,
        env=environ,
        start_new_session=True,
    )


def ask(
    module: str,
    requests: Sequence[Mapping[str, Any]],
    environ: Mapping[str, str],
    timeout_s: float,
    start: Starter = by_exec,
    python: str | None = None,
) -> tuple[dict[str, Answer], dict[str, str]]:
    """What `python -m MODULE` answers to each request, and what became of those without an answer, both by `name`.

    A stage that ends the child, or keeps it for `timeout_s`, costs its own answer only: the others are asked again.
    `python`: another interpreter than this one, which `start` then can't be.
    """
    start = start if python is None else partial(by_exec, python=python)
    environ = _environ(environ, python)
    answers: dict[str, Answer] = {}
    ends: dict[str, str] = {}
    left = list(requests)
    while left:
        given, end = _ask(module, left, environ, timeout_s, start)
        answers.update(given)
        left = [request for request in left if request["name"] not in given]
        if left:
            ends[left.pop(0)["name"]] = end
    return answers, ends


def _ask(
    module: str, requests: Sequence[Mapping[str, Any]], environ: Mapping[str, str], timeout_s: float, start: Starter
) -> tuple[dict[str, Answer], str]:
    """The answers of one child, and how it ended. Files, not pipes, which a grandchild may hold open for ever."""
    with _scratch() as question, _scratch() as answers, _scratch() as noise:
        question.write(json.dumps(requests).encode())
        question.seek(0)
        child = start(module, question, answers, noise, environ)
        end = f"took more than {timeout_s:g} s"
        try:
            code = child.wait(timeout_s)
            how = f"with {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
            end = f"ended the process {how}{_last_line(noise)}"
        except subprocess.TimeoutExpired:
            pass
        finally:  # also what it left behind: a module may start programs when it is imported
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        answers.seek(0)
        lines = [json.loads(line) for line in answers if line.endswith(b"\n")]
    return {line["name"]: line for line in lines}, end


def _environ(environ: Mapping[str, str], python: str | None) -> dict[str, str]:
    """The child finds this very package, wherever the command was typed, and starts no thread for each core."""
    path = os.pathsep.join(part for part in (*import_path(python), environ.get("PYTHONPATH", "")) if part)
    return {**environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}


def _scratch() -> IO[bytes]:
    """A file in memory: on a kiosk whose disk is read-only there may be no folder for temporary files."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("pipeline-config"), "w+b")
    import tempfile

    return tempfile.TemporaryFile()


def _last_line(noise: IO[bytes]) -> str:
    noise.seek(0)
    lines = noise.read(1_000_000).decode(errors="replace").strip().splitlines()
    return f": {lines[-1]}" if lines else ""
