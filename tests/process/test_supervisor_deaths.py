"""Every way in which a stage can fail, in real processes, and what the supervisor makes of it."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.rig.supervised import Supervised, foreign, gone

pytestmark = pytest.mark.process


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s")  # short: a socket's path holds 107 bytes


def test_a_killed_stage_is_back_at_once_under_a_higher_number(home: Path) -> None:
    with Supervised(home, {"frontend": foreign(), "other": foreign()}) as run:
        pids = run.until_live("frontend", "other")
        first = run.ask("status")["stages"]["frontend"]
        killed = time.monotonic()
        os.kill(pids["frontend"], signal.SIGKILL)
        noticed = run.until_state("frontend", "restarting")
        assert time.monotonic() - killed < 0.5
        assert noticed["reason"] == "killed by SIGKILL"
        again = run.until_state("frontend", "live", not_pid=pids["frontend"])
        assert again["inst"] > first["inst"]
        status = run.ask("status")
        assert status["pipeline"]["state"] == "live"
        assert status["stages"]["frontend"]["restarts"] == 1
        assert status["stages"]["other"]["pid"] == pids["other"]


def test_insts_grow_over_restarts_of_the_supervisor(home: Path) -> None:
    insts = []
    for _ in range(2):
        with Supervised(home, {"frontend": foreign()}) as run:
            insts.append(run.until_state("frontend", "live")["inst"])
    assert insts[0] < insts[1]


def test_what_the_world_ended_is_replaced_for_ever_one_to_two_seconds_apart(home: Path) -> None:
    table = foreign("exit_saying", 69, restart={"burst": 1})
    with Supervised(home, {"capture": table}) as run:
        starts = [run.until(lambda body: body["pid"] is not None)]
        while len(starts) < 4:
            start = run.until(lambda body: body["pid"] not in (None, starts[-1]["pid"]))
            starts.append(run.history[-1])
            assert start["inst"] > starts[-2]["inst"]
        gaps = [after["at"] - before["at"] for before, after in itertools.pairwise(starts[1:])]
        assert all(0.9 < gap < 2.6 for gap in gaps), gaps
        capture = run.ask("status")["stages"]["capture"]
        assert run.said("pipeline restarts") == []
        assert capture["restarts"] >= 3
        shown = [body for body in run.history if body["state"] == "degraded"]
        assert shown[-1]["reason"] == "the microphone is gone: plug it in"


def test_what_dies_of_one_cause_for_ever_is_said_in_full_three_times_and_then_counted(home: Path) -> None:
    with Supervised(home, {"lamp": foreign("exit", 3, required=False), "other": foreign()}) as run:
        while not any(line.get("times") == 4 for line in run.said("stage died")):
            run.read(0.1)
        died = [line for line in run.said("stage died") if line["level"] != "debug"]
        assert [line.get("times") for line in died] == [None, None, None, 4]
        restarts = [line["level"] for line in run.said("stage waits for its restart") if line["stage"] == "lamp"]
        assert restarts[-1] == "debug"


@pytest.mark.parametrize("behaviour", ["exit", "silent_crash"])
def test_exit_0_unasked_is_a_crash(home: Path, behaviour: str) -> None:
    with Supervised(home, {"frontend": foreign(behaviour, 0)}) as run:
        assert run.until_state("frontend", "restarting")["reason"] == "exited 0 unasked"


def test_an_unfit_configuration_of_a_required_stage_ends_the_pipeline_with_78(home: Path) -> None:
    with Supervised(home, {"frontend": foreign("silent_crash", 78), "other": foreign()}) as run:
        assert run.wait() == 78
        assert "frontend: its configuration can't be used" in run.said("pipeline ends")[0]["reason"]


def test_an_unfit_optional_stage_stays_down_and_is_named(home: Path) -> None:
    with Supervised(home, {"lamp": foreign("exit", 78, required=False), "other": foreign()}) as run:
        failed = run.until_state("lamp", "failed")
        assert "`restart` it" in failed["reason"]
        assert run.ask("status")["pipeline"]["state"] in ("live", "starting", "primed")


def test_a_program_that_is_not_there_is_a_matter_of_configuration(home: Path) -> None:
    with Supervised(home, {"lamp": {"command": ["./lamp.py"]}}) as run:
        assert run.wait() == 78
        assert "./lamp.py" in run.log()


def test_the_end_of_the_session_is_the_end_of_the_pipeline(home: Path) -> None:
    with Supervised(home, {"session": foreign("ended"), "other": foreign()}) as run:
        assert run.wait() == 0
        assert run.said("stage ended")[0]["stage"] == "session"
        assert run.said("stage died") == []


def test_another_stage_whose_work_is_complete_stays_down_in_peace(home: Path) -> None:
    with Supervised(home, {"capture": foreign("ended"), "other": foreign()}) as run:
        pids = run.until_live("other")
        assert run.until_state("capture", "ended")["pid"] is None
        assert run.ask("status")["pipeline"]["state"] == "live"
        assert not gone(pids["other"], 0)


@pytest.mark.parametrize("how", ["stopped", "spinning"])
def test_a_hung_stage_is_ended_and_replaced(home: Path, how: str) -> None:
    with Supervised(home, {"frontend": foreign("spin" if how == "spinning" else "good")}) as run:
        pids = run.until_live("frontend")
        if how == "stopped":
            os.kill(pids["frontend"], signal.SIGSTOP)
        hung = time.monotonic()
        reason = run.until_state("frontend", "restarting")["reason"]
        starved = re.fullmatch(r"no beat for [0-9.]+ s(?:, ([0-9.]+) of it without a processor)?", reason)
        assert starved, reason
        run.until_state("frontend", "live", not_pid=pids["frontend"])
        # what other programs took of a spinning one's processor is not counted as silence
        assert time.monotonic() - hung - float(starved[1] or 0.0) < 4.0
        if how == "spinning":
            assert any("Aborted" in line for line in run.until_said("stage died")[0]["last_words"])


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this kernel does not say who was kept waiting")
def test_a_starved_stage_is_left_to_finish_its_work(home: Path) -> None:
    with Supervised(home, {"frontend": foreign("work", 200)}) as run:
        pid = run.until_live("frontend")["frontend"]
        processor = max(os.sched_getaffinity(0))
        hog = subprocess.Popen([sys.executable, "-I", "-S", "-c", "while True: pass"])
        try:
            for each in (pid, hog.pid):
                os.sched_setaffinity(each, {processor})
            os.setpriority(os.PRIO_PROCESS, pid, 19)
            os.kill(pid, signal.SIGUSR2)  # with a seventieth of a processor this takes 14 s
            while (run.ask("status")["stages"]["frontend"]["beat_age_s"] or 0.0) < 3.0:
                assert run.said("stage hangs") == []
                run.read(0.1)
        finally:
            hog.kill()
            hog.wait()
        while run.ask("status")["stages"]["frontend"]["beat_age_s"] > 1.0:
            run.read(0.1)
        assert run.ask("status")["stages"]["frontend"]["pid"] == pid
        assert run.said("stage hangs") == []


def test_a_hung_owner_of_a_device_is_the_worlds_matter(home: Path) -> None:
    table = foreign("device", restart={"burst": 1})
    with Supervised(home, {"mic2": table}) as run:
        pid = run.until_live("mic2")["mic2"]
        os.kill(pid, signal.SIGSTOP)
        assert "no beat" in run.until_state("mic2", "degraded")["reason"]
        assert run.until_state("mic2", "live", not_pid=pid)


def test_a_start_that_does_not_come_to_an_end_is_a_hang(home: Path) -> None:
    with Supervised(home, {"frontend": foreign("half")}, start_s=1.0) as run:
        assert "not started within" in run.until_state("frontend", "restarting")["reason"]


def test_a_program_that_never_speaks_counts_as_live_while_it_exists(home: Path) -> None:
    with Supervised(home, {"lamp": foreign("silent")}, start_s=1.0) as run:
        lamp = run.until_state("lamp", "live")
        assert "only its death is noticed" in lamp["reason"]
        os.kill(lamp["pid"], signal.SIGKILL)
        run.until_state("lamp", "restarting")


def test_a_deaf_stage_is_ended(home: Path) -> None:
    stages = {
        "frontend": foreign(emits=["voice"]),
        "session": foreign("deaf", inputs={"voice": "frontend"}),
        "lamp": foreign(inputs={"voice": "frontend"}),
    }
    with Supervised(home, stages) as run:
        pids = run.until_live(*stages)
        assert "deaf: took in nothing of voice" in run.until_state("session", "restarting")["reason"]
        assert not gone(pids["lamp"], 0)


def test_a_supervisor_that_was_frozen_blames_nobody(home: Path) -> None:
    stages = {"frontend": foreign(emits=["voice"]), "session": foreign(inputs={"voice": "frontend"})}
    with Supervised(home, stages) as run:
        pids = run.until_live("frontend", "session")
        for frozen_s in (3.0, 1.2):  # longer than any stage may be silent; long enough to be worth a warning
            run.process.send_signal(signal.SIGSTOP)
            time.sleep(frozen_s)
            run.process.send_signal(signal.SIGCONT)
            end = time.monotonic() + 1.0
            while time.monotonic() < end:
                run.read(0.1)
        assert run.ask("status")["stages"]["frontend"]["pid"] == pids["frontend"]
        assert run.said("stage hangs") == []
        late = [line["level"] for line in run.said("supervisor was late") if line["late_s"] > 1]
        assert late == ["warning", "debug"], "on a machine that stands still again and again one a minute tells of it"


def test_over_its_burst_a_required_stage_restarts_the_pipeline_once_then_is_tried_each_30_s(home: Path) -> None:
    stages = {"frontend": foreign("silent_crash", 3, restart={"burst": 2}), "other": foreign()}
    with Supervised(home, stages) as run:
        other = run.until_live("other")["other"]
        run.until_state("other", "live", not_pid=other)
        last = run.until(lambda body: "a restart did not help" in body["reason"])
        assert last["reason"].startswith("3 crashes in 60 s, the last: exited 3")
        assert len(run.said("pipeline restarts")) == 1
        assert run.ask("status")["pipeline"]["state"] == "restarting"
        assert run.until_said("stage waits for its restart")[-1]["after_s"] == 30


def test_under_systemd_the_second_escalation_is_exit_70(home: Path) -> None:
    stages = {"frontend": foreign("silent_crash", 3, restart={"burst": 1})}
    with Supervised(home, stages, environ={"NOTIFY_SOCKET": str(home / "notify")}) as run:
        assert run.wait() == 70


def test_an_optional_stage_may_crash_as_it_likes(home: Path) -> None:
    stages = {"lamp": foreign("silent_crash", 3, restart={"burst": 1}, required=False), "other": foreign()}
    with Supervised(home, stages) as run:
        pids = run.until_live("other")
        deaths = 0
        while deaths < 5:
            deaths += run.until(lambda body: body["stage"] == "lamp")["state"] == "restarting"
        assert run.ask("status")["pipeline"]["state"] == "live"
        assert not gone(pids["other"], 0)
        assert run.said("pipeline restarts") == []


def test_a_flood_on_stderr_costs_little_and_is_told_in_a_few_lines(home: Path) -> None:
    with Supervised(home, {"lamp": foreign("flood", required=False), "other": foreign()}) as run:
        run.until_live("other")
        run.until_state("lamp", "live")
        before, began = _cpu_s(run.process.pid), time.monotonic()
        run.until_said("stage died")  # it floods from its main loop, so it does not beat
        share = (_cpu_s(run.process.pid) - before) / (time.monotonic() - began)
        assert share < 0.1, f"{share:.0%} of a core"
        assert len(run.log()) < 50_000
        assert any(line["times"] > 1_000 for line in run.said("stage repeated itself"))
        assert run.until_said("stage died")[0]["last_words"][0] == "starting to flood"
        assert run.ask("status")["stages"]["other"]["state"] == "live"


def test_malformed_messages_are_counted_and_harm_nobody(home: Path) -> None:
    with Supervised(home, {"lamp": foreign("babble", required=False), "other": foreign()}) as run:
        pids = run.until_live("other", "lamp")
        end = time.monotonic() + 10
        while sum(line["count"] for line in run.said("malformed control message dropped")) < 900:
            assert time.monotonic() < end
            run.read(0.1)
        assert len(run.said("malformed control message dropped")) < 10
        assert not gone(pids["other"], 0)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
