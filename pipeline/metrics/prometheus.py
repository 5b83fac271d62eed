"""Events of the bus as metrics in Prometheus' text form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
PREFIX: Final = "voice_pipeline"
STAGES: Final = 64
"""Names of stages that are told apart; a program that invents names must not fill the memory."""


class Metrics:
    """All of them. Only what is told of with numbers that can be; the rest is counted as events."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()

        def gauge(name: str, words: str, *labels: str) -> Gauge:
            return Gauge(f"{PREFIX}_{name}", words, labels, registry=registry)

        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(f"{PREFIX}_{name}", words, labels, registry=registry)

        def seconds(name: str, words: str) -> Histogram:
            return Histogram(f"{PREFIX}_{name}_seconds", words, registry=registry, buckets=SECONDS)

        self._verdict = gauge("verdict", "1 for the reason that holds", "code")
        self._state = gauge("stage_state", "1 for the state that holds", "stage", "state")
        self._starts = counter("stage_starts", "processes of a stage", "stage")
        self._turns = counter("turns", "turns by outcome", "kind", "outcome")
        self._total = seconds("answer", "end of speech to first audible sample")
        self._service = seconds("service", "the service's part of it")
        self._ours = seconds("ours", "this machine's part of it")
        self._connected = gauge("connected", "1 while there is a line to the service")
        self._connections = counter("connections", "lines that came up, and failures", "result")
        self._interrupted = counter("interruptions", "answers that were spoken over")
        self._underruns = counter("underruns", "gaps in an answer at the speaker")
        self._lost = counter("audio_lost_seconds", "sound that nobody could replay")
        self._level = gauge("microphone_dbfs", "level of the microphone")
        self._muted = gauge("muted", "1 while the microphone is closed by a person")
        self._day_usd = gauge("day_usd", "spent today, as far as prices are known")
        self._insts: dict[str, Any] = {}
        self._code = ""
        self._states: dict[str, str] = {}

    def text(self) -> str:
        """The answer to a scrape."""
        return generate_latest(self._registry).decode()

    def event(self, src: str, name: str, body: Mapping[str, Any]) -> None:
        """Count an event; one whose fields are not as agreed counts nothing."""
        match name, body:
            case "verdict", {"code": str(code)}:
                if self._code:
                    self._verdict.labels(self._code).set(0)
                self._verdict.labels(code).set(1)
                self._code = code
            case "stage", {"stage": str(stage), "state": str(state)}:
                self._stage(stage, state, body.get("inst"))
            case "turn_ended", {"kind": str(kind), "outcome": str(outcome)}:
                self._turns.labels(kind[:20], outcome[:20]).inc()
            case "latency", {"total_ms": total, "service_ms": service, "ours_ms": ours}:
                for histogram, value in ((self._total, total), (self._service, service), (self._ours, ours)):
                    if isinstance(value, int | float):
                        histogram.observe(value / 1000)
            case "connection", {"up": bool(up)}:
                self._connected.set(up)
                self._connections.labels("up" if up else "down").inc()
            case "interrupted", _:
                self._interrupted.inc()
            case "underrun", _:
                self._underruns.inc()
            case "replayed", {"lost_ms": int(lost_ms) | float(lost_ms)} if lost_ms > 0:
                self._lost.inc(lost_ms / 1000)
            case "level", {"rms_dbfs": int(dbfs) | float(dbfs)}:
                self._level.set(dbfs)
            case "mute", {"muted": bool(muted)}:
                self._muted.set(muted)
            case "usage", {"day_usd": int(usd) | float(usd)}:
                self._day_usd.set(usd)

    def _stage(self, stage: str, state: str, inst: Any) -> None:
        if stage not in self._states and len(self._states) >= STAGES:
            return
        if (before := self._states.get(stage)) is not None:
            self._state.labels(stage, before).set(0)
        self._states[stage] = state
        self._state.labels(stage, state).set(1)
        if inst is not None and inst != self._insts.get(stage):
            self._insts[stage] = inst
            self._starts.labels(stage).inc()
