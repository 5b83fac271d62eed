"""How restarts are configured: for the whole machine, and for one stage over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import ConfigErrors, Pipeline, Restart, load
from pipeline.config.settings import resolved

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]


def loaded(tmp_path: Path, text: str) -> Pipeline:
    (tmp_path / "kiosk.yaml").write_text(text)
    return load(str(tmp_path / "kiosk.yaml"), environ={})


def test_the_machines_word_holds_for_every_stage_but_those_with_their_own(tmp_path: Path) -> None:
    text = (
        "restart: {max_rss_mb: 300, max_age_h: 24}\nstages:\n  capture:\n  frontend: {restart: {max_rss_mb: 150}}\n"
        "  session:\n  playback: {restart: {burst: 2, max_age_h: null}}\n"
    )
    pipeline = loaded(tmp_path, text)
    assert pipeline.stage("capture").restart == Restart(5, 60, 300, 24)
    assert pipeline.stage("frontend").restart == Restart(5, 60, 150, 24)
    assert pipeline.stage("playback").restart == Restart(2, 60, 300, 24)
    shown = "\n".join(resolved(pipeline.settings))
    assert "max_rss_mb: 150" in shown
    assert shown.count("max_age_h: 24") == 2, "the machine's, and the one that a null went back to"


def test_nothing_is_replaced_for_size_or_age_by_default(tmp_path: Path) -> None:
    assert loaded(tmp_path, "stages: {capture: {}}\n").stage("capture").restart == Restart(5, 60, None, None)
    assert load(str(ROOT / "configs" / "kiosk.yaml"), environ={}).stage("capture").restart == Restart()


@pytest.mark.parametrize("value", ["0", "soon", "-5"])
def test_a_limit_that_is_none_is_named_once_with_its_line(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        loaded(tmp_path, f"stages: {{capture: {{}}}}\nrestart: {{max_rss_mb: {value}}}\n")
    assert len(caught.value.errors) == 1
    assert "kiosk.yaml:2" in str(caught.value)
    assert "restart.max_rss_mb" in str(caught.value)
