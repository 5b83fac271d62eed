"""Traces to a collector, by the OpenTelemetry SDK over HTTP. Needs `voice-pipeline[otel]`.

A thread of the SDK's sends; whoever gives a trace never waits. What a collector does not take is lost and counted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.re import parse_env_headers

from pipeline.metrics.spans import Span, Value

PATH: Final = "/v1/traces"
QUEUE: Final = 1024
"""Spans that wait for the collector, about 100 turns; a trace that finds no room is lost as a whole."""
BATCH: Final = 256
DELAY_MS: Final = 5000


class Collector:
    """Where traces go. `url` with or without the path; `about` says what machine it is."""

    def __init__(self, url: str, headers: str, about: Mapping[str, Value]) -> None:
        """`headers`: `name=value,name=value`, values percent-encoded. The standard's variables hold for the rest."""
        self._said = _Said()
        for name in ("opentelemetry", "urllib3"):
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = [self._said], False
        given = parse_env_headers(headers, liberal=True)
        full = url if url.rstrip("/").endswith(PATH) else url.rstrip("/") + PATH
        self._counted = _Counted(OTLPSpanExporter(full, headers=given))
        batches = BatchSpanProcessor(self._counted, QUEUE, DELAY_MS, BATCH)
        # what the environment says of this machine goes first
        resource = Resource(dict(about)).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(batches)
        self._tracer = self._provider.get_tracer("pipeline.metrics")
        self.given = 0
        """Spans so far, but for those that found no room."""
        self._no_room = 0

    @property
    def lost(self) -> int:
        """Spans that it did not take, or that found no room."""
        return self._counted.lost + self._no_room

    @property
    def reason(self) -> str:
        """Why, as the SDK said last."""
        return self._said.last

    def give(self, trace: Span, wall_ns: int) -> None:
        """Send it as soon as may be. `wall_ns`: from the supervisor's clock to the wall's."""
        spans = sum(1 for _ in trace.walk())
        if self.given - self._counted.begun + spans > QUEUE:
            self._no_room += spans
            return
        self.given += _send(self._tracer, trace, Context(), wall_ns)

    def close(self, wait_s: float) -> None:
        """Send what waits, and wait so long for that; what is still under way then is lost."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(wait_s)


class _Counted(SpanExporter):
    """Counts what the other one does not get rid of."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.begun = self.lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.begun += len(spans)
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self.lost += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _Said(logging.Handler):
    """Keeps the last line of a library that would write one for each attempt."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()[:300]


def _send(tracer: Tracer, span: Span, parent: Context, wall_ns: int) -> int:
    """It and all within it; returns how many will be sent (a sampler in the environment may want fewer)."""
    made = tracer.start_span(
        span.name,
        parent,
        SpanKind.CLIENT if span.client else SpanKind.INTERNAL,
        span.attributes,
        start_time=span.start_ns + wall_ns,
    )
    for ns, name, attributes in span.events:
        made.add_event(name, attributes, ns + wall_ns)
    if span.error is not None:
        made.set_status(Status(StatusCode.ERROR, span.error))
    within = set_span_in_context(made, parent)
    sent = sum(_send(tracer, child, within, wall_ns) for child in span.children)
    made.end(span.end_ns + wall_ns)
    return sent + made.get_span_context().trace_flags.sampled
