"""What a stage's process is started with."""

import json
import os
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import places
from pipeline.config.tables import Pipeline, StageTable
from pipeline.supervisor.children import ExecSpawner, NoSuchProgram
from pipeline.supervisor.recipe import MARK, Recipe, Wiring

pytestmark = pytest.mark.unit

OURS = StageTable(
    "frontend",
    use="pipeline.stages.frontend:Frontend",
    inputs={"mic": "capture"},
    emits=("voice",),
    options={"aec": "none"},
)
FOREIGN = StageTable("lamp", command=("/usr/bin/env", "lamp"), env={"COLOUR": "red", "PIPELINE_STAGE": "no"})


def wiring(home: Path, environ: dict[str, str] | None = None) -> Wiring:
    pipeline = Pipeline("kiosk", "de-DE", (OURS, FOREIGN), home / "kiosk.yaml", home)
    return Wiring(pipeline, Path("/run/p"), home / "state", "77.1", environ or {})


def brief(recipe: Recipe) -> dict[str, Any]:
    return dict(json.loads(recipe.environ["PIPELINE_WIRING"]))


def test_a_stage_of_ours(tmp_path: Path) -> None:
    recipe = wiring(tmp_path).recipe(OURS, 12)
    assert recipe.argv == (sys.executable, "-P", "-m", "pipeline.stage")
    assert (recipe.stage, recipe.inst, recipe.ours, recipe.terminal, recipe.cwd) == ("frontend", 12, True, False, None)
    names = {name: recipe.environ[name] for name in ("PIPELINE_STAGE", "PIPELINE_INST", "PIPELINE_RUN", MARK)}
    assert names == {"PIPELINE_STAGE": "frontend", "PIPELINE_INST": "12", "PIPELINE_RUN": "/run/p", MARK: "77.1"}
    expected = {
        "bind": "ipc:///run/p/frontend.bus",
        "control": "ipc:///run/p/control",
        "peers": {name: f"ipc:///run/p/{name}.bus" for name in ("frontend", "lamp", "supervisor")},
        "inputs": {"mic": "capture"},
        "emits": ["voice"],
        "required": True,
        "use": "pipeline.stages.frontend:Frontend",
        "options": {"aec": "none"},
        "config_dir": str(tmp_path),
        "state_dir": str(tmp_path / "state"),
        "language": "de-DE",
        "log_level": "info",
    }
    assert {key: brief(recipe)[key] for key in expected} == expected


def test_the_folder_of_the_configuration_is_on_the_import_path_after_our_own_code(tmp_path: Path) -> None:
    path = wiring(tmp_path, {"PYTHONPATH": "/theirs"}).recipe(OURS, 1).environ["PYTHONPATH"].split(os.pathsep)
    assert (Path(path[0]) / "pipeline" / "stage" / "__main__.py").exists()
    assert path[1:] == [str(tmp_path), "/theirs"]


def test_a_foreign_program_lives_in_the_folder_of_the_configuration(tmp_path: Path) -> None:
    recipe = wiring(tmp_path).recipe(FOREIGN, 1)
    assert (recipe.argv, recipe.cwd, recipe.ours) == (("/usr/bin/env", "lamp"), tmp_path, False)
    assert recipe.environ["COLOUR"] == "red"
    assert recipe.environ["PIPELINE_STAGE"] == "lamp"
    assert "PYTHONPATH" not in recipe.environ, "in Python, it has an interpreter and libraries of its own"


def test_the_service_manager_is_spoken_to_by_the_supervisor_alone(tmp_path: Path) -> None:
    recipe = wiring(tmp_path, {"NOTIFY_SOCKET": "/run/notify", "HOME": "/h"}).recipe(OURS, 1)
    assert "NOTIFY_SOCKET" not in recipe.environ
    assert recipe.environ["HOME"] == "/h"


def test_a_stage_elsewhere_is_found_where_it_says(tmp_path: Path) -> None:
    there = replace(OURS, endpoint="tcp://127.0.0.1:7000")
    made = Wiring(replace(wiring(tmp_path).pipeline, stages=(there,)), Path("/run/p"), tmp_path, "1.1", {})
    assert made.peers()["frontend"] == brief(made.recipe(there, 1))["bind"] == "tcp://127.0.0.1:7000"


def test_a_path_that_no_socket_can_have_is_named(tmp_path: Path) -> None:
    with pytest.raises(places.PlaceError, match="PIPELINE_RUN_DIR"):
        _ = replace(wiring(tmp_path), run_dir=Path("/" + "x" * 110)).control


def foreign_recipe(*argv: str, cwd: Path | None = None) -> Recipe:
    return Recipe("lamp", 1, argv, dict(os.environ), cwd, ours=False)


@pytest.mark.parametrize("name", ["no-such-program-here", "./absent.py", "/absent/x", "."])
def test_a_program_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(NoSuchProgram, match=name):
        ExecSpawner().spawn(foreign_recipe(name, cwd=tmp_path))


def test_a_relative_program_starts_at_the_folder_of_the_configuration(tmp_path: Path) -> None:
    script = tmp_path / "lamp.sh"
    script.write_text("#!/bin/sh\nexit 7\n")
    with pytest.raises(NoSuchProgram):
        ExecSpawner().spawn(foreign_recipe("./lamp.sh", cwd=tmp_path))
    script.chmod(0o755)
    child = ExecSpawner().spawn(foreign_recipe("./lamp.sh", cwd=tmp_path))
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert child.reap() == 7
    child.close()


def test_without_descriptors_nothing_is_started_and_none_is_lost() -> None:
    def opened() -> list[str]:
        return os.listdir("/proc/self/fd")

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = opened()
    spawner = ExecSpawner()
    try:
        for room in range(1, 7):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, before)) + room, hard))
            try:
                child = spawner.spawn(foreign_recipe("/bin/true"))
            except OSError:
                continue
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            child.reap()
            child.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert opened() == before
