"""Stages as forks of a process that has imported everything already; exec wherever that is not to be had.

Neither of the fork servers is needed by a stage that runs, nor by the next start: one that is away, loading or stuck
costs a start by exec, and is replaced.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

import structlog

from pipeline.config import child as questions
from pipeline.pids import stopped
from pipeline.supervisor import zygote_wire as wire
from pipeline.supervisor.children import Child, Ends, ExecSpawner
from pipeline.supervisor.recipe import Recipe
from pipeline.supervisor.zygote_answerer import Answerer
from pipeline.supervisor.zygote_launch import ForkServer, NoFork, launch, same_program

if TYPE_CHECKING:
    from pipeline.supervisor.loop import Loop

FORK_S = 1.0
"""A fork takes 5 ms. On a machine so busy that it takes a second, exec would take many."""
LOOK_S = 0.05
"""Between two looks, while waiting for a fork, whether the server is stopped: such a one is not waited for."""
FIRST_S = 5.0
"""For the server to load before it is first needed. Exec would have to load the same beside it."""
PING_S = 1.0
SILENT_S = 5.0
"""A server that answers no ping for so long is stuck: found out before a start has to."""
AGAIN_S = (0.5, 60.0)
"""Before a lost server is replaced: doubles while it does not come to serving."""
UNWANTED_S = 5.0
"""After this long without a stage that uses the SDK, nobody keeps it loaded."""
STAGES, SDK = "stages", "sdk"
"""The two servers: what all stages need, and that with the session's SDK."""
USES_SDK = "pipeline.stages.session"
ARGUMENTS = ("-P", "-m", "pipeline.stage")
OURS = ("PYTHONUNBUFFERED", "PYTHONFAULTHANDLER")
"""What every stage has of them, and a process that answers questions need not have."""

log = structlog.get_logger()


