"""A pipeline whose turns go to a collector as traces; a collector that hangs, and a machine without the library."""

from __future__ import annotations

import signal
from itertools import pairwise
from pathlib import Path

import pytest

from tests.rig.machine import ROOT, Machine
from tests.rig.otlp_receiver import Got, Hanging, Receiver

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

VOICES = ROOT / "tests" / "recordings"
SHORT = (
    f"stages.simulator={{script: {ROOT}/tests/rig/short_answers.yaml, notice: false}}",
    f"stages.capture.files=[{VOICES}/not_ill_disposed.wav, {VOICES}/made_amiable.wav]",
)


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("t")


def first(spans: list[Got], name: str) -> Got:
    found = [span for span in spans if span.name.split()[0] == name]
    assert found, f"no {name} among {[span.name for span in spans]}"
    return found[0]


def test_a_conversation_arrives_turn_by_turn_with_its_tools_and_its_line_that_was_lost(home: Path) -> None:
    environ = {"TRACES_HEADERS": "x-kiosk=seven"}
    with Receiver() as receiver:
        traces = f'traces={{collector: "{receiver.url}", headers_env: TRACES_HEADERS}}'
        with Machine(home, "shop.yaml", [traces, "stages.capture.lead_s=3"], environ) as machine:
            machine.until(lambda: len(machine.events("speech_started")) > 1, 90)
            machine.kill("simulator")
            machine.until(lambda: len(machine.events("turn_ended")) > 1 or machine.process.poll() is not None, 90)
            machine.process.send_signal(signal.SIGINT)
            machine.until(lambda: machine.process.poll() is not None)
            machine.pump()
            outcomes = {event.body["turn"]: event.body["outcome"] for event in machine.events("turn_ended")}
            assert machine.process.returncode == 0, "\n".join(machine.log.read())
            latencies = {event.body["turn"]: event.body for event in machine.events("latency")}
    assert latencies
    turns = {root.attributes["voice_pipeline.turn"]: (root, rest) for root, rest in receiver.traces() if rest}
    assert len({root.trace for root, _ in turns.values()}) >= 2
    assert receiver.headers[0]["x-kiosk"] == "seven"
    for number in (1, 2):
        root, rest = turns[number]
        assert (root.name, root.attributes["voice_pipeline.outcome"]) == ("turn", outcomes[number])
        late = "voice_pipeline.joined_late" in root.attributes  # a slow machine: it was asked before anybody listened
        assert not (late and number == 2)
        names = (
            ("service", "playback", "playing") if late else ("capture", "frontend", "service", "playback", "playing")
        )
        way = [first(rest, name) for name in names]
        assert all(one.start_ns <= other.start_ns for one, other in pairwise(way)), way
        assert root.start_ns <= way[0].start_ns
        assert root.end_ns >= max(span.end_ns for span in rest)
        if not late and (latency := latencies.get(number)):
            assert first(rest, "service").ms == pytest.approx(latency["service_ms"], abs=1.0)
            assert first(rest, "uplink").ms == pytest.approx(latency["uplink_ms"], abs=0.1)
            assert first(rest, "playback").ms == pytest.approx(latency["playback_ms"], abs=0.1)
        answer = first(rest, "generate_content")
        assert answer.attributes["gen_ai.request.model"].startswith("gemini")
        assert {span.parent for span in rest if span.name != "service"} == {root.id}
        assert first(rest, "service").parent == answer.id
        assert answer.attributes["gen_ai.usage.output_tokens"] > 0
    root, rest = turns[1]
    tool = first(rest, "execute_tool")
    assert (tool.name, tool.attributes["gen_ai.tool.name"]) == ("execute_tool get_order_status", "get_order_status")
    assert tool.failed is None
    assert {event.name for event in machine.events("caption")}, "there were words"
    sent = b"".join(receiver.bodies)
    assert not any(word in sent for word in (b"1017", b"order?", b"picked up")), "none of them was sent"
    root, rest = turns[2]
    lost = first(rest, "reconnect")
    assert lost.failed
    assert lost.start_ns >= root.start_ns
    assert first(rest, "restart").name == "restart simulator"


def test_a_collector_that_hangs_changes_nothing(home: Path) -> None:
    with Hanging() as hanging:
        traces = f'traces={{collector: "{hanging.url}"}}'
        with Machine(home, "demo.yaml", [*SHORT, traces], {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}) as machine:
            machine.until(lambda: machine.process.poll() is not None, 90)
            machine.pump()
            assert machine.process.returncode == 0, "\n".join(machine.log.read())
            assert len(machine.events("turn_ended", outcome="answered")) == 2
            assert {event.body["state"] for event in machine.events("stage", stage="traces")} <= {
                "starting", "primed", "live", "stopping",
            }  # fmt: skip
            assert "traces lost" in "\n".join(machine.log.read())
        assert hanging.accepted


def test_without_the_library_it_is_said_how_to_get_it_and_the_rest_runs(home: Path) -> None:
    (home / "shadow" / "opentelemetry").mkdir(parents=True)
    (home / "shadow" / "opentelemetry" / "__init__.py").touch()
    environ = {"PYTHONPATH": f"{home}/shadow:{ROOT}"}
    with Machine(home, "demo.yaml", [*SHORT, "traces={}"], environ) as machine:
        machine.until(lambda: machine.events("stage", stage="traces", state="failed"))
        reason = machine.events("stage", stage="traces", state="failed")[0].body["reason"]
        assert "pip install 'voice-pipeline[otel]'" in reason
        machine.until(lambda: machine.events("turn_ended", outcome="answered"))
        refused = machine.command("check", "demo.yaml", "--set", "traces={}")
        assert refused.returncode == 78
        assert "stages.traces" in refused.stderr + refused.stdout
        assert "pip install 'voice-pipeline[otel]'" in refused.stderr + refused.stdout
