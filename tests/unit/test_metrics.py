"""`/metrics` as Prometheus reads it: names, units, words, and labels that nobody can fill."""

from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.metrics.prometheus import PREFIX, STAGES, Metrics

pytestmark = pytest.mark.unit

UNITS = ("ms", "milliseconds", "minutes", "kb", "mb", "percent", "ratio_percent")
"""Prometheus counts in seconds and bytes."""


def busy() -> Metrics:
    """With something of everything, twice."""
    metrics = Metrics("1.2.3")
    for number in (1, 2):
        for code in ("starting", "ok", "deaf"):
            metrics.event("supervisor", "verdict", {"code": code})
        metrics.event("supervisor", "stage", {"stage": "capture", "state": "live", "inst": number})
        metrics.event("session", "turn_ended", {"kind": "speech", "outcome": "answered"})
        metrics.event("supervisor", "latency", {"total_ms": 900, "service_ms": 880, "ours_ms": 20})
        metrics.event("session", "connection", {"up": True, "reason": ""})
        metrics.event("session", "connection", {"up": False, "reason": "closed 1006"})
        metrics.event("session", "connection", {"up": False, "reason": "idle"})
        metrics.event("session", "connection", {"up": False, "reason": "untriggered"})
        metrics.event("session", "interrupted", {"by": "server"})
        metrics.event("playback", "underrun", {})
        metrics.event("session", "replayed", {"lost_ms": 250})
        metrics.event("frontend", "level", {"rms_dbfs": -40.5})
        metrics.event("supervisor", "mute", {"muted": True})
        metrics.event("session", "usage", {"in": {"audio": 60}, "out": {"audio": 25}, "usd": 0.01, "day_usd": 0.02})
    return metrics


def test_every_name_is_as_prometheus_wants_it() -> None:
    families = list(text_string_to_metric_families(busy().text()))
    assert len(families) == 18
    for family in families:
        assert re.fullmatch(rf"{PREFIX}_[a-z][a-z_]*[a-z]", family.name), family.name
        assert family.documentation.endswith("."), f"{family.name} has no sentence"
        assert family.type in ("counter", "gauge", "histogram"), family.name
        assert not set(family.name.split("_")) & set(UNITS), f"{family.name}: seconds, bytes"
        names = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert names <= {f"{family.name}_total"}, names
        elif family.type == "gauge":
            assert names <= {family.name}
            assert not family.name.endswith(("_total", "_count", "_sum", "_bucket", "_created"))
        else:
            assert family.name.endswith("_seconds")
        for sample in family.samples:
            assert set(sample.labels) <= {"version", "code", "stage", "state", "kind", "outcome", "result", "way", "le"}


def test_a_line_that_rests_is_no_failure_and_rates_begin_at_0() -> None:
    values = {
        (s.name, *s.labels.values()): s.value for f in text_string_to_metric_families(busy().text()) for s in f.samples
    }
    assert values[f"{PREFIX}_connections_total", "down"] == 2
    assert values[f"{PREFIX}_connections_total", "up"] == 2
    assert values[f"{PREFIX}_turns_total", "speech", "empty"] == 0
    assert values[f"{PREFIX}_verdict", "deaf"] == 1
    assert values[f"{PREFIX}_verdict", "ok"] == 0
    assert values[f"{PREFIX}_info", "1.2.3"] == 1


def test_what_somebody_invents_fills_no_database() -> None:
    metrics = busy()
    before = metrics.text().count("\n")
    for number in range(1000):
        made_up = f"x{number}"
        metrics.event("supervisor", "stage", {"stage": made_up, "state": "live", "inst": 1})
        metrics.event("stranger", "stage", {"stage": "capture", "state": made_up, "inst": number})
        metrics.event("stranger", "verdict", {"code": made_up})
        metrics.event("session", "turn_ended", {"kind": made_up, "outcome": made_up})
        metrics.event("session", "usage", {"in": {made_up: 1}, "out": {made_up: 1}, "usd": 0.0})
    text = metrics.text()
    assert text.count("voice_pipeline_stage_starts_total{") == STAGES
    assert text.count("\n") - before <= 2 * STAGES + 4


def test_what_no_price_is_known_of_and_what_can_not_be_counts_nothing() -> None:
    metrics = busy()
    before = metrics.text()
    for body in ({"usd": None}, {"usd": -1.0}, {"in": {"audio": -5, "text": None}, "out": 3}):
        metrics.event("session", "usage", body)
    assert metrics.text() == before


def test_what_was_said_in_an_earlier_run_is_not_lost_in_this_one() -> None:
    metrics = Metrics("1.2.3")
    lost = f"{PREFIX}_audio_lost_seconds_total"
    for inst in (1, 1, 2):
        metrics.event("supervisor", "stage", {"stage": "session", "state": "live", "inst": inst})
        metrics.event("frontend", "replayed", {"lost_ms": 2_000})
        assert f"\n{lost} {2.0 * (inst - 1)}\n" in metrics.text()
