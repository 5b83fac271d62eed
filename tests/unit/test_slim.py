"""What a process need not import, it does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.unit


def imported(*modules: str) -> set[str]:
    """What is imported with these, in an interpreter of its own."""
    code = "import sys, importlib\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_stages_and_supervisor_are_spared_what_they_do_not_use() -> None:
    stage = imported("pipeline.stage.life", "pipeline.stages.capture", "pipeline.stages.playback")
    assert not stage & {"rich", "pygments", "attr", "zmq", "google.genai", "yaml"}
    supervisor = imported("pipeline.cli.run", "pipeline.log", "pipeline.supervisor.app", "pipeline.config.loading")
    assert not supervisor & {"rich", "pygments", "numpy", "pyaudio", "av", "google.genai"}


def test_the_library_for_traces_is_loaded_where_they_are_sent_only() -> None:
    found = imported("pipeline.stages.traces", "pipeline.stages.health", "pipeline.config.loading")
    assert not {name for name in found if name.startswith("opentelemetry")}


def test_who_wants_rich_still_has_it() -> None:
    assert "rich.text" in imported("pipeline.log", "rich.text")
