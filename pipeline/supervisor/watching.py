"""The supervisor's eye on the conversation: hears events of all stages, keeps verdict, incidents and latencies.

It hears what anybody may hear, a few times a second and without audio; whoever floods it costs 500 messages a look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from pipeline.bus.consumer import Consumer
from pipeline.bus.messages import Event
from pipeline.bus.producer import Producer
from pipeline.supervisor.incidents import Incidents, Journal
from pipeline.supervisor.latency import Latency
from pipeline.supervisor.loop import Loop
from pipeline.supervisor.recipe import Wiring
from pipeline.supervisor.slot import Slot
from pipeline.supervisor.verdict import Verdict, Watch

LOOK_S: Final = 0.25
AT_ONCE: Final = 500
"""Events of one stage read in one look."""
HEARD: Final = (
    "audible",
    "barge_in",
    "connection",
    "first_audio",
    "hearing",
    "interrupted",
    "replayed",
    "speech_ended",
    "speech_started",
    "turn_ended",
    "turn_started",
    "usage",
)
UPLINK: Final = ("frontend", "session")
"""Readers on the way up, by whose last beat it is known how late blocks come to them."""
GOOD: Final = ("ok", "starting", "stopping", "simulator", "waiting_for_trigger")
"""Verdicts whose beginning is no warning."""

log = structlog.get_logger()


class Watching:
    """Turns with the loop; tells `event.verdict` (sticky, each change) and `event.latency` (each answer)."""

    def __init__(self, wiring: Wiring, loop: Loop, bus: Producer, slots: Mapping[str, Slot]) -> None:
        self._loop, self._bus, self._slots = loop, bus, slots
        self._watch = Watch(time.monotonic_ns(), {name: slot.rules.required for name, slot in slots.items()})
        if (playback := slots.get("playback")) is not None and playback.table.options.get("volume") == 0:
            self.setting("volume", {"percent": 0})
        self._incidents = Incidents()
        self.journal = Journal(wiring.state_dir / "incidents.jsonl")
        self._latency = Latency(wiring.pipeline.budget_ms)
        self.usage: Mapping[str, Any] = {}
        self._wiring = wiring
        self._consumers: dict[str, Consumer] = {}
        self._told: tuple[str, str] = ("", "")
        self.changed: Callable[[], None] = lambda: None
        """Called when the verdict has changed."""
        self.hard_to_read: Callable[[str, str, int, str], None] = lambda reader, writer, count, words: None
        """Called with how many events of a stage were malformed."""

    def open(self) -> None:
        """Begin to look."""
        self._look()

    def _join(self) -> None:
        """Whoever is new since a reload too."""
        topics = [f"event.{name}" for name in HEARD]
        for name, endpoint in self._wiring.peers().items():
            if name not in self._consumers and name != "supervisor":
                self._consumers[name] = Consumer(None, endpoint, topics)

    def close(self) -> None:
        """Write down what is under way, leave everybody."""
        self.journal.write(self._incidents.finished(time.monotonic_ns()) + self._incidents.unfinished())
        for consumer in self._consumers.values():
            consumer.close()

    def stage(self, name: str, state: str, reason: str) -> None:
        """How a stage is, each change."""
        now_ns = time.monotonic_ns()
        self._watch.stage(now_ns, name, state, reason)
        self._incidents.stage(now_ns, time.time(), name, state, reason)

    def fault(self, what: str, cause: str) -> None:
        """Something of the whole pipeline's that lasts until its end."""
        self._incidents.fault(time.monotonic_ns(), time.time(), what, cause)

    def setting(self, name: str, body: Mapping[str, Any]) -> None:
        """Mute or volume, as it was told."""
        self._watch.event(time.monotonic_ns(), name, body)

    def stopping(self) -> None:
        """The pipeline is being stopped for good."""
        self._watch.stopping = True

    def verdict(self) -> Verdict:
        """The verdict now."""
        return self._watch.verdict(time.monotonic_ns())

    def status(self) -> dict[str, Any]:
        """Its part of the `status` reply."""
        verdict = self.verdict().body(time.monotonic_ns())
        return {
            "verdict": verdict,
            "latency": self._latency.percentiles(),
            "usage": dict(self.usage),
            "incidents": self._incidents.unfinished(),
        }

    def _look(self) -> None:
        now_ns = time.monotonic_ns()
        self._join()
        heard: list[Event] = []
        for name, consumer in self._consumers.items():
            consumer.drain(now_ns)
            if consumer.malformed:
                self.hard_to_read("supervisor", name, consumer.malformed, consumer.complaint)
            for _ in range(AT_ONCE):
                if (entry := consumer.next()) is None:
                    break
                if isinstance(entry[1], Event):
                    heard.append(entry[1])
        for event in sorted(heard, key=lambda event: event.sent):  # who was cut had begun: of two stages, in one look
            self._hear(event)
        self.journal.write(self._incidents.finished(now_ns) + self._incidents.news(now_ns))
        self._tell(self._watch.verdict(now_ns), now_ns)
        self._loop.after(LOOK_S, self._look)

    def _hear(self, event: Event) -> None:
        now_ns = time.monotonic_ns()
        if event.name == "usage":
            self.usage = event.body
            return
        self._watch.event(now_ns, event.name, event.body)
        self._incidents.event(now_ns, time.time(), event.name, event.body)
        if event.name == "first_audio":
            for name in UPLINK:
                if name in self._slots:
                    late_ms = self._slots[name].counters.get("bus", {}).get("latest_ms")
                    self._latency.hop(name, float(late_ms) if isinstance(late_ms, int | float) else 0.0)
        if (turn := self._latency.event(event.name, event.body, event.sent)) is not None:
            self._bus.event("latency", turn.body())
            if over := self._latency.over(turn):
                log.warning("latency over budget", turn=turn.turn, reason=over)

    def _tell(self, verdict: Verdict, now_ns: int) -> None:
        if (verdict.code, verdict.words) == self._told:
            return
        code_changed, self._told = verdict.code != self._told[0], (verdict.code, verdict.words)
        self._bus.event("verdict", verdict.body(now_ns), sticky=True)
        if code_changed:
            level = "info" if verdict.code in GOOD else "warning"
            getattr(log, level)("verdict", code=verdict.code, reason=verdict.words, remedy=verdict.remedy)
        self.changed()
