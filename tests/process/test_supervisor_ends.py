"""Stopping in order, at once, and by force: nothing is left behind. People's commands. What outlives a restart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.supervisor.children import Sweeper
from tests.rig.supervised import HERE, Supervised, end, foreign, gone

pytestmark = pytest.mark.process

FLOW = ["capture", "frontend", "session", "playback"]


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, "stop"])
def test_an_ordered_stop_follows_the_flow_and_ends_with_0(home: Path, how: signal.Signals | str) -> None:
    stages = {"server": foreign()} | {name: foreign(emits=[name]) for name in FLOW} | {"screen": foreign()}
    with Supervised(home, stages) as run:
        pids = run.until_live(*stages)
        if isinstance(how, str):
            assert run.ask(how)["ok"]
        else:
            run.process.send_signal(how)
        assert run.wait() == 0
        stopped = run.said("stage stopped")
        order = [*FLOW, "server", "screen"]
        assert [(line["stage"], line["how"]) for line in stopped] == [(name, "in order") for name in order]
        assert all(gone(pid, 0) for pid in pids.values())


def test_who_does_not_stop_is_killed_after_its_grace(home: Path) -> None:
    with Supervised(home, {"capture": foreign("stubborn"), "frontend": foreign()}) as run:
        pids = run.until_live("capture", "frontend")
        began = time.monotonic()
        run.process.send_signal(signal.SIGTERM)
        assert run.wait() == 0
        assert 1.9 < time.monotonic() - began < 4.0
        assert gone(pids["capture"], 0)
        assert [line["how"] for line in run.said("stage stopped")] == ["killed by SIGKILL", "in order"]


def test_a_second_interrupt_kills_at_once(home: Path) -> None:
    with Supervised(home, {"capture": foreign("stubborn"), "frontend": foreign("stubborn")}) as run:
        pids = run.until_live("capture", "frontend")
        run.process.send_signal(signal.SIGINT)
        run.until_state("capture", "stopping")
        began = time.monotonic()
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 130
        assert time.monotonic() - began < 1.9, "less than the grace of one of them"
        assert all(gone(pid, 0) for pid in pids.values())


def test_a_program_that_never_said_hello_is_told_by_sigterm(home: Path) -> None:
    with Supervised(home, {"lamp": foreign("silent"), "other": foreign()}) as run:
        run.until_live("other")
        run.process.send_signal(signal.SIGTERM)
        assert run.wait(5.0) == 0
        assert run.said("stage stopped")[0]["how"] == "killed by SIGTERM"


def test_a_stop_while_a_stage_waits_for_its_restart(home: Path) -> None:
    with Supervised(home, {"lamp": foreign("silent_crash", 1, required=False), "other": foreign()}) as run:
        run.until_live("other")
        while not any(line["after_s"] > 0.3 for line in run.until_said("stage waits for its restart")):
            run.until(lambda body: body["stage"] == "lamp")
        run.process.send_signal(signal.SIGTERM)
        assert run.wait(5.0) == 0


def grandchildren(run: Supervised) -> list[int]:
    """Pids that a `fork_and_die` stage printed: one in its group, one in a session of its own."""
    end_at = time.monotonic() + 10
    while time.monotonic() < end_at:
        run.read(0.05)
        for line in run.said("stage said"):
            if line["line"].startswith("child "):
                return [int(word) for word in line["line"].split()[1:]]
    raise AssertionError(run.log())


def test_what_a_dead_stage_started_ends_with_it(home: Path) -> None:
    with Supervised(home, {"tools": foreign("fork_and_die", 1), "other": foreign()}) as run:
        try:
            assert all(gone(pid, 2.0) for pid in grandchildren(run))
            assert [line["stage"] for line in run.said("orphan ended")]
        finally:
            end(*grandchildren(run))


def test_nothing_is_left_two_seconds_after_the_supervisor_was_killed(home: Path) -> None:
    stages = {"tools": foreign("fork_and_die"), "lamp": foreign("silent"), "mad": foreign("stubborn"), "ok": foreign()}
    with Supervised(home, stages) as run:
        run.until_live("tools", "mad", "ok")
        pids = [stage["pid"] for stage in run.ask("status")["stages"].values()]
        pids += grandchildren(run)
        try:
            assert len(pids) == 6
            run.process.kill()
            until = time.monotonic() + 2.0
            assert all(gone(pid, until - time.monotonic()) for pid in pids)
        finally:
            end(*pids)


def test_a_frozen_stage_does_not_outlive_the_supervisor(home: Path) -> None:
    with Supervised(home, {"frontend": foreign()}) as run:
        pid = run.until_live("frontend")["frontend"]
        os.kill(pid, signal.SIGSTOP)
        run.process.kill()
        try:
            assert gone(pid, 2.0)
        finally:
            end(pid)


def test_a_killed_sweeper_is_replaced_and_knows_the_groups() -> None:
    sweeper = Sweeper("PIPELINE_SUPERVISOR=test.1")
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], process_group=0)
    try:
        sweeper.add(sleeper.pid)
        first = sweeper.pid
        os.kill(first, signal.SIGKILL)
        assert gone(first, 5.0)
        sweeper.add(1_000_000_000)
        sweeper.discard(1_000_000_000)
        sweeper.revive()
        assert sweeper.pid != first
        sweeper.close()
        assert sleeper.wait(5.0) == -signal.SIGKILL
    finally:
        end(sleeper.pid)
        sleeper.wait()


def test_restart_by_hand(home: Path) -> None:
    with Supervised(home, {"frontend": foreign(), "other": foreign()}) as run:
        pids = run.until_live("frontend", "other")
        refused = run.ask("restart", stage="fronted")
        assert (refused["ok"], refused["error"]) == (False, "no stage is called 'fronted': did you mean frontend?")
        assert run.ask("restart", stage="frontend")["ok"]
        run.until_state("frontend", "live", not_pid=pids["frontend"])
        assert run.said("stage stopped")[0]["how"] == "in order"
        status = run.ask("status")["stages"]
        assert (status["frontend"]["restarts"], status["other"]["pid"]) == (1, pids["other"])


def test_restart_by_hand_brings_back_what_stays_down(home: Path) -> None:
    with Supervised(home, {"lamp": foreign("ended", required=False), "other": foreign()}) as run:
        first = run.until_state("lamp", "ended")
        assert run.ask("restart", stage="lamp")["ok"]
        assert run.until_state("lamp", "ended")["inst"] > first["inst"]


def test_mute_and_volume_are_told_kept_and_told_again(home: Path) -> None:
    with Supervised(home, {"other": foreign()}) as run:
        run.until_live("other")
        assert run.until_event("mute")["muted"] is False
        assert run.ask("mute")["ok"]
        assert run.ask("volume", percent=35)["ok"]
        assert run.ask("volume", percent=101)["error"] == "expected a volume of 0 to 100 percent, got '101'"
        assert run.until_event("volume") == {"percent": 35}
        assert run.until_event("mute") == {"muted": True, "by": "command"}
    with Supervised(home, {"other": foreign()}) as run:
        run.until_live("other")
        assert run.until_event("mute") == {"muted": True, "by": "command, before the last start"}
        assert run.until_event("volume") == {"percent": 35}
        assert run.ask("unmute")["ok"]
        assert json.loads((run.state_dir / "settings.json").read_text()) == {"muted": False, "volume": 35}


def test_a_disk_that_takes_nothing_does_not_keep_a_microphone_open(home: Path) -> None:
    with Supervised(home, {"other": foreign()}) as run:
        run.until_live("other")
        run.state_dir.rmdir()
        reply = run.ask("mute")
        assert reply["ok"]
        assert "until the next start only" in reply["warning"]
        assert f"{run.state_dir}/settings.json" in reply["warning"]
        assert run.until_event("mute")["muted"] is True


def test_say_becomes_an_event(home: Path) -> None:
    with Supervised(home, {"other": foreign()}) as run:
        run.until_live("other")
        assert run.ask("say", text="Where are the bags?")["ok"]
        assert run.until_event("text_in")["text"] == "Where are the bags?"
        assert not run.ask("say", text=" ")["ok"]
        assert "expected one of status, stop" in run.ask("dance")["error"]


def test_the_connection_file_names_everybody(home: Path) -> None:
    with Supervised(home, {"frontend": foreign(emits=["voice"]), "other": foreign()}) as run:
        pids = run.until_live("frontend", "other")
        path = run.run_dir / "bus.json"
        found = json.loads(path.read_text())
        assert path.stat().st_mode & 0o777 == 0o600
        assert (found["version"], found["pid"], found["pids"]) == (1, run.process.pid, pids)
        assert found["endpoints"]["frontend"] == f"ipc://{run.run_dir}/frontend.bus"
        assert found["streams"] == {"voice": ["frontend"]}
        os.kill(pids["other"], signal.SIGKILL)
        again = run.until_state("other", "live", not_pid=pids["other"])
        assert json.loads(path.read_text())["pids"]["other"] == again["pid"]


def test_the_supervisor_loads_nothing_that_can_hang_or_weigh() -> None:
    code = (
        "import sys, pipeline.supervisor.app, pipeline.cli.run, pipeline.config.loading; "
        "print([name for name in ('google.genai', 'pyaudio', 'numpy', 'av') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE.parents[1], timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
