"""The simulator as a stage."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import structlog

from pipeline.stage.brief import Brief
from pipeline.stage.life import WorldError
from pipeline.stages.simulator import Simulator

pytestmark = pytest.mark.unit


def simulator(run_dir: Path, state_dir: Path) -> Simulator:
    stage = Simulator()
    stage.name, stage.inst, stage.log = "simulator", 1, structlog.get_logger()
    stage.brief = Brief("simulator", 1, run_dir, state_dir, run_dir, "", "", {}, {})
    return stage


def test_a_state_directory_that_takes_nothing_keeps_nobody_from_being_answered(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "state").write_text("")
    stage = simulator(tmp_path / "run", tmp_path / "state")
    stage.prime()
    assert stage._server.cert.is_relative_to(tmp_path / "run")


def test_where_nothing_can_be_written_the_folder_is_named(tmp_path: Path) -> None:
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    with pytest.raises(WorldError, match=rf"simulator: {nowhere}.*; make room there"):
        simulator(nowhere, nowhere).prime()
    stage = simulator(nowhere, tmp_path)
    stage.prime()
    with pytest.raises(WorldError, match=rf"simulator: {nowhere}/simulator.json.*; make room there"):
        asyncio.run(stage.run())
