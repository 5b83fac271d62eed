"""Each turn as an OpenTelemetry trace, to a collector: from the first word to the last sample that was heard.

It reads the bus like any tap. No word that somebody said goes out unless `privacy` says so.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline import Event, Stage, __version__, pids
from pipeline.bus.privacy import Privacy, keep
from pipeline.config.options import OptionError
from pipeline.log import secrets_in
from pipeline.metrics.traces import WANTED, InOrder, Traces

if TYPE_CHECKING:
    from pipeline.metrics.spans import Span

STEP_S = 0.5
WARN_S = 60.0
"""Between two warnings that a collector takes nothing."""
FLUSH_S = 2.0
EXTRA = "needs the OpenTelemetry SDK; pip install 'voice-pipeline[otel]'"


class Tracing(Stage):
    """Puts turns together and gives them away. A collector that is away, or hangs, costs its traces."""

    reads: ClassVar[tuple[str, ...]] = ()
    emits: ClassVar[tuple[str, ...]] = ()

    collector: str = "http://127.0.0.1:4318"
    """OTLP over HTTP; `/v1/traces` is added."""
    headers_env: str = ""
    """Name of the environment variable with headers, `authorization=Bearer%20…`; and what the standard's say."""
    privacy: Privacy = "no_words"
    """`no_audio` and `everything`: what was said, and what functions were asked and answered, goes out too."""

    def prime(self) -> None:
        """Raises OptionError for an address or headers that can't be, and without the SDK."""
        if not self.collector.startswith(("http://", "https://")):
            raise OptionError(f"collector: expected http://HOST:PORT or https://…, got {self.collector!r}")
        if self.headers_env and not os.environ.get(self.headers_env):
            raise OptionError(f"headers_env: there is no {self.headers_env} in the environment; set it")
        try:
            from pipeline.metrics import otlp
        except ImportError as error:
            raise OptionError(f"{EXTRA} ({error})") from error
        name, host = Path(self.run_dir).name, socket.gethostname()
        # here, not in `start`: with it come TLS and HTTP, 60 ms of a loop that beats; it connects when it has a trace
        self._out = otlp.Collector(
            self.collector,
            os.environ.get(self.headers_env, "") if self.headers_env else "",
            {
                "service.name": "voice-pipeline",
                "service.version": __version__,
                "service.instance.id": f"{host}/{name}",
                "host.name": host,
            },
        )

    def start(self) -> None:
        """Nothing is known yet."""
        run = pids.boot_id()[:8]
        self._secrets = secrets_in(os.environ)
        self._in_order = InOrder()
        self._traces = Traces(Path(self.run_dir).name, run, words=self.privacy != "no_words")
        self._warned_ns: int | None = None
        self._lost = 0

    def on_event(self, event: Event) -> None:
        """Everything that happens, as far as it belongs into a trace."""
        if event.name in WANTED:
            # words stay behind for who puts traces together: it needs to see that there was an error in an answer
            body = keep(f"event.{event.name}", {"body": dict(event.body)}, "no_audio", self._secrets)["body"]
            self._in_order.push(self.now_ns(), event.sent, (event.src, event.name, body))

    def step(self) -> float | None:
        """Send what is whole."""
        now_ns = self.now_ns()
        for sent_ns, told in self._in_order.ready(now_ns):
            self._traces.event(sent_ns, *told)
        self._give(self._traces.tick(now_ns))
        self._warn(now_ns)
        return STEP_S

    def stop(self) -> None:
        """What is under way goes out as it is."""
        now_ns = self.now_ns()
        for sent_ns, told in self._in_order.ready(now_ns, hold_ns=0):
            self._traces.event(sent_ns, *told)
        self._give(self._traces.tick(now_ns) + self._traces.finish(now_ns))
        self._out.close(min(FLUSH_S, self.grace_s * 0.75))
        if self._out.lost:
            self._warn(now_ns + int(WARN_S * 1e9))

    def _give(self, traces: list[Span]) -> None:
        # measured anew for each: a clock that is set meanwhile must not tear a trace apart
        for trace in traces:
            self._out.give(trace, time.time_ns() - self.now_ns())

    def _warn(self, now_ns: int) -> None:
        """A collector that takes nothing is worth a line a minute."""
        lost = self._out.lost
        if lost == self._lost or (self._warned_ns is not None and now_ns - self._warned_ns < WARN_S * 1e9):
            return
        self._lost, self._warned_ns = lost, now_ns
        self.log.warning(
            "traces lost", collector=self.collector, spans=lost, reason=self._out.reason, next="start the collector"
        )
