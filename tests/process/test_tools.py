"""The tools stage as a process: whatever a function does, its call is answered, and no process is left."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig.counter import RIG, Counter
from tests.rig.machine import alive

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return tmp_path_factory.mktemp("t")  # short: the path of a socket holds 107 bytes


def workers(counter: Counter) -> list[int]:
    """Pids of the stage's children."""
    pid = counter.nursery.processes["tools"].pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def late(name: str) -> dict[str, Any]:
    return {"error": f"{name} did not answer within 1 s"}


def test_whatever_a_function_does_its_call_is_answered(place: Path) -> None:
    with Counter(place) as counter:
        ask = counter.ask
        assert ask("status", order_id="17")["result"]["order"] == {"number": "17", "items": ["tea"]}
        assert ask("status", order_id=17) == {"error": "wrong arguments for status: order_id: expected a text, got 17"}
        assert ask("slow_async", seconds=0.1) == {"result": 0.1}
        assert ask("raises") == {"error": "raises failed: KeyError: 'key'"}
        assert "secret_of_the_house" not in str(ask("raises"))
        assert "secret_of_the_house" in counter.stderr, "where it failed is in the log"
        assert ask("leaves") == {"error": "leaves failed: SystemExit: bye"}
        assert ask("devours") == {"error": "devours failed: MemoryError"}
        assert "segfaults ended its process by SIGSEGV" in ask("segfaults")["error"]
        assert "Fatal Python error: Segmentation fault" in counter.stderr
        child = int(ask("forks")["result"])
        assert ask("forks_and_returns_twice") == {"result": 1}
        assert ask("ten_megabytes")["result"].endswith("[cut: 10000000 characters, the first 20000 are here]")
        assert "more than 20000" in ask("long_list")["error"]
        assert "it returned a object" in ask("unsayable")["error"]
        assert "there is no function 'stats'" in ask("stats")["error"]
        for name in ("sleeps", "spins", "hangs_natively", "floods"):
            assert ask(name) == late(name)
        assert ask("status", order_id="18")["result"]["status"] == "ready"
        counter.nursery.until(lambda: not alive(child))
        assert len(workers(counter)) <= 2
        said = [line for line in counter.stderr.splitlines() if "nonsense" in line]
        assert len(said) < 100
        assert any("it were dropped" in line for line in counter.stderr.splitlines())
        (worker,) = workers(counter)
        assert os.getpriority(os.PRIO_PROCESS, worker) == 19
        assert Path(f"/proc/{worker}/oom_score_adj").read_text().strip() == "1000"
        links = [os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd")]
        assert sum("socket:" in link for link in links) == 1, "none of the stage's own"
        counter.nursery.tell("tools", "stop", grace_s=2)
        counter.nursery.until(lambda: counter.nursery.processes["tools"].poll() == 0)
        counter.nursery.until(lambda: not alive(worker))


def test_calls_run_side_by_side_and_more_of_them_wait_their_turn(place: Path) -> None:
    with Counter(place, deadline_s=5.0) as counter:
        calls = [counter.call("slow_async", {"seconds": 0.5}) for _ in range(6)]
        assert [counter.answer(call) for call in calls] == [{"result": 0.5}] * 6
        assert len(workers(counter)) == 4


def test_a_cancelled_call_is_ended_and_one_that_is_repeated_is_run_once(place: Path) -> None:
    functions = [{"use": "bad_tools:sleeps"}, {"use": "bad_tools:counts"}]
    with Counter(place, functions=functions, deadline_s=20.0) as counter:
        for _ in range(2):
            assert counter.answer(counter.call("counts", call_id="a")) == {"result": 1}
        call = counter.call("sleeps")
        pid = int(counter.nursery.until(lambda: (place / "sleeping").exists() and (place / "sleeping").read_text()))
        counter.session.event("tool_cancelled", id=call)
        counter.nursery.until(lambda: not alive(pid))
        assert counter.ask("counts") == {"result": 1}, "in a new process"
        assert not counter.bodies("tool_result", id=call)


def test_what_a_session_had_called_ends_with_it(place: Path) -> None:
    with Counter(place, functions=["bad_tools:sleeps"], deadline_s=20.0) as counter:
        counter.call("sleeps")
        pid = int(counter.nursery.until(lambda: (place / "sleeping").exists() and (place / "sleeping").read_text()))
        counter.replace_session()
        counter.nursery.until(lambda: not alive(pid))
        assert not counter.bodies("tool_result")


def test_what_is_told_of_a_function_and_of_its_result(place: Path) -> None:
    goodbye = {"use": "bad_tools:says_goodbye", "tells": "end_visit", "blocking": True}
    functions = ["bad_tools:status", goodbye, {"use": "bad_tools:counts", "scheduling": "silent", "cache_s": 60}]
    with Counter(place, functions=functions) as counter:
        declared = counter.bodies("tools")[-1]["declarations"]
        assert [(each["name"], each["blocking"]) for each in declared] == [
            ("status", False),
            ("says_goodbye", True),
            ("counts", False),
        ]
        assert declared[0]["parameters"]["properties"]["order_id"] == {
            "type": "string",
            "description": "The number on the receipt.",
        }
        counter.ask("says_goodbye")
        (told,) = counter.nursery.until(lambda: counter.bodies("end_visit"))
        assert (told["by"], told["result"]) == ("says_goodbye", "goodbye")
        assert [counter.ask("counts"), counter.ask("counts")] == [{"result": 1}] * 2
        results = counter.bodies("tool_result")
        assert "scheduling" not in results[0]
        assert (results[1]["scheduling"], results[1]["silent"]) == ("silent", True)


def test_while_the_person_waits_something_is_played(place: Path) -> None:
    functions = ["bad_tools:slow_async", {"use": "bad_tools:sleeps", "announce": True, "deadline_s": 0.6}]
    with Counter(place, functions=functions, deadline_s=5.0, filler_after_ms=200) as counter:
        counter.ask("sleeps")
        assert not counter.bodies("play"), "the model says it itself"
        call = counter.call("slow_async", {"seconds": 0.5})
        (played,) = counter.nursery.until(lambda: counter.bodies("play"))
        assert (played["name"], played["cause"], played["loop"]) == ("thinking", "tool", True)
        counter.answer(call)
        assert not counter.bodies("play_stop"), "until the answer sounds"
        counter.session.event("first_audio", turn=1, epoch=1, at=0)
        counter.nursery.until(lambda: counter.bodies("play_stop"))


def test_killed_in_mid_call_its_next_repeats_what_may_be_repeated(place: Path) -> None:
    functions = ["bad_tools:sleeps", {"use": "bad_tools:slow_async", "idempotent": True}, "bad_tools:status"]
    with Counter(place, functions=functions, deadline_s=8.0) as counter:
        once = counter.call("sleeps", sticky=True)
        again = counter.call("slow_async", {"seconds": 0.5}, sticky=True)
        pids = counter.nursery.until(lambda: len(workers(counter)) == 2 and workers(counter))
        counter.nursery.until(lambda: (place / "sleeping").exists())
        counter.nursery.kill("tools")
        counter.nursery.until(lambda: not any(map(alive, pids)))
        new = counter.call("status", {"order_id": "17"}, sticky=True)
        counter.start(restarts=1)
        assert "nobody knows whether sleeps was done" in counter.answer(once)["error"]
        assert counter.answer(again) == {"result": 0.5}
        assert "result" in counter.answer(new), "it was never begun"


def test_a_killed_worker_and_one_that_hangs_at_import(place: Path) -> None:
    (place / "first.py").write_text(
        "import os, time\n"
        "if os.path.exists('second'): time.sleep(60)\n"
        "open('second', 'w').close()\n"
        'def waits() -> None:\n    """Wait."""\n    time.sleep(60)\n'
    )
    with Counter(place, functions=["first:waits"]) as counter:
        call = counter.call("waits")
        (pid,) = workers(counter)
        counter.nursery.until(lambda: Path(f"/proc/{pid}/wchan").exists() and (place / "tools.begun").exists())
        os.kill(pid, 9)
        assert counter.answer(call) == {"error": "waits ended its process by SIGKILL before it had an answer"}
        assert counter.ask("waits") == late("waits"), "its modules are still being imported"


@pytest.fixture
def orders(place: Path) -> dict[str, Any]:
    """A server, and one that can't be started."""
    shutil.copy(RIG / "mcp_orders.py", place)
    good = {"command": [sys.executable, "mcp_orders.py"], "env": {"MARKED": "here"}}
    return {"orders": good, "broken": {"command": [sys.executable, "-c", "raise SystemExit(3)"]}}


def test_servers_are_spoken_with_killed_and_started_again(place: Path, orders: dict[str, Any]) -> None:
    with Counter(place, functions=["bad_tools:status"], mcp=orders, deadline_s=3.0) as counter:
        ask = counter.ask
        counter.nursery.until(lambda: counter.bodies("tools")[-1]["declarations"][1:])
        names = [each["name"] for each in counter.bodies("tools")[-1]["declarations"]]
        assert names[:3] == ["status", "find_order", "marked"]
        assert ask("find_order", order_id="17") == {"result": "order 17 is ready"}
        assert "order_id: expected a text" in ask("find_order", order_id=17)["error"]
        marked, pid, _ = str(ask("marked")["result"]).split()
        assert marked == "here"
        assert ask("fails") == {"error": "fails failed: the server says so"}
        assert ask("long")["result"].endswith("the first 20000 are here]")
        assert ask("grows") == {"result": ""}
        counter.nursery.until(lambda: "grown" in json.dumps(counter.bodies("tools")[-1]["declarations"]))
        assert "Connection closed" in ask("dies")["error"]
        assert int(str(ask("marked")["result"]).split()[1]) != int(pid), "started again"
        assert ask("hangs") == {"error": "hangs did not answer within 3 s"}
        counter.nursery.until(lambda: "result" in ask("marked"), 20)
        (client,) = [pid for pid in workers(counter) if "mcp_client" in Path(f"/proc/{pid}/cmdline").read_text()]
        server = int(str(ask("marked")["result"]).split()[1])
        os.kill(client, 9)
        counter.nursery.until(lambda: not alive(server))
        counter.nursery.until(lambda: "result" in ask("marked"), 20)
        degraded = [body["reason"] for body in counter.bodies("state", state="degraded")]
        assert any("the server broken is away" in reason for reason in degraded)
        server = int(str(ask("marked")["result"]).split()[1])
        counter.nursery.kill("tools")
        counter.nursery.until(lambda: not alive(server))


@pytest.fixture
def check(tmp_path: Path) -> Callable[[str], str]:
    """`check` of a machine with these tools; what it says."""
    import subprocess

    from tests.rig.machine import environment

    shutil.copy(RIG / "bad_tools.py", tmp_path)

    def run(tools: str) -> str:
        (tmp_path / "mine.yaml").write_text(f"version: 1\nstages:\n  tools:\n{tools}")
        argv = [sys.executable, "-m", "pipeline", "check", "mine.yaml"]
        done = subprocess.run(
            argv, env=environment(tmp_path), cwd=tmp_path, text=True, capture_output=True, timeout=60, check=False
        )
        assert done.returncode in (0, 78), done.stderr
        return done.stderr if done.returncode else done.stdout

    return run


def test_check_names_the_line_the_function_and_the_remedy(check: Callable[[str], str]) -> None:
    assert "ok" in check('    functions: ["bad_tools:status"]\n')
    wrong = check(
        "    functions:\n      - bad_tools:status\n      - use: bad_tools:stats\n      - bad_tools:Order\n"
        "      - bad_tools:status\n"
    )
    assert "mine.yaml:4: stages.tools.functions.1" in wrong
    assert "bad_tools.py has no function stats; did you mean 'bad_tools:status'?" in wrong
    assert "bad_tools.py: Order is no function" in wrong
    assert "functions.0 is called status, too" in wrong
    wrong = check(
        '    functions: [{use: "bad_tools:status", deadlin_s: 3}]\n    mcp: {a: {command: [no-such-program]}}\n'
    )
    assert "deadlin_s" in wrong
    assert "did you mean 'deadline_s'?" in wrong
    wrong = check("    mcp: {a: {command: [no-such-program]}}\n")
    assert "mine.yaml:4: stages.tools.mcp.a.command: expected an executable program" in wrong
