"""A stage that is too old or too big is followed by one that is ready already, when nobody speaks."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from pipeline.bus.producer import Producer
from tests.rig.machine import Machine
from tests.rig.supervised import Supervised, foreign, gone

pytestmark = pytest.mark.process

OLD = {"max_age_h": 0.001}
"""3.6 s."""


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s")


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    with zmq.Context() as context:
        yield context


def test_an_old_stage_is_replaced_by_one_that_was_primed_before(home: Path) -> None:
    with Supervised(home, {"lamp": foreign(restart=OLD), "other": foreign()}) as run:
        pids = run.until_live("lamp", "other")
        first = run.ask("status")["stages"]["lamp"]["inst"]
        stopping = run.until_state("lamp", "stopping")
        assert stopping["reason"] == "replaced: it is older than max_age_h: 0.001"
        assert (stopping["pid"], stopping["inst"]) == (pids["lamp"], first)
        again = run.until_state("lamp", "live", not_pid=pids["lamp"])
        assert again["inst"] > first
        assert again["at"] - stopping["at"] < 0.25, "the new process was not ready"
        assert gone(pids["lamp"], 1.0)
        assert run.said("stage stopped")[0]["how"] == "in order"
        assert run.said("stage died") == []
        status = run.ask("status")["stages"]
        assert (status["lamp"]["restarts"], status["other"]["pid"]) == (1, pids["other"])


def test_a_leaking_stage_is_replaced(home: Path) -> None:
    with Supervised(home, {"lamp": foreign("leak", restart={"max_rss_mb": 120})}) as run:
        pid = run.until_live("lamp")["lamp"]
        assert "over max_rss_mb: 120" in run.until_state("lamp", "stopping")["reason"]
        run.until_state("lamp", "live", not_pid=pid)


def test_it_waits_until_nobody_speaks_and_nothing_plays(home: Path, context: zmq.Context[Any]) -> None:
    with Supervised(home, {"lamp": foreign(restart=OLD), "frontend": foreign(), "playback": foreign()}) as run:
        pid = run.until_live("lamp", "frontend", "playback")["lamp"]
        voices = {name: Producer(context, f"ipc://{run.run_dir}/{name}.bus", name, 1, time.monotonic_ns)
                  for name in ("frontend", "playback")}  # fmt: skip
        for voice in voices.values():
            voice.bind()
        voices["frontend"].event("speech_started", {"t": 1}, sticky=True)
        run.until_said("stage is to be replaced")

        def for_3_s() -> None:
            end = time.monotonic() + 3.0  # longer than the quiet that is waited for
            while time.monotonic() < end:
                for voice in voices.values():
                    voice.pump()
                run.read(0.05)

        for_3_s()
        assert run.ask("status")["stages"]["lamp"]["pid"] == pid
        voices["playback"].event("heard", {"epoch": 1, "at": 10, "buffered_to": 900}, sticky=True)
        voices["frontend"].release("speech_started")
        voices["frontend"].event("speech_ended", {"t": 2, "start_t": 1})
        for_3_s()
        assert run.ask("status")["stages"]["lamp"]["pid"] == pid
        voices["playback"].event("heard", {"epoch": 1, "at": 900, "buffered_to": 900}, sticky=True)
        run.until_state("lamp", "live", not_pid=pid)
        for voice in voices.values():
            voice.close()


def test_the_old_one_dies_meanwhile_and_the_new_one_steps_in(home: Path, context: zmq.Context[Any]) -> None:
    with Supervised(home, {"lamp": foreign(restart=OLD), "frontend": foreign()}) as run:
        pid = run.until_live("lamp", "frontend")["lamp"]
        voice = Producer(context, f"ipc://{run.run_dir}/frontend.bus", "frontend", 1, time.monotonic_ns)
        voice.bind()
        voice.event("speech_started", {"t": 1}, sticky=True)
        run.until_said("stage is to be replaced")
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            voice.pump()
            run.read(0.05)
        os.kill(pid, signal.SIGKILL)
        died = run.until_state("lamp", "restarting")["at"]
        again = run.until_state("lamp", "live", not_pid=pid)
        assert again["at"] - died < 0.1, "it was started anew though one was ready"
        voice.close()


def test_a_new_process_that_dies_too_early_leaves_the_old_one_at_work(home: Path) -> None:
    with Supervised(home, {"lamp": foreign("die_primed", restart=OLD), "other": foreign()}) as run:
        pid = run.until_live("lamp", "other")["lamp"]
        (home / "die").touch()
        assert "before it was needed" in run.until_said("stage not replaced")[0]["reason"]
        assert run.ask("status")["stages"]["lamp"]["pid"] == pid
        assert run.ask("status")["stages"]["lamp"]["state"] == "live"


def test_a_program_that_never_speaks_is_restarted_when_it_is_quiet(home: Path) -> None:
    with Supervised(home, {"lamp": foreign("silent", restart=OLD), "other": foreign()}, start_s=1.0) as run:
        pid = run.until_live("lamp", "other")["lamp"]
        assert "replaced" in run.until_state("lamp", "stopping")["reason"]
        run.until_state("lamp", "live", not_pid=pid)


def test_an_ordered_stop_leaves_no_primed_process(home: Path) -> None:
    with Supervised(home, {"lamp": foreign(restart=OLD), "other": foreign()}) as run:
        run.until_live("lamp", "other")
        run.until_said("stage is to be replaced")
        before = set(children(run.process.pid))
        run.process.send_signal(signal.SIGTERM)
        assert run.wait() == 0
        assert all(gone(pid, 1.0) for pid in before)


def children(pid: int) -> list[int]:
    """Of a process."""
    return [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]


@pytest.mark.timeout(180)
def test_stages_of_a_conversation_are_replaced_between_its_questions_and_nobody_notices(home: Path) -> None:
    recordings = Path(__file__).parents[1] / "recordings"
    files = ", ".join(f"{recordings}/{name}.wav" for name in ("not_ill_disposed", "made_amiable", "not_ill_disposed"))
    sets = [
        f"stages.simulator={{script: {recordings.parent}/rig/short_answers.yaml, notice: false}}",
        f"stages.capture={{files: [{files}], gap_s: 4.5}}",
        *(f"stages.{stage}.restart={{max_age_h: 0.001}}" for stage in ("frontend", "session")),
    ]
    with Machine(home, "demo.yaml", sets) as machine:
        machine.until(lambda: machine.process.poll() is not None, 120)
        machine.pump()
        assert machine.process.returncode == 0
        outcomes = [event.body["outcome"] for event in machine.events("turn_ended", kind="speech")]
        assert outcomes == ["answered"] * 3
        asked_for = {
            e.body["stage"] for e in machine.events("stage", state="stopping") if "replaced" in e.body["reason"]
        }
        assert asked_for == {"frontend", "session"}
        for stopping in machine.events("stage", state="stopping"):
            if "replaced" in stopping.body["reason"]:
                later = [e for e in machine.events("stage", stage=stopping.body["stage"]) if e.sent > stopping.sent]
                at_work = next(e for e in later if e.body["state"] in ("live", "waiting", "degraded"))
                assert at_work.sent - stopping.sent < 1_000_000_000
        answers = [event.body["since_speech_end_ms"] for event in machine.events("first_audio")]
        assert all(ms is not None for ms in answers[1:])
