"""Traces on their way to a collector: what arrives, what is counted when nobody takes it, and that nobody waits."""

from __future__ import annotations

import sys
import time

import pytest

import pipeline.metrics
from pipeline import Event
from pipeline.config.options import OptionError
from pipeline.metrics import otlp
from pipeline.metrics.spans import Span
from pipeline.stages.traces import Tracing
from pipeline.testing import Trial
from tests.rig.otlp_receiver import Hanging, Receiver

pytestmark = pytest.mark.unit

WALL_NS = 1_700_000_000_000_000_000
SECRET = "key-of-no-value-0123456789"


def turn() -> Span:
    root = Span("turn", 1000, 9000, {"voice_pipeline.turn": 1}, error="stalled")
    root.child("capture", 1000, 4000).mark(2000, "clap", loud=True)
    root.child("generate_content m", 4000, 8000, client=True).child("service", 4000, 5000)
    return root


def test_a_trace_arrives_whole_with_its_times_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=hall,service.name=mine")
    with Receiver() as receiver:
        out = otlp.Collector(receiver.url, "authorization=Bearer%20abc", {"service.name": "x", "host.name": "booth"})
        out.give(turn(), WALL_NS)
        out.close(5.0)
        assert (out.given, out.lost) == (4, 0)
        ((root, rest),) = receiver.traces()
    assert (root.start_ns, root.end_ns, root.failed) == (WALL_NS + 1000, WALL_NS + 9000, "stalled")
    assert [span.name for span in rest] == ["capture", "service", "generate_content m"]
    capture, service, answer = rest
    assert (capture.parent, answer.parent, service.parent) == (root.id, root.id, answer.id)
    assert capture.events == [(WALL_NS + 2000, "clap", {"voice_pipeline.loud": True})]
    assert (root.kind, answer.kind) == (1, 3), "internal, client"
    assert root.resource["service.name"] == "mine"
    assert (root.resource["host.name"], root.resource["deployment.environment"]) == ("booth", "hall")
    assert receiver.headers[0]["authorization"] == "Bearer abc"


def test_a_collector_that_hangs_costs_its_traces_and_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "DELAY_MS", 10)
    with Hanging() as hanging:
        out = otlp.Collector(hanging.url, "", {})
        began = time.monotonic()
        for _ in range(2000):
            out.give(turn(), WALL_NS)
        taken_s = time.monotonic() - began
        assert out.given <= otlp.QUEUE + otlp.BATCH, "the rest found no room"
        assert out.given + out.lost == 8000
        began = time.monotonic()
        out.close(0.2)
        assert time.monotonic() - began < 2.0
        assert taken_s < 5.0


def test_nobody_there_is_counted_and_said_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(otlp, "DELAY_MS", 10)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    with Trial(Tracing, collector="http://127.0.0.1:9") as trial:
        stage = trial.stage
        assert isinstance(stage, Tracing)
        for number in (1, 2, 3):
            trial.event("turn_started", src="session", turn=number, kind="text")
            trial.event("turn_ended", src="session", turn=number, kind="text", outcome="answered")
            trial.pass_time(4)
            end = time.monotonic() + 10
            while stage._out.lost < number * 2 and time.monotonic() < end:
                time.sleep(0.01)
            trial.pass_time(1)
        said = capsys.readouterr().out
        assert said.count("traces lost") == 1, said
        assert "start the collector" in said
        trial.pass_time(60)
        trial.event("turn_started", src="session", turn=4, kind="text")
    assert capsys.readouterr().out.count("traces lost") >= 1


def test_words_and_secrets_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", SECRET)
    bodies = {}
    for privacy in ("no_words", "no_audio"):
        with Receiver() as receiver:
            with Trial(Tracing, collector=receiver.url, privacy=privacy) as trial:
                trial.event("turn_started", src="session", turn=1, kind="speech")
                trial.event("caption", src="session", who="person", text="I am Ada", final=True, turn=1)
                call = {"id": "a", "name": "orders", "args": {"who": "Ada", "key": SECRET}, "turn": 1}
                assert isinstance(trial.stage, Tracing)
                trial.stage.on_event(Event("tool_call", call, "session", 1, trial.now_ns))
                trial.event("turn_ended", src="session", turn=1, kind="speech", outcome="empty", reason=f"bad {SECRET}")
                trial.event("connection", src="session", up=True, reason="", attempt=0, service="gemini")
                trial.event(
                    "connection", src="session", up=False, reason=SECRET, attempt=0, service="gemini", kind="key"
                )
            bodies[privacy] = b"".join(receiver.bodies)
    assert b"Ada" not in bodies["no_words"]
    assert b"I am Ada" in bodies["no_audio"]
    assert not any(SECRET.encode() in body for body in bodies.values())


def test_what_can_not_be_is_refused_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=r"collector: expected http://HOST:PORT"), Trial(Tracing, collector="here"):
        pass
    with pytest.raises(OptionError, match="headers_env: there is no NOT_SET in the environment"), \
            Trial(Tracing, headers_env="NOT_SET"):  # fmt: skip
        pass
    monkeypatch.delitem(sys.modules, "pipeline.metrics.otlp")
    monkeypatch.delattr(pipeline.metrics, "otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(OptionError, match=r"pip install 'voice-pipeline\[otel\]'"), Trial(Tracing):
        pass
