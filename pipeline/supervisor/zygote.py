"""The fork server: `python -P -m pipeline.supervisor.zygote SUPERVISOR SOCKET [SOCKET2] PADDING`.

It has imported what stages need, so that a stage is a fork (2 ms) instead of an import (0.1 to 0.9 s), and all stages
share its pages. It never imports a person's modules, nor what starts a thread or opens a device (the library of
echo cancellation does the first; a zmq context or PortAudio used before a fork are broken after it).

There are two of them. The first loads what every stage of ours needs, the microphone's first, and forks each stage as
soon as its module is there. The session's SDK takes longer than everything else together, so the first server begins by
forking the second one, which loads the SDK meanwhile. A session that is wanted before that is done needs no import of
its own and does not wait: the loading process becomes the session, and before it does it leaves a copy of itself
behind, which is the server then.

| request | answer |
|---|---|
| `stage` | a process with the stage of `environ`; what `load` names is loaded in it first |
| `become` | none: this process becomes that stage, and leaves a fork server on the socket `server` |
| `server` | a process that loads `load` and is a fork server on the socket `server` |
| `answer` | a process that answers the questions of `config.child` for `module` |
| `ping` | our own process id |
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import socket
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

from pipeline.stage.guard import die_with_parent
from pipeline.stage.memory import settle
from pipeline.supervisor import zygote_child as child
from pipeline.supervisor import zygote_wire as wire
from pipeline.supervisor.recipe import MARK

SDK = "sdk"
STAGE = "pipeline.stage.__main__"
LOADED = (
    "pipeline.stages.capture",
    "av",  # half of what frontend needs: between the two who waits is served
    "pipeline.stages.frontend",
    "pipeline.stages.playback",
    "pipeline.stages.wav_source",
    "pipeline.stages.wav_sink",
    "pipeline.stages.screen",
    "pipeline.config.answering",
    "pipeline.config.describe",
)


ANSWERED_S = 0.008
"""After a module, for the supervisor to ask for its stage before the next is loaded."""


def load(what: str) -> None:
    """Import a module, or what the session needs: its SDK with the types built."""
    if what != SDK:
        importlib.import_module(what)
        return
    importlib.import_module("pipeline.stage.aio")
    importlib.import_module("pipeline.stages.session")
    gemini = importlib.import_module("pipeline.live.gemini")
    gemini.warm_up()
    gemini.check({})  # the type of a session's setup is built when it is first used, too


class Server:
    """One fork server: a socket, and what there is to fork."""

    def __init__(self, supervisor: int, line: socket.socket, beyond: list[str], errors: int) -> None:
        """`beyond`: what Python itself put on the import path. `errors`: where a fork server may complain."""
        self._supervisor, self._line, self._beyond, self._errors = supervisor, line, beyond, errors

    def run(self, to_load: Sequence[str] = ()) -> NoReturn:
        """Serve until the supervisor is gone, and load meanwhile what is to be loaded."""
        try:
            for name in to_load:
                load(name)
                wire.send_reply(self._line, loaded=name)
                while select.select([self._line], [], [], ANSWERED_S)[0]:
                    gc.freeze()
                    self._serve(*self._next())
            settle()  # the collector of a fork must not touch, and so copy, the pages that are shared
            with contextlib.suppress(OSError):  # closed already behind a `become`, which still can be read
                wire.send_reply(self._line, ready=os.getpid())
            while True:
                self._serve(*self._next())
        except (wire.Gone, OSError):
            os._exit(0)

    def _next(self) -> tuple[dict[str, Any], dict[str, int]]:
        try:
            request, descriptors = wire.take_request(self._line)
        except ConnectionResetError:  # closed with our `ready` unread: said once, then what was asked can be read
            request, descriptors = wire.take_request(self._line)
        return request, dict(zip(request["descriptors"], descriptors, strict=True))

    def branch(self, socket_number: int) -> None:
        """Fork the server of the SDK, and say its process id."""
        pid = child.fork_away(partial(self._be_server, (SDK,), socket_number), self._supervisor)
        with contextlib.suppress(OSError):  # a command that failed at once is gone already: `run` says so by itself
            wire.send_reply(self._line, branch=pid)
        os.close(socket_number)

    def _serve(self, request: dict[str, Any], given: dict[str, int]) -> None:
        if request["do"] == "become":
            child.be(partial(self._be_stage, request, given))
        try:
            pid = self._fork(request, given)
        except OSError as error:
            wire.send_reply(self._line, id=request["id"], error=str(error))
        else:
            wire.send_reply(self._line, id=request["id"], pid=pid)
        finally:
            for descriptor in given.values():
                os.close(descriptor)

    def _fork(self, request: dict[str, Any], given: dict[str, int]) -> int:
        match request["do"]:
            case "stage":
                return child.fork_away(partial(self._be_stage, request, given), self._supervisor)
            case "server":
                return child.fork_away(partial(self._be_server, request["load"], given["server"]), self._supervisor)
            case "answer":
                return child.fork_away(partial(self._be_answerer, request, given), self._supervisor)
        return os.getpid()

    def _be_stage(self, request: dict[str, Any], given: dict[str, int]) -> NoReturn:
        environ: dict[str, str] = request["environ"]
        stage = environ["PIPELINE_STAGE"]
        names = {name: environ[name] for name in (MARK, "PIPELINE_STAGE", "PIPELINE_INST")}
        child.take_name(stage, f"voice-pipeline: {stage}", names)
        complaints = os.dup(self._errors)
        child.take_stdio(None, given.get("stdout", given["stderr"]), given["stderr"])
        self._leave_server(given["server"], complaints) if "server" in given else self._load(request["load"])
        child.close_all_but({given["lifeline"]})
        child.take_environment({**environ, "PIPELINE_LIFELINE": str(given["lifeline"])})
        child.take_path(environ.get("PYTHONPATH", ""), self._beyond)
        gc.enable()
        child.take_main(STAGE)
        sys.modules[STAGE].main()
        os._exit(0)

    def _load(self, what: Sequence[str]) -> None:
        try:
            for name in what:
                load(name)
        except Exception as error:  # the stage fails of the same, and can say what it means
            print(f"loaded in vain: {error!r}", file=sys.stderr)

    def _leave_server(self, socket_number: int, complaints: int) -> None:
        settle()
        with contextlib.suppress(OSError):  # no process to be had: the supervisor sees the socket close
            child.fork_away(partial(self._be_copy, socket_number, complaints), self._supervisor)

    def _be_copy(self, socket_number: int, errors: int) -> NoReturn:
        child.take_stdio(None, errors, errors)
        self._be_server((), socket_number)

    def _be_server(self, what: Sequence[str], socket_number: int) -> NoReturn:
        child.close_all_but({socket_number})
        names = {MARK: os.environ[MARK]} if MARK in os.environ else {}
        child.take_name("zygote", "voice-pipeline: fork server (session)", names)
        self._load(what)
        line = socket.socket(fileno=socket_number)
        Server(self._supervisor, line, self._beyond, 2).run()

    def _be_answerer(self, request: dict[str, Any], given: dict[str, int]) -> NoReturn:
        child.take_stdio(given["stdin"], given["stdout"], given["stderr"])
        child.close_all_but(())
        child.take_environment(request["environ"])
        child.take_path(request["environ"].get("PYTHONPATH", ""), self._beyond)
        gc.enable()
        answer = importlib.import_module(request["module"]).answer
        importlib.import_module("pipeline.config.answering").answer_all(answer)
        os._exit(0)


def main() -> NoReturn:
    """Load, then serve."""
    supervisor, line = int(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))
    die_with_parent(supervisor)
    given = os.environ.get("PYTHONPATH", "")
    own = {os.path.abspath(entry) for entry in given.split(os.pathsep)} if given else set()
    beyond = [entry for entry in sys.path if entry not in own]
    gc.disable()  # nothing of what is loaded is garbage
    # off the bytes that the name is written over: OpenBLAS would not find its variable, and start its threads
    child.take_environment(dict(os.environ))
    child.take_name("zygote", "voice-pipeline: fork server", {MARK: os.environ.get(MARK, "")})
    server = Server(supervisor, line, beyond, 2)
    load(STAGE)
    for socket_number in sys.argv[3:-1]:
        gc.freeze()
        server.branch(int(socket_number))
    server.run(LOADED)


if __name__ == "__main__":
    main()
