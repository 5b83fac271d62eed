"""Who may run a stage on another machine, and what is believed of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from pipeline.bus import codec, curve
from pipeline.bus.libzmq import new_pair
from pipeline.config.tables import CurveTable, Pipeline, StageTable
from pipeline.supervisor import health
from pipeline.supervisor.away import ALONE_S, HUNG_S, Away, Joining, judge_away
from pipeline.supervisor.control import Control, Word
from pipeline.supervisor.hearing import Hearing
from pipeline.supervisor.loop import Loop
from pipeline.supervisor.recipe import Wiring
from pipeline.supervisor.slot import Run, Slot, rules_of

pytestmark = pytest.mark.unit

TELLER = StageTable("teller", use="told:Teller", emits=("voice",), remote="hall", endpoint="tcp://10.0.0.7:7102")
TAKER = StageTable("taker", use="told:Taker", inputs={"voice": "teller"}, endpoint="tcp://10.0.0.5:7103")
SINK = StageTable("sink", use="told:Sink")


class Told:
    """Records states."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str]] = []

    def state(self, slot: Slot, state: str, reason: str = "") -> None:
        slot.state, slot.reason = state, reason
        self.states.append((state, reason))


class Line:
    """Records answers."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def answer(self, word: Word, **fields: Any) -> bool:
        self.said.append(fields)
        return True


class Rig:
    def __init__(self, home: Path) -> None:
        self.pairs = {name: new_pair() for name in ("booth", "hall")}
        for name, pair in self.pairs.items():
            curve.make_pair(home, name, pair)
        table = CurveTable(home, "booth", ["hall"], "tcp://10.0.0.5:7100", "tcp://10.0.0.5:7101")
        pipeline = Pipeline(
            name="apart",
            language="en-GB",
            stages=(TELLER, TAKER, SINK),
            file=home / "x.yaml",
            config_dir=home,
            curve=table,
        )
        self.wiring = Wiring(pipeline, home, home, "m", {})
        self.slot = Slot(TELLER, rules_of(TELLER))
        self.line = Line()
        self.joining = Joining(self.wiring, {"teller": self.slot, "sink": Slot(SINK, rules_of(SINK))}, self.line)  # type: ignore[arg-type]
        self.inst = 0
        self.spawn(0.0)

    def spawn(self, now: float) -> Away:
        self.inst += 1
        self.child = Away.expected(self.wiring.recipe(TELLER, self.inst))
        self.slot.run = Run(self.child, now, health.Pulse.begun(now))
        return self.child

    def join(self, now: float, number: int = 40, machine: str = "hall", **fields: Any) -> dict[str, Any]:
        self.joining.hear(Word("join", number, "join", {"stage": "teller", **fields}, machine), now)
        return self.line.said[-1]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.child.close()


def test_who_comes_first_gets_the_wiring_of_what_it_can_reach(rig: Rig, tmp_path: Path) -> None:
    answer = rig.join(1.0)
    assert (answer["ok"], answer["inst"]) == (True, 1)
    wiring = answer["wiring"]
    assert wiring["control"] == "tcp://10.0.0.5:7100"
    assert wiring["peers"] == {
        "teller": "tcp://10.0.0.7:7102", "taker": "tcp://10.0.0.5:7103", "supervisor": "tcp://10.0.0.5:7101"
    }  # fmt: skip
    servers = wiring["curve"]["servers"]
    assert servers["tcp://10.0.0.7:7102"] == rig.pairs["hall"].public
    assert {servers[f"tcp://10.0.0.5:{port}"] for port in (7100, 7101, 7103)} == {rig.pairs["booth"].public}
    assert not any(pair.secret in str(answer) for pair in rig.pairs.values())
    assert rig.join(1.5)["inst"] == 1, "the answer may have been lost"


def test_a_stage_is_for_its_machine_alone(rig: Rig) -> None:
    for machine, stage in (("office", "teller"), ("", "teller"), ("hall", "sink"), ("hall", "nobody"), ("hall", 3)):
        answer = rig.join(1.0, machine=machine, stage=stage)
        assert not answer["ok"]
        assert "wiring" not in answer
    assert rig.child.joined is None


def test_how_it_ended_is_believed_once_and_of_the_present_process(rig: Rig) -> None:
    rig.join(1.0)
    assert "inst" not in rig.join(2.0, ended={"inst": 1, "status": -9})
    assert rig.child.reap() == -9
    rig.child.close()
    rig.spawn(3.0)
    assert rig.join(3.0, ended={"inst": 1, "status": -9})["inst"] == 2
    assert rig.child.reap() is None


def test_a_second_one_has_to_wait_until_the_first_is_silent(rig: Rig) -> None:
    rig.join(1.0)
    assert rig.slot.run is not None
    rig.slot.run.connected = True
    rig.slot.run.pulse.live(2.0)
    assert "runs it already" in rig.join(2.5, number=41)["wait"]
    assert rig.child.reap() is None
    assert "started again" in rig.join(2.0 + ALONE_S, number=41)["wait"]
    assert rig.child.reap() == 69, "the machine was switched off and on: the world's fault"


def test_a_stage_that_is_not_wanted_is_not_started(rig: Rig) -> None:
    rig.slot.stopping = True
    assert "not wanted" in rig.join(1.0)["wait"]
    assert rig.child.joined is None


def test_its_silence_is_said_and_it_is_kept(rig: Rig) -> None:
    told, run = Told(), rig.slot.run
    assert run is not None

    def judge(now: float) -> None:
        judge_away(rig.slot, run, rig.child, now, told)  # type: ignore[arg-type]

    judge(1.0)
    assert not told.states
    judge(health.BEAT_S + 0.1)
    assert told.states[-1][0] == "degraded"
    assert "voice-pipeline join teller" in told.states[-1][1]
    rig.join(5.0)
    run.pulse.live(6.0)
    told.states.clear()
    judge(7.0)
    assert not told.states
    judge(6.0 + health.BEAT_S + 0.1)
    assert "nothing is heard of hall" in told.states[-1][1]
    assert rig.child.reap() is None


def test_one_that_hangs_is_ended_and_one_behind_a_cut_is_not(rig: Rig) -> None:
    told, run = Told(), rig.slot.run
    assert run is not None
    rig.join(0.0)
    run.pulse.live(0.0)
    assert rig.join(0.5, runs=1)["runs"] == 1
    cut_ends = 20.0  # until then neither is heard
    for half in range(int(2 * health.BEAT_S), int(2 * HUNG_S)):
        assert rig.join(cut_ends + half / 2, runs=1)["runs"] == 1
    judge_away(rig.slot, run, rig.child, cut_ends + HUNG_S, told)  # type: ignore[arg-type]
    assert told.states[-1] == ("degraded", "it hangs on hall, and is ended and started again there")
    for late in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0):
        answer = rig.join(cut_ends + HUNG_S + late, runs=1)
    assert answer["hangs"] == 1
    rig.join(40.0, ended={"inst": 1, "status": -6})
    assert rig.child.reap() == -6
    assert rig.join(40.5, runs=1)["hangs"] == 1, "nobody waits for it any more"


def test_one_that_beats_may_run_for_ever(rig: Rig) -> None:
    rig.join(0.0)
    assert rig.slot.run is not None
    rig.slot.run.pulse.live(0.0)
    for second in range(100):
        rig.slot.run.pulse.last_beat = float(second)
        assert rig.join(second + 0.5, runs=1)["runs"] == 1


def test_machines_speak_for_their_own_stages_only(rig: Rig, tmp_path: Path) -> None:
    context: zmq.Context[Any] = zmq.Context()
    control = Control(context, f"ipc://{tmp_path}/control")
    loop = Loop()
    persons: list[Word] = []
    hearing = Hearing(control, loop, Told(), {"teller": rig.slot, "sink": Slot(SINK, rules_of(SINK))})  # type: ignore[arg-type]
    hearing.on_person = persons.append
    hearing._word(Word("teller", 1, "hello", {}, "hall"))
    assert rig.slot.run is not None
    assert rig.slot.run.connected
    for sender in ("sink", "cli", "nobody"):
        with pytest.raises(codec.Malformed, match="hall: expected words of a stage that runs there"):
            hearing._word(Word(sender, 1, "stop", {}, "hall"))
    assert not persons
    loop.close()
    control.close()
    context.destroy(linger=0)


def test_nothing_of_it_is_here_to_be_killed(rig: Rig) -> None:
    assert rig.child.pid == 0
    rig.child.kill(9)
    assert rig.child.reap() is None
    assert os.read(rig.child.stderr, 10) == b""
    rig.child.kill_group()
    assert rig.child.reap() == 69
