"""Events of the bus as metrics in Prometheus' text form."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from math import nan
from typing import Any, Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from pipeline.states import RESTS

SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
PREFIX: Final = "voice_pipeline"
SUPERVISOR: Final = "supervisor"
OTHER: Final = "other"
STAGES: Final = 64
"""Names of stages that are told apart; a program that invents names must not fill the memory."""
KINDS: Final = ("speech", "text", "greeting", OTHER)
OUTCOMES: Final = ("answered", "interrupted", "empty", OTHER)
TOKENS: Final = ("text", "audio", "image", "video", "tool", "thoughts", OTHER)
"""Values of labels. Whatever else is told is OTHER: a label whose values nobody bounds fills the database."""


class Metrics:
    """All of them. Only what is told of with numbers that can be; the rest is counted as events."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, version: str) -> None:
        """`version`: of this package, so that a fleet shows who was left behind."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, of when it began
        registry = self._registry = CollectorRegistry()

        def gauge(name: str, words: str, *labels: str) -> Gauge:
            return Gauge(f"{PREFIX}_{name}", words, labels, registry=registry)

        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(f"{PREFIX}_{name}", words, labels, registry=registry)

        def seconds(name: str, words: str) -> Histogram:
            return Histogram(f"{PREFIX}_{name}_seconds", words, registry=registry, buckets=SECONDS)

        gauge("info", "Always 1; what runs here.", "version").labels(version).set(1)
        self._verdict = gauge("verdict", "1 for the reason that holds, 0 for those before it.", "code")
        self._state = gauge("stage_state", "1 for the state that holds, 0 for those before it.", "stage", "state")
        self._starts = counter("stage_starts", "Processes of a stage.", "stage")
        self._turns = counter("turns", "Turns that ended.", "kind", "outcome")
        self._total = seconds("answer", "End of speech to first audible sample.")
        self._service = seconds("service", "The service's part of answer_seconds.")
        self._ours = seconds("ours", "This machine's part of answer_seconds.")
        self._connected = gauge("connected", "1 while there is a line to the service.")
        self._connections = counter(
            "connections", "Lines that came up; failures as told: of equal ones the 1st, 2nd, 4th, 8th.", "result"
        )
        self._interrupted = counter("interruptions", "Answers that were spoken over.")
        self._underruns = counter("underruns", "Gaps in an answer at the speaker.")
        self._lost = counter("audio_lost_seconds", "Sound that nobody could replay.")
        self._level = gauge("microphone_dbfs", "Level of the microphone; NaN until it is known.")
        self._muted = gauge("muted", "1 while the microphone is closed by a person.")
        self._tokens = counter("tokens", "Tokens by way (in, out) and kind.", "way", "kind")
        self._usd = counter("spent_usd", "Spent, as far as prices are known.")
        self._day_usd = gauge("day_usd", "Spent since local midnight; NaN until it is known.")
        for unknown in (self._level, self._day_usd):
            unknown.set(nan)
        # from 0 on: what appears with its first count has no rate at that time
        for kind, outcome in product(KINDS, OUTCOMES):
            self._turns.labels(kind, outcome)
        for result in ("up", "down"):
            self._connections.labels(result)
        self._insts: dict[str, Any] = {}
        self._replaced = False
        """A stage has had a second process. What is asked of the first ones may lie before this run."""
        self._code = ""
        self._states: dict[str, str] = {}

    def text(self) -> str:
        """The answer to a scrape."""
        return generate_latest(self._registry).decode()

    def event(self, src: str, name: str, body: Mapping[str, Any]) -> None:
        """Count an event; one whose fields are not as agreed counts nothing. Only the supervisor judges."""
        match name, body:
            case "verdict", {"code": str(code)} if src == SUPERVISOR:
                if self._code:
                    self._verdict.labels(self._code).set(0)
                self._verdict.labels(code).set(1)
                self._code = code
            case "stage", {"stage": str(stage), "state": str(state)} if src == SUPERVISOR:
                self._stage(stage, state, body.get("inst"))
            case "turn_ended", {"kind": str(kind), "outcome": str(outcome)}:
                self._turns.labels(_one_of(KINDS, kind), _one_of(OUTCOMES, outcome)).inc()
            case "latency", {"total_ms": total, "service_ms": service, "ours_ms": ours}:
                for histogram, value in ((self._total, total), (self._service, service), (self._ours, ours)):
                    if isinstance(value, int | float):
                        histogram.observe(value / 1000)
            case "connection", {"up": bool(up)}:
                self._connected.set(up)
                if up or body.get("reason") not in RESTS:
                    self._connections.labels("up" if up else "down").inc()
            case "interrupted", _:
                self._interrupted.inc()
            case "underrun", _:
                self._underruns.inc()
            case "replayed", {"lost_ms": int(lost_ms) | float(lost_ms)} if lost_ms > 0 and self._replaced:
                self._lost.inc(lost_ms / 1000)
            case "level", {"rms_dbfs": int(dbfs) | float(dbfs)}:
                self._level.set(dbfs)
            case "mute", {"muted": bool(muted)}:
                self._muted.set(muted)
            case "usage", _:
                self._usage(body)

    def _usage(self, body: Mapping[str, Any]) -> None:
        for way in ("in", "out"):
            counts = body.get(way)
            for kind, count in counts.items() if isinstance(counts, Mapping) else ():
                if isinstance(count, int) and count > 0:
                    self._tokens.labels(way, _one_of(TOKENS, kind)).inc(count)
        if isinstance(usd := body.get("usd"), int | float) and usd > 0:
            self._usd.inc(usd)
        if isinstance(day_usd := body.get("day_usd"), int | float):
            self._day_usd.set(day_usd)

    def _stage(self, stage: str, state: str, inst: Any) -> None:
        if stage not in self._states and len(self._states) >= STAGES:
            return
        if (before := self._states.get(stage)) is not None:
            self._state.labels(stage, before).set(0)
        self._states[stage] = state
        self._state.labels(stage, state).set(1)
        if inst is not None and inst != self._insts.get(stage):
            self._replaced |= stage in self._insts
            self._insts[stage] = inst
            self._starts.labels(stage).inc()


def _one_of(known: tuple[str, ...], value: str) -> str:
    return value if value in known else OTHER
