"""Stages as forks, beside the same stages as programs of their own: nobody can tell them apart but by the clock."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.package import CODE
from pipeline.pids import PR_SET_CHILD_SUBREAPER
from pipeline.supervisor.children import Child, ExecSpawner, Spawner
from pipeline.supervisor.loop import Loop
from pipeline.supervisor.recipe import MARK, Recipe
from pipeline.supervisor.zygote_launch import possible
from pipeline.supervisor.zygote_spawner import SDK, STAGES, ZygoteSpawner

pytestmark = [pytest.mark.process, pytest.mark.skipif(not possible(), reason="forks need Linux")]

DEADLINE_S = 20.0
PROBE = """
import gc, json, os, sys, threading
from pipeline import Stage

names = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]  # before zmq opens and closes its own
files = [os.readlink(name).partition(":")[0] for name in names if os.path.lexists(name)]

class Probe(Stage):
    end: str = ""
    out: str = ""

    def prime(self):
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        seen = {
            "environ": {name: value for name, value in os.environ.items() if name != "PIPELINE_LIFELINE"},
            "path": sys.path, "argv": sys.argv, "main": sys.modules["__main__"].__spec__.name, "flags": list(sys.flags),
            "files": sorted(files), "stdin": os.readlink("/proc/self/fd/0"), "cwd": os.getcwd(),
            "lifeline": os.readlink("/proc/self/fd/" + os.environ["PIPELINE_LIFELINE"]).partition(":")[0],
            "signals": [status[name] for name in ("SigBlk", "SigIgn", "SigCgt")], "leads": os.getpgid(0) == os.getpid(),
            "parent": os.getppid(), "session": os.getsid(0),
            "collects": gc.isenabled(), "limit": sys.getrecursionlimit(),
            "encodings": [sys.stdout.encoding, sys.stderr.encoding, sys.getfilesystemencoding()],
            "unbuffered": sys.stdout.write_through, "threads": threading.active_count(),
            "locale": __import__("locale").setlocale(__import__("locale").LC_ALL),
        }
        with open(self.out + ".part", "w") as file:
            json.dump(seen, file)
        os.replace(self.out + ".part", self.out)
        exec(self.end)
