"""A stage's end of the bus: its producer, one consumer for each peer, its control line, and who is called for what."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.bus import curve
from pipeline.bus.codec import Stamp
from pipeline.bus.consumer import Consumer
from pipeline.bus.inlet import Ask, Inlet
from pipeline.bus.messages import Audio, Event, topic_of
from pipeline.bus.producer import Producer
from pipeline.bus.ring import Place
from pipeline.stage.control import Control
from pipeline.stage.offset import Offset
from pipeline.stage.timers import Timers

if TYPE_CHECKING:
    from pipeline.stage.brief import Brief
    from pipeline.stage.stage import Stage

BEAT_S = 0.5
"""How often a stage says that its main loop turns."""
POISONED = 2
"""After so many crashes in a row, each right after a start, a stage asks for no replay in its first SPARED_NS: what is
kept may hold the block that ends it each time. Later losses are its own, and asked for again."""
SPARED_NS = 5_000_000_000
LINGER_S = 0.2
"""For the last word to the supervisor."""
WORK_NS = 5_000_000
"""After this long at work the sockets are read again: control never waits behind audio."""


class Link:
    """All sockets of one stage and the dispatch of what they bring."""

    def __init__(self, stage: Stage, brief: Brief) -> None:
        self.stage, self.brief = stage, brief
        if brief.curve is not None:
            curve.be(curve.Identity.from_wiring(brief.curve))
        self.timers = Timers()
        self.control = Control(brief.control, f"{brief.name}/{brief.inst}")
        self.producer: Producer | None = None
        self.consumers: dict[str, Consumer] = {}
        self.inlets: dict[str, Inlet] = {}
        self.state_name, self.state_reason = "starting", ""
        self.going = False
        """True once the supervisor said `go`, and its clock is known."""
        self._told_to_go = False
        self._settings: Mapping[str, Any] = {}
        self._offset = Offset() if brief.remote else None
        if self._offset is not None:
            self._ask_time(self._offset)
        self.stopping = False
        self.closing_reason = ""
        self.wake: Callable[[], None] = lambda: None
        """Called after each send: a send can eat the edge that announces something to read."""
        self._handlers = {
            name.removeprefix("on_"): getattr(stage, name)
            for name in dir(stage)
            if name.startswith("on_") and name not in ("on_audio", "on_event") and callable(getattr(stage, name))
        }
        self._any: Callable[[Event], None] | None = getattr(stage, "on_event", None)
        self._malformed_logged_ns = self._opened_ns = 0
        self._began: set[str] = set()
        """Streams of which a writer has answered."""

    # -- life

    def open(self) -> None:
        """Take the stage's name on the bus and join every peer. Raises NameTaken, OSError."""
        now = time.monotonic_ns
        self._opened_ns = now()
        self.producer = Producer(None, self.brief.bind, self.brief.name, self.brief.inst, now)
        for stream in self.brief.emits or type(self.stage).emits:
            self.producer.offer(stream)
        self.producer.bind()
        reader = f"{self.brief.name}/{self.brief.inst}"
        self.producer.offset_ns = self.stage.clock_offset_ns
        for stream, producer in self.brief.inputs.items():
            self.inlets[stream] = Inlet(stream, producer, reader, partial(self.stage.replay_place, stream))
        for peer, endpoint in self.brief.peers.items():
            if peer != self.brief.name and (topics := self._topics(peer)):
                self.consumers[peer] = Consumer(None, endpoint, topics)
                self.consumers[peer].offset_ns = self.stage.clock_offset_ns

    def hear_settings(self) -> None:
        """Let the stage hear what people have set, before it does anything: a muted microphone is never opened.

        On the bus it comes too, but after an instant, and on a busy machine an instant is long.
        """
        for name, body in self._settings.items():
            if isinstance(body, Mapping) and (handler := self._handlers.get(name)):
                handler(Event(name, body, "supervisor"))

    def close(self) -> None:
        """Close every socket; what was said last is still sent, for 200 ms at most."""
        if self.producer is not None:
            self.producer.close()
        for consumer in self.consumers.values():
            consumer.close()
        self.control.close(LINGER_S)

    def descriptors(self) -> list[int]:
        """What to wait on: control first, then our own bus, then everybody else's."""
        own = [self.control.fileno] + ([self.producer.fileno] if self.producer else [])
        return own + [consumer.fileno for consumer in self.consumers.values()]

    def beat(self) -> None:
        """Say that the main loop turns, and how much passed through."""
        counts = {
            "in": {
                stream: inlet.arrived + self.consumers[self.brief.inputs[stream]].unreadable.get(f"audio.{stream}", 0)
                for stream, inlet in self.inlets.items()
            },
            "out": dict(self.producer.sent) if self.producer else {},
        }
        self.control.say("beat", state=self.state_name, reason=self.state_reason, counts=counts, bus=self._counters())
        self.timers.add(time.monotonic_ns() + int(BEAT_S * 1e9), self.beat)

    # -- one turn of the loop

    def announced(self) -> list[int]:
        """Descriptors of sockets with something to read that we also send on: there a send may have taken the edge.

        To be asked after what was sent last and before a wait; from then on the descriptors themselves can be trusted.
        """
        return [both.fileno for both in (self.control, self.producer) if both is not None and both.waits]

    def turn(self, ready: Container[int] | None = None) -> float | None:
        """Read everything, work for a while; returns seconds until the next turn is due (0: work is left).

        `ready`: descriptors of the sockets that have something; None: all may. To ask a socket that has nothing costs
        as much as to read one that has, and a process that has just woken pays for each line of code ten times over:
        what need not come before the audio comes after it.
        """
        now_ns = time.monotonic_ns()
        if ready is None or self.control.fileno in ready or self.control.due_ns is not None:
            self._hear_control()
        if self.producer is not None and (ready is None or self.producer.fileno in ready):
            self.producer.pump()
        left = [consumer for consumer in self.consumers.values() if consumer.drain(now_ns, ready)]
        # Counted from here: reading a flood takes longer than that, and what else came has its turn all the same.
        end_ns = time.monotonic_ns() + WORK_NS
        more = any(consumer.holds_more for consumer in self.consumers.values())
        while left and not self.stopping:
            message = left[0].next()
            if message is None:
                if left.pop(0).last_malformed:
                    self._log_malformed(now_ns)
                continue
            left.append(left.pop(0))  # in turns, so that nobody waits behind one who talks without end
            self._dispatch(*message, now_ns)
            if time.monotonic_ns() > end_ns:
                more = True
                break
        if not left:  # the answer to a request may lie in what was not read yet
            for inlet in self.inlets.values():
                self._ask(inlet.tick(now_ns))
        self.timers.run(time.monotonic_ns())  # however much is left: who works must be seen to beat
        again_ns = self.producer.say_again() if self.producer is not None else None
        if more:
            return 0.0
        due = [self.timers.due_ns(), again_ns, self.control.due_ns, *(c.due_ns for c in self.consumers.values())]
        soonest = min((at for at in due if at is not None), default=None)
        return None if soonest is None else max(0.0, (soonest - time.monotonic_ns()) / 1e9)

    def _hear_control(self) -> None:
        for word in self.control.heard():
            if word.get("kind") == "go":
                self._told_to_go = True
                settings = word.get("settings")
                self._settings = settings if isinstance(settings, Mapping) else {}
                self.going = self._offset is None or self._offset.known
            elif word.get("kind") == "now":
                self._hear_time(word)
            elif word.get("kind") == "stop":
                grace = word.get("grace_s")
                self.stage.grace_s = float(grace) if isinstance(grace, int | float) else self.stage.grace_s
                self.stopping, self.closing_reason = True, self.closing_reason or "stop"

    def _ask_time(self, offset: Offset) -> None:
        if self.state_name != "starting":  # `hello` comes first
            self.control.say("now", asked=time.monotonic_ns())
        self.timers.add(time.monotonic_ns() + int(offset.again_s() * 1e9), partial(self._ask_time, offset))

    def _hear_time(self, word: Mapping[str, Any]) -> None:
        asked, theirs = word.get("asked"), word.get("monotonic_ns")
        if self._offset is None or not isinstance(asked, int) or not isinstance(theirs, int):
            return
        self._offset.answered(asked, time.monotonic_ns(), theirs)
        self.stage.clock_offset_ns = self._offset.ns
        for end in (self.producer, *self.consumers.values()):
            if end is not None:
                end.offset_ns = self._offset.ns
        self.going = self._told_to_go and self._offset.known

    def _dispatch(self, stamp: Stamp, message: Audio | Event, now_ns: int) -> None:
        if isinstance(message, Audio):
            inlet = self.inlets.get(message.stream)
            if inlet is None:
                return
            if inlet.producer != stamp.src:
                inlet.arrived += 1
                return
            audio, ask = inlet.on_audio(stamp, message, now_ns)
            self._ask(ask)
            if audio is not None:
                self.stage.on_audio(audio)
            return
        self._library_event(message, now_ns)
        if handler := self._handlers.get(message.name):
            handler(message)
        elif self._any is not None:
            self._any(message)

    def _library_event(self, event: Event, now_ns: int) -> None:
        if event.name == "listening" and self.producer is not None:
            self.producer.answer(event.body)
            return
        for inlet in self.inlets.values():
            if inlet.producer != event.src:
                continue
            if event.name == "state":
                replays = event.body.get("replays", ())
                kept = isinstance(replays, list) and inlet.stream in replays
                self._ask(inlet.on_state(event.inst, kept, now_ns, ask=not self._spared(now_ns)))
            elif event.name == "replayed" and inlet.on_replayed(event.inst, event.body):
                self.unstick("listening", inlet.stream)
                began = inlet.stream in self._began or self.brief.restarts > 0
                self._began.add(inlet.stream)
                # where nobody was there before, what was asked for lies in a run before this one: nothing was lost
                if event.body.get("lost_ms") and began:
                    self.stage.log.warning(
                        "audio lost", stream=inlet.stream, of=event.src, lost_ms=round(event.body["lost_ms"])
                    )

    def _ask(self, ask: Ask | None) -> None:
        if ask is not None:
            self.tell("listening", ask.body(), sticky=True, key=ask.stream)

    # -- what a stage says

    def emit(self, audio: Audio) -> None:
        if self.producer is None:
            raise RuntimeError("emit before `start`: the bus is not up while a stage is primed")
        self.producer.audio(audio)
        self.wake()

    def tell(self, name: str, body: dict[str, Any], *, sticky: bool = False, key: str | None = None) -> None:
        if self.producer is None:
            raise RuntimeError("tell before `start`: the bus is not up while a stage is primed")
        self.producer.event(name, body, sticky=sticky, key=key)
        self.wake()

    def unstick(self, name: str, key: str | None = None) -> None:
        if self.producer is not None:
            self.producer.release(name, key)

    def state(self, name: str, reason: str = "") -> None:
        if (name, reason) == (self.state_name, self.state_reason):
            return
        self.state_name, self.state_reason = name, reason
        self.control.say("state", state=name, reason=reason)
        if self.producer is not None:
            self.tell("state", {"state": name, "reason": reason, "replays": self.producer.streams}, sticky=True)
        self.wake()

    def replay_from(self, stream: str, place: Place | None) -> None:
        if self._spared(time.monotonic_ns()):
            return
        self._ask(self.inlets[stream].ask_from(place, time.monotonic_ns()))

    def trim(self, stream: str, place: Place) -> None:
        if self.producer is not None:
            self.producer.trim(stream, place)

    def end(self) -> None:
        self.stopping, self.closing_reason = True, "ended"
        self.wake()

    # -- inside

    def _spared(self, now_ns: int) -> bool:
        return self.brief.crashes >= POISONED and now_ns - self._opened_ns < SPARED_NS

    def _topics(self, peer: str) -> set[str]:
        topics = {topic_of(name) for name in self._handlers}
        if self._any is not None:
            topics = {"event."}
        if self.producer is not None and self.producer.streams:
            topics.add("event.listening")
        streams = [stream for stream, producer in self.brief.inputs.items() if producer == peer]
        if streams:
            topics |= {"event.state", "event.replayed", *(f"audio.{stream}" for stream in streams)}
        return topics

    def _counters(self) -> dict[str, Any]:
        return {
            "gaps": sum(inlet.gaps for inlet in self.inlets.values()),
            "lost_ms": round(sum(inlet.lost_ms for inlet in self.inlets.values()), 1),
            "malformed": sum(consumer.malformed for consumer in self.consumers.values()),
            "latest_ms": round(max((consumer.latest_ms for consumer in self.consumers.values()), default=0.0), 1),
            "late": sum(consumer.late for consumer in self.consumers.values()),
            "overflowed": sum(consumer.overflowed for consumer in self.consumers.values()),
            "unreadable": {peer: [c.malformed, c.complaint] for peer, c in self.consumers.items() if c.malformed},
        }

    def _log_malformed(self, now_ns: int) -> None:
        bad = {peer: c for peer, c in self.consumers.items() if c.last_malformed}
        if bad and now_ns - self._malformed_logged_ns > 1_000_000_000:
            self._malformed_logged_ns = now_ns
            for peer, consumer in bad.items():
                self.stage.log.warning(
                    "malformed message dropped", of=peer, error=consumer.last_malformed, so_far=consumer.malformed
                )
                consumer.last_malformed = ""
