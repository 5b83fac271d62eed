"""`health:` and `black_box:` beside the stages."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import ConfigErrors, Pipeline, load

pytestmark = pytest.mark.unit


def loaded(folder: Path, text: str) -> Pipeline:
    (folder / "x.yaml").write_text(f"extends: demo.yaml\n{text}")
    return load(str(folder / "x.yaml"))


def test_they_become_stages_that_are_not_required(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path, 'health: {listen: "127.0.0.1:8601"}\nblack_box:\nbudget_ms: 200\n')
    health, box = pipeline.stage("health"), pipeline.stage("black_box")
    assert (health.use, health.required) == ("pipeline.stages.health:Health", False)
    assert health.options == {"listen": "127.0.0.1:8601"}
    assert (box.use, box.required, box.options) == ("pipeline.stages.black_box:BlackBox", False, {})
    assert pipeline.budget_ms == 200


def test_null_takes_one_away_and_a_mistake_is_shown_where_it_stands(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        loaded(tmp_path, "health: null\n").stage("health")
    with pytest.raises(ConfigErrors, match=r"x\.yaml:3: .*listn.*did you mean 'listen'"):
        loaded(tmp_path, "health:\n  listn: none\n")
    with pytest.raises(ConfigErrors, match=r"x\.yaml:2: "):
        loaded(tmp_path, "black_box: {minutes: -1}\n")