class ZygoteSpawner:
    """Forks what is ours, executes the rest."""

    def __init__(self, mark: str, launched: Sequence[ForkServer] = ()) -> None:
        """`mark`: NAME=VALUE that all our processes carry. `launched`: the servers, if they were launched already."""
        self._mark = mark
        self._exec = ExecSpawner()
        self._servers: dict[str, ForkServer] = {}
        self._dead: set[int] = set()
        self._loop: Loop | None = None
        self._failures = 0
        self._sdk_wanted = False
        self._servers.update(zip((STAGES, SDK), launched or launch(mark), strict=False))

    # -- processes

    @property
    def pids(self) -> set[int]:
        """The fork servers."""
        return {server.pid for server in self._servers.values() if server.pid} | self._dead

    def spawn(self, recipe: Recipe) -> Child:
        """A fork if it can be, else a new program. Raises as ExecSpawner does."""
        try:
            return self._fork(recipe)
        except NoFork as why:
            log.debug("stage started by exec", stage=recipe.stage, reason=str(why))
        return self._exec.spawn(recipe)

    def ready_for(self, use: str | None) -> bool:
        """Whether a stage of ours would not wait, nor be executed because of it, for modules being loaded just now."""
        module = (use or "").partition(":")[0]
        kind = SDK if module == USES_SDK else STAGES
        self._hear(STAGES)
        self._hear(SDK)
        server = self._servers.get(kind)
        if server is None or server.ready or use is None:
            return True
        return bool(server.pid) if kind == SDK else module in server.loaded

    def start(
        self, module: str, question: IO[bytes], answers: IO[bytes], noise: IO[bytes], environ: Mapping[str, str]
    ) -> questions.Process:
        """A process that answers questions of `config`; see `config.child.Starter`."""
        try:
            server = self._server(STAGES, within_s=FIRST_S)
            same_program(server, {**{name: server.environ[name] for name in OURS}, **environ})
            files = {"stdin": question.fileno(), "stdout": answers.fileno(), "stderr": noise.fileno()}
            return Answerer(self._ask(server, files, do="answer", module=module, environ=dict(environ)))
        except NoFork:
            return questions.by_exec(module, question, answers, noise, environ)

    def attach(self, loop: Loop) -> None:
        """From now on lost servers are noticed and replaced."""
        self._loop = loop
        for kind in list(self._servers):
            self._watch(kind)
        loop.after(PING_S, self._ping_again)
        loop.after(UNWANTED_S, lambda: self._drop(SDK) if SDK in self._servers and not self._sdk_wanted else None)

    def close(self) -> None:
        """End the servers."""
        for kind in list(self._servers):
            self._drop(kind)
        for pid in self._dead:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    # -- forking

    def _fork(self, recipe: Recipe) -> Child:
        if not recipe.ours or recipe.argv != (sys.executable, *ARGUMENTS):
            raise NoFork("another program")
        module = str(json.loads(recipe.environ["PIPELINE_WIRING"]).get("use", "")).partition(":")[0]
        with_sdk = module == USES_SDK
        self._sdk_wanted |= with_sdk
        if with_sdk and (loading := self._loading()) is not None:
            return self._become(recipe, loading)
        server, load = self._best(with_sdk, module)
        same_program(server, recipe.environ)
        with Ends.opened() as ends:
            given = self._given(recipe, ends)
            return ends.child(recipe, self._ask(server, given, do="stage", environ=dict(recipe.environ), load=load))

    def _given(self, recipe: Recipe, ends: Ends) -> dict[str, int]:
        stdout = {"stdout": 1} if recipe.terminal else {}
        return {"stderr": ends.said_write, "lifeline": ends.life_read, **stdout}

    def _best(self, with_sdk: bool, module: str) -> tuple[ForkServer, tuple[str, ...]]:
        """The server for a stage, and what must be loaded in the fork."""
        for kind in (SDK, STAGES) if with_sdk else (STAGES, SDK):
            with contextlib.suppress(NoFork):
                return self._server(kind, module=module), (SDK,) if with_sdk and kind == STAGES else ()
        raise NoFork("no fork server is ready")

    def _loading(self) -> ForkServer | None:
        """The server of the SDK if it exists and is not ready yet."""
        for kind in (STAGES, SDK):
            self._hear(kind)
        server = self._servers.get(SDK)
        return server if server is not None and server.pid and not server.ready else None

    def _become(self, recipe: Recipe, loading: ForkServer) -> Child:
        """Have a server that is still loading become the stage, and leave a copy of itself as the server."""
        same_program(loading, recipe.environ)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, contextlib.ExitStack() as if_failed:
            if_failed.callback(ours.close)
            with Ends.opened() as ends:
                given = {**self._given(recipe, ends), "server": theirs.fileno()}
                try:
                    body = {"do": "become", "environ": dict(recipe.environ), "load": (), "descriptors": list(given)}
                    wire.send_request(loading.line, body, tuple(given.values()))
                except wire.Gone as why:
                    self._lost(SDK, str(why))
                    raise NoFork(str(why)) from why
                child = ends.child(recipe, loading.pid)
            if_failed.pop_all()
        loading.pid = 0  # it is a stage now, and must not be ended with its line
        self._drop(SDK)
        self._add(SDK, ForkServer(ours, environ=loading.environ))
        return child

    def _server(self, kind: str, within_s: float = 0.0, module: str = "") -> ForkServer:
        """A server that is ready, or has loaded `module` at least; waited for. Raises NoFork."""
        end = time.monotonic() + within_s
        while (server := self._servers.get(kind)) is not None:
            self._hear(kind)
            if (server.ready or module in server.loaded) and self._servers.get(kind) is server:
                return server
            if (left_s := end - time.monotonic()) <= 0:
                break
            select.select([server.line], [], [], left_s)
        raise NoFork(f"the fork server ({kind}) is not ready")

    def _ask(self, server: ForkServer, given: Mapping[str, int], **body: Any) -> int:
        """The process id that a server answers with. Raises NoFork; a server that does not answer is done with."""
        kind = next(kind for kind, known in self._servers.items() if known is server)
        server.asked += 1
        end = time.monotonic() + (FORK_S if server.ready else FIRST_S)
        try:
            if stopped(server.pid):
                raise wire.Gone("stopped")
            request = {**body, "id": server.asked, "descriptors": list(given)}
            wire.send_request(server.line, request, tuple(given.values()))
            while (reply := wire.take_reply(server.line)) is None or reply.get("id") != server.asked:
                if reply is not None:
                    self._note(kind, server, reply)
                elif not select.select([server.line], [], [], LOOK_S)[0]:
                    if stopped(server.pid):
                        raise wire.Gone("stopped")
                    if time.monotonic() > end:
                        raise wire.Gone(f"did not fork within {FORK_S:g} s")
        except (wire.Gone, OSError) as why:  # OSError: no memory or descriptor for the request
            self._lost(kind, str(why))
            raise NoFork(str(why)) from why
        server.answered, server.answered_at = server.asked, time.monotonic()
        if "pid" not in reply:
            raise NoFork(str(reply.get("error")))
        return int(reply["pid"])

    # -- keeping the servers

    def _launch(self) -> None:
        try:
            self._add(STAGES, launch(self._mark, with_sdk=False)[0])
        except OSError as error:
            log.warning("no fork server", reason=str(error))
            self._again(STAGES)

    def _add(self, kind: str, server: ForkServer) -> None:
        self._servers[kind] = server
        if self._loop is not None:
            self._watch(kind)

    def _watch(self, kind: str) -> None:
        assert self._loop is not None
        self._loop.watch(self._servers[kind].line.fileno(), lambda: self._hear(kind))

    def _hear(self, kind: str) -> None:
        server = self._servers.get(kind)
        try:
            while server is not None and (reply := wire.take_reply(server.line)) is not None:
                self._note(kind, server, reply)
        except wire.Gone as why:
            self._lost(kind, str(why))

    def _note(self, kind: str, server: ForkServer, reply: Mapping[str, Any]) -> None:
        if "ready" in reply:
            server.ready, server.pid, server.answered_at = True, int(reply["ready"]), time.monotonic()
            self._reap()  # the one before it
            if self._loop is not None:  # before that the log is not set up
                log.debug("fork server ready", server=kind, pid=server.pid)
        elif "loaded" in reply:
            server.loaded.add(str(reply["loaded"]))
        elif "branch" in reply:
            if SDK in self._servers and not self._servers[SDK].pid:
                self._servers[SDK].pid = int(reply["branch"])
        else:
            server.answered = max(server.answered, int(reply.get("id", 0)))
            server.answered_at = time.monotonic()

    def _ping_again(self) -> None:
        assert self._loop is not None
        self._loop.after(PING_S, self._ping_again)
        self._reap()
        for kind, server in list(self._servers.items()):
            self._hear(kind)
            if not server.ready or self._servers.get(kind) is not server:
                continue
            silent_s = time.monotonic() - server.answered_at
            if stopped(server.pid) or (server.answered < server.asked and silent_s > SILENT_S):
                self._lost(kind, "stopped" if stopped(server.pid) else f"no answer for {silent_s:.0f} s")
                continue
            if server.answered < server.asked:
                continue
            self._failures = 0
            server.asked += 1
            try:
                wire.send_request(server.line, {"do": "ping", "id": server.asked, "descriptors": []}, ())
            except (wire.Gone, OSError) as why:
                self._lost(kind, str(why))

    def _lost(self, kind: str, why: str) -> None:
        pid = self._servers[kind].pid
        # 0: not heard of yet, what a session was to leave behind that was ended before it came to that
        (log.warning if pid else log.debug)("fork server lost", server=kind, pid=pid, reason=why)
        self._drop(kind)
        self._reap()
        self._again(kind)

    def _drop(self, kind: str) -> None:
        server = self._servers.pop(kind)
        if self._loop is not None:
            self._loop.unwatch(server.line.fileno())
        server.line.close()
        if server.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(server.pid, signal.SIGKILL)  # it may be stopped, and never see that its line is closed
            self._dead.add(server.pid)

    def _reap(self) -> None:
        for pid in list(self._dead):
            try:
                ended = os.waitpid(pid, os.WNOHANG)[0] == pid
            except ChildProcessError:
                ended = True
            if ended:
                self._dead.discard(pid)

    def _again(self, kind: str) -> None:
        if self._loop is None:
            return
        wait_s = min(AGAIN_S[1], AGAIN_S[0] * 2.0 ** min(self._failures, 20))
        self._failures += 1
        again: Callable[[], None] = self._launch if kind == STAGES else self._branch
        self._loop.after(wait_s, lambda: again() if kind not in self._servers else None)

    def _branch(self) -> None:
        """Have the first server fork the second one."""
        if not self._sdk_wanted:
            return
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            log.warning("no fork server", reason=str(error))
            self._again(SDK)
            return
        with theirs:
            try:
                server = self._server(STAGES)
                pid = self._ask(server, {"server": theirs.fileno()}, do="server", load=(SDK,))
            except NoFork:
                ours.close()
                self._again(SDK)
                return
        self._add(SDK, ForkServer(ours, pid, environ=server.environ))