"""


class Nest:
    """Spawns probes."""

    def __init__(self, home: Path) -> None:
        self.home, self.inst = home, 0
        (home / "probe.py").write_text(PROBE)
        self.mark = f"test.{os.getpid()}.{time.monotonic_ns()}"
        self.forks = ZygoteSpawner(f"{MARK}={self.mark}")
        self.forks._server(STAGES, within_s=DEADLINE_S)
        self.programs = ExecSpawner()
        self.children: list[Child] = []

    def recipe(self, end: str = "", use: str = "probe:Probe", **environ: str) -> Recipe:
        self.inst += 1
        wiring = {
            "bind": f"ipc://{self.home}/probe.bus",
            "control": f"ipc://{self.home}/control",
            "use": use,
            "config_dir": str(self.home),
            "options": {"end": end, "out": str(self.out)} if use == "probe:Probe" else {},
        }
        ours = {
            "PYTHONPATH": f"{CODE}{os.pathsep}{self.home}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PIPELINE_STAGE": "probe",
            "PIPELINE_INST": str(self.inst),
            "PIPELINE_RUN": str(self.home),
            "PIPELINE_WIRING": json.dumps(wiring),
            MARK: self.mark,
        }
        argv = (sys.executable, "-P", "-m", "pipeline.stage")
        return Recipe("probe", self.inst, argv, {**os.environ, **ours, **environ})

    @property
    def out(self) -> Path:
        return self.home / f"seen.{self.inst}"

    def spawn(self, recipe: Recipe, by: Spawner | None = None) -> Child:
        self.children.append((by or self.forks).spawn(recipe))
        return self.children[-1]

    def seen(self) -> dict[str, Any]:
        until(self.out.exists)
        return dict(json.loads(self.out.read_text()))

    def server(self, kind: str = STAGES) -> int:
        return self.forks._servers[kind].pid

    def close(self) -> None:
        for child in self.children:
            child.kill_group()
            ended(child)
            child.close()
        self.forks.close()


def until(true: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
    end = time.monotonic() + deadline_s
    while not (result := true()):
        assert time.monotonic() < end, f"not within {deadline_s} s"
        time.sleep(0.002)
    return result


def ended(child: Child) -> int:
    """How it ended, for ever after."""
    if not hasattr(child, "code"):
        assert child.pidfd is not None
        assert select.select([child.pidfd], [], [], DEADLINE_S)[0], "it lives on"
        child.code = child.reap()  # type: ignore[attr-defined]
    return child.code  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def nest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nest]:
    home = tmp_path_factory.mktemp("z")
    nest = Nest(home)
    yield nest
    nest.close()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()


def forked(pid: int) -> bool:
    return name_of(pid) == "voice-pipeline: probe"


def test_a_fork_is_the_process_that_exec_would_have_made(nest: Nest) -> None:
    recipe = nest.recipe(GREETING="Grüß Gott")
    program = nest.spawn(recipe, nest.programs)
    by_exec = nest.seen()
    nest.out.unlink()
    fork = nest.spawn(recipe)
    by_fork = nest.seen()
    assert forked(fork.pid)
    assert not forked(program.pid)
    assert by_fork == by_exec
    assert by_fork["parent"] == os.getpid()
    assert by_fork["leads"]
    assert by_fork["environ"]["GREETING"] == "Grüß Gott"
    assert Path(f"/proc/{fork.pid}/comm").read_text() == "probe\n"
    carried = set(Path(f"/proc/{fork.pid}/environ").read_bytes().split(b"\0"))
    assert {b"PIPELINE_STAGE=probe", f"PIPELINE_INST={nest.inst}".encode(), f"{MARK}={nest.mark}".encode()} <= carried


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("sys.exit(0)", 0),
        ("sys.exit(3)", 3),
        ("os._exit(69)", 69),
        ("from pipeline.stage.life import WorldError; raise WorldError('gone')", 69),
        ("from pipeline.config.options import OptionError; raise OptionError('end: no')", 78),
        ("1 / 0", 1),
        ("os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("os.kill(os.getpid(), 15)", -signal.SIGTERM),
        ("os.abort()", -signal.SIGABRT),
    ],
)
def test_how_it_ended_is_told_as_it_was(nest: Nest, end: str, code: int) -> None:
    assert ended(nest.spawn(nest.recipe(end))) == code


def test_signals_reach_it_and_what_it_said_last_is_read(nest: Nest) -> None:
    child = nest.spawn(nest.recipe("print('last words', flush=True)"))
    assert select.select([child.stderr], [], [], DEADLINE_S)[0]
    assert b"last words" in os.read(child.stderr, 65536)
    child.kill(signal.SIGABRT)
    assert ended(child) == -signal.SIGABRT
    said = os.read(child.stderr, 65536)
    assert b"Fatal Python error: Aborted" in said


def test_it_ends_with_its_lifeline(nest: Nest) -> None:
    child = nest.spawn(nest.recipe())
    nest.seen()
    os.close(child.lifeline)
    child.lifeline = os.open(os.devnull, os.O_RDONLY)
    assert ended(child) == 1


def test_a_module_that_cannot_be_imported_ends_it_with_78(nest: Nest) -> None:
    child = nest.spawn(nest.recipe(use="absent:Absent"))
    assert ended(child) == 78
    assert b"can't be imported" in os.read(child.stderr, 65536)


def test_a_stage_with_an_interpreter_of_its_own_is_executed(nest: Nest) -> None:
    child = nest.spawn(nest.recipe(PYTHONHASHSEED="7"))
    assert nest.seen()["environ"]["PYTHONHASHSEED"] == "7"
    assert not forked(child.pid)


def test_servers_have_one_thread_and_two_hundred_forks_leak_nothing(nest: Nest) -> None:
    def state() -> tuple[int, int, int]:
        pages = int(Path(f"/proc/{nest.server()}/statm").read_text().split()[1])
        return len(os.listdir(f"/proc/{nest.server()}/fd")), len(os.listdir("/proc/self/fd")), pages

    def run(times: int) -> None:
        for _ in range(times):
            child = nest.forks.spawn(nest.recipe("os._exit(0)"))
            assert ended(child) == 0
            child.close()

    run(20)
    before = state()
    run(180)
    after = state()
    assert after[:2] == before[:2]
    assert after[2] - before[2] < 256, "a megabyte more"
    assert len(os.listdir(f"/proc/{nest.server()}/task")) == 1
    assert not Path(f"/proc/{nest.server()}/task/{nest.server()}/children").read_text()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_lost_server_costs_one_start_by_exec_and_is_replaced(
    nest: Nest, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.supervisor.zygote_spawner.FORK_S", 60.0)
    loop = Loop()
    nest.forks.attach(loop)
    child = nest.spawn(nest.recipe())
    nest.seen()
    lost = nest.server()
    os.kill(lost, number)
    began = time.monotonic()
    other = nest.spawn(nest.recipe())
    assert time.monotonic() - began < 30.0, "a start waited for a server that never answers"
    nest.seen()
    assert not forked(other.pid)
    assert child.reap() is None
    loop.after(0.05, lambda: _look(nest, loop, lost))
    loop.run()
    again = nest.spawn(nest.recipe())
    nest.seen()
    assert forked(again.pid)
    assert not Path(f"/proc/{lost}").exists(), "a server was left behind"
    loop.close()


def _look(nest: Nest, loop: Loop, lost: int) -> None:
    server = nest.forks._servers.get(STAGES)
    if server is not None and server.ready and server.pid != lost:
        loop.finish(0)
    loop.after(0.05, lambda: _look(nest, loop, lost))


def test_the_loading_server_becomes_the_first_session_and_leaves_a_server(nest: Nest) -> None:
    loading = until(lambda: nest.forks._loading() and nest.forks._servers[SDK].pid)
    use = "pipeline.stages.session:Session"
    first = nest.spawn(nest.recipe(use=use))
    assert first.pid == loading
    nest.forks._server(SDK, within_s=DEADLINE_S)
    assert nest.server(SDK) not in (loading, nest.server())
    assert len(os.listdir(f"/proc/{nest.server(SDK)}/task")) == 1
    second = nest.spawn(nest.recipe(use=use))
    until(lambda: forked(second.pid))
    parents = {Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1] for pid in nest.forks.pids}
    assert parents == {str(os.getpid())}
    first.kill_group()
    assert ended(first) == -signal.SIGKILL
    third = nest.spawn(nest.recipe(use=use))
    until(lambda: forked(third.pid))  # the death of the session whose copy it is did not take the server along


def test_it_dies_with_its_supervisor(tmp_path: Path) -> None:
    code = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tests.process.test_zygote import Nest
nest = Nest(Path(sys.argv[2]))
child = nest.spawn(nest.recipe("os.kill(os.getpid(), 19)"))
nest.seen()
print("pids", child.pid, *nest.forks.pids, flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(CODE), str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        line = next(line for line in supervisor.stdout if line.startswith("pids "))
        pids = [int(word) for word in line.split()[1:]]
        assert len(pids) >= 2
        supervisor.kill()
    until(lambda: not any(_alive(pid) for pid in pids), 5)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_both_servers_come_up_while_who_launched_them_does_nothing_else_yet() -> None:
    """Under load the second one is forked before the configuration was read."""
    program = (
        "from pipeline.supervisor.zygote_launch import launch\n"
        f"servers = launch('{MARK}=test.{os.getpid()}.idle')\n"
        "print([bool(server.line.recv(1000)) for server in servers])\n"
    )
    argv = [sys.executable, "-P", "-c", program]
    environ = {**os.environ, "PYTHONPATH": str(CODE)}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    assert done.stdout == "[True, True]\n"
