"""Whatever the service, the person, the speaker and the line do, and in whatever order: what holds all the same.

The service is a model of one that misbehaves: it generates, may be told to stop or not, says that it was interrupted
with or without an answer, ends turns early, twice or never, and mixes transcripts in as it likes. Every piece of its
sound carries the number of its generation, so that what is emitted can be traced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.live import effects as fx
from pipeline.live import messages as m
from pipeline.live.budget import Budget, BudgetOptions
from pipeline.live.epochs import STALE_S
from pipeline.live.memory import Memory
from tests.rig.talk import MS, S, Talk

pytestmark = pytest.mark.unit

PIECE_MS = 400
ODD = [
    m.Text("in letters "),
    m.Text("a thought", True),
    m.OtherPart("image/png"),
    m.PersonSaid("hello "),
    m.PersonSaid("hel", interim=True),
    m.PersonSaid("hello.", True),
    m.MachineSaid("a word or two "),
    m.ToolCallsCancelled(("c1", "c7")),
    m.WaitingForInput(),
    m.Usage(100, 40, total=140),
    m.Usage(100, 60, total=160),
    m.Handle("H", True),
    m.Handle("", False),
    m.VoiceActivity("start", 1.0),
    m.Grounding(("q",), ("https://x",)),
]


@dataclass
class Seen:
    """What must hold of the effects, checked as they come."""

    epoch: int = 0
    at: int = 0
    newest: int = 0
    answered_t: int = 0
    open_turns: list[int] = field(default_factory=list)
    published: set[str] = field(default_factory=set)
    captions: dict[tuple[int, str], bool] = field(default_factory=dict)
    """Of a turn and a speaker: the newest one was final."""
    generations: dict[int, int] = field(default_factory=dict)
    """Generation to the epoch in which it began to be heard."""
    silenced: set[int] = field(default_factory=set)
    """Generations that were cut, and of which nothing may be heard any more."""

    def take(self, effect: fx.Effect) -> None:
        match effect:
            case fx.Speak(pcm, _, epoch, at):
                assert epoch >= self.epoch, "an older epoch is spoken"
                assert at == (self.at if epoch == self.epoch else 0), "a hole, or an epoch that begins late"
                self.epoch, self.at = epoch, at + len(pcm) // 2
                generation = pcm[0]
                assert generation not in self.silenced, "of an answer that was cut, more is spoken"
                self.generations.setdefault(generation, epoch)
            case fx.Tell("flush", body):
                assert body["epoch"] > self.epoch, "the epoch does not rise"
                self.epoch, self.at = body["epoch"], 0
            case fx.Tell("turn_started", body):
                assert body["turn"] > self.newest, "a turn starts twice"
                assert not self.open_turns, "two turns at once"
                self.newest = body["turn"]
                self.open_turns.append(body["turn"])
            case fx.Tell("turn_ended", body):
                assert body["outcome"] in ("answered", "interrupted", "empty")
                self.open_turns.remove(body["turn"])
            case fx.Tell("answered", body):
                assert body["t"] > self.answered_t
                self.answered_t = body["t"]
            case fx.Tell("caption", body):
                assert body["who"] in ("person", "machine")
                assert 0 < body["turn"] <= self.newest
                self.captions[body["turn"], body["who"]] = body["final"]
            case fx.Tell("tool_call", body, sticky=True):
                self.published.add(body["id"])
            case fx.Unstick("tool_call", key):
                self.published.discard(key)
            case fx.SendToolResult(call_id):
                assert call_id not in self.published, "answered, and still published"
            case fx.Tell("usage", body):
                assert body["usd"] >= 0


class Machine(RuleBasedStateMachine):
    """The world around a conversation."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = Seen()
        self.taken = 0
        self.generation = 0
        self.generating = False
        self.local_cut_ns: int | None = None
        """The newest generation was silenced here at this time, and the service goes on with it."""
        self.speaks_since: int | None = None
        self.ended_t = 0

    @initialize(tools=st.booleans(), greeting=st.sampled_from(["", "Greet."]), cap=st.sampled_from([None, 0.002]))
    def begins(self, tools: bool, greeting: str, cap: float | None) -> None:
        self.options: dict[str, Any] = {"has_tools": tools, "greeting": greeting}
        self.cap, self.day = cap, 1
        self.talk = self.session(Memory(), 100 * S)
        self.talk.up()

    def session(self, memory: Memory, now: int) -> Talk:
        """One that goes on from `memory`."""
        caps = BudgetOptions(visit_usd=self.cap, day_usd=self.cap and 2 * self.cap)
        budget = Budget(memory, caps, "gemini-3.8-live", lambda: f"2026-11-{self.day:02}")
        return Talk(memory, budget=budget, now=now, **self.options)

    # The person

    @precondition(lambda self: self.speaks_since is None)
    @rule()
    def person_begins(self) -> None:
        self.talk.now += 100 * MS
        self.speaks_since = self.talk.now - 50 * MS
        self.talk.do(self.talk.core.speech_started(self.talk.now, self.speaks_since))

    @precondition(lambda self: self.speaks_since is not None)
    @rule(seconds=st.sampled_from([0.2, 1.0, 4.0]))
    def person_ends(self, seconds: float) -> None:
        start, self.speaks_since = self.speaks_since, None
        self.talk.now += int(seconds * S)
        self.ended_t = self.talk.now - 300 * MS
        self.talk.voice_to(self.talk.now)
        self.talk.do(self.talk.core.speech_ended(self.talk.now, max(self.ended_t, start or 0), start))

    @rule()
    def frontend_dies(self) -> None:
        self.speaks_since = None
        self.talk.core.speech_lost(self.talk.now)

    @rule()
    def person_types(self) -> None:
        self.talk.do(self.talk.core.text_in(self.talk.now, "typed"))

    @rule(arrives=st.booleans())
    def sensor(self, arrives: bool) -> None:
        core = self.talk.core
        self.talk.do(core.visitor_arrived(self.talk.now) if arrives else core.visitor_left(self.talk.now))

    # The speaker

    @rule(part=st.floats(0, 1), behind=st.booleans())
    def speaker_reports(self, part: float, behind: bool) -> None:
        epochs = self.talk.core.downlink.epochs
        self.talk.hears(*((epochs.epoch - 1, 24_000) if behind else (epochs.epoch, int(part * epochs.at))))

    @rule()
    def speaker_knows_better(self) -> None:
        """The store was lost: playback has heard an epoch that this life has not reached."""
        self.talk.hears(self.talk.core.downlink.epochs.epoch + 2, 1_000)

    @rule()
    def person_barges_in(self) -> None:
        self.talk.do(self.talk.core.barge_in(self.talk.now))
        flushed = any(
            isinstance(e, fx.Tell) and e.body.get("cause") == "barge_in" for e in self.talk.done[self.taken :]
        )
        if flushed and self.generating:
            self.local_cut_ns = self.talk.now

    # The service

    def up(self) -> bool:
        return self.talk.core.connected

    @precondition(up)
    @rule(pieces=st.integers(1, 3))
    def service_speaks(self, pieces: int) -> None:
        if not self.generating:
            self.generation, self.generating = self.generation % 250 + 1, True
            self.seen.silenced.discard(self.generation)
        for _ in range(pieces):
            before = len(self.talk.done)
            self.talk.says(m.Speech(bytes([self.generation, 0]) * (24 * PIECE_MS)))
            if self.local_cut_ns is not None and self.talk.now - self.local_cut_ns < STALE_S * S:
                assert not any(isinstance(effect, fx.Speak) for effect in self.talk.done[before:]), "stale, but spoken"

    @precondition(up)
    @rule()
    def service_interrupts(self) -> None:
        self.talk.says(m.Interrupted())
        if self.generating and self.generation in self.seen.generations:
            self.seen.silenced.add(self.generation)
        self.generating, self.local_cut_ns = False, None

    @precondition(up)
    @rule(value=st.sampled_from([m.TurnComplete(), m.TurnComplete("NEED_MORE_INPUT"), m.Idle()]), whole=st.booleans())
    def service_ends(self, value: m.Incoming, whole: bool) -> None:
        self.talk.says(*((m.GenerationComplete(),) if whole else ()), value)
        self.generating, self.local_cut_ns = False, None

    @precondition(up)
    @rule(value=st.sampled_from([m.GenerationComplete(), m.TurnComplete("X", True)]))
    def service_goes_on(self, value: m.Incoming) -> None:
        self.talk.says(value)
        if isinstance(value, m.TurnComplete):
            self.local_cut_ns = None

    @precondition(up)
    @rule(values=st.lists(st.sampled_from(ODD), min_size=1, max_size=4))
    def service_says(self, values: list[m.Incoming]) -> None:
        self.talk.says(*values)

    @precondition(up)
    @rule(call=st.sampled_from(["c1", "c2"]))
    def service_calls(self, call: str) -> None:
        self.talk.says(m.ToolCall(call, "f", {"a": 1}))

    @rule(call=st.sampled_from(["c1", "c2", "c3"]))
    def function_answers(self, call: str) -> None:
        self.talk.do(self.talk.core.tool_result(self.talk.now, call, {"ok": True}))

    # The line and the machine

    @precondition(up)
    @rule()
    def line_breaks(self) -> None:
        self.talk.down()
        self.generating, self.local_cut_ns = False, None

    @precondition(lambda self: not self.up())
    @rule(resumed=st.booleans())
    def line_comes(self, resumed: bool) -> None:
        self.talk.up(resumed=resumed and self.talk.core.resumption.handle is not None)

    @rule()
    def session_is_killed(self) -> None:
        self.check()
        now, open_turns = self.talk.now, self.seen.open_turns
        self.talk = self.session(self.talk.killed(), now)
        self.taken, self.generating, self.local_cut_ns = 0, False, None
        self.seen.published.clear()  # what a stage published holds no longer than the stage
        # An answer that was cut just before is told by nobody any more.
        self.seen.captions = {
            (turn, who): final or turn not in open_turns for (turn, who), final in self.seen.captions.items()
        }
        # A turn that was told just before the kill, and not kept, is one that nobody knows any more.
        # One whose answer was whole is told to its end by the session that follows.
        told = {body["turn"] for body in self.talk.told("turn_ended")}
        goes_on = self.talk.core.turns.turn is not None
        self.seen.open_turns = [turn for turn in open_turns if goes_on or turn in told]
        if self.speaks_since is not None:
            self.talk.do(self.talk.core.speech_started(self.talk.now, self.speaks_since))

    @rule(day=st.integers(1, 9))
    def clock_is_set(self, day: int) -> None:
        self.day = day

    @rule(seconds=st.sampled_from([0.1, 1.0, 4.0, 12.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.talk.wait(seconds)

    # What holds

    @invariant()
    def check(self) -> None:
        if not hasattr(self, "talk"):
            return
        for effect in self.talk.done[self.taken :]:
            self.seen.take(effect)
        self.taken = len(self.talk.done)

    def teardown(self) -> None:
        """Nobody speaks any more, the line lives, the service says nothing: everything comes to its end."""
        if not hasattr(self, "talk"):
            return
        core = self.talk.core
        if self.speaks_since is not None:
            self.person_ends(1.0)
        for call in ("c1", "c2"):
            self.talk.do(core.tool_result(self.talk.now, call, {}))
        if not core.connected:
            self.talk.up()
        plays_s = core.downlink.epochs.unheard // 24_000
        for _ in range(plays_s + 15 * (2 + len(core.turns.waiting) + bool(core.turns.turn))):
            self.talk.voice_to(self.talk.now)  # silence
            self.talk.wait(1.0)
        self.check()
        assert not core.turns.open, "a turn is open for ever"
        assert not self.seen.open_turns
        assert not self.seen.published
        assert (core.want.reason == "capped") == bool(core.budget.capped)
        assert all(self.seen.captions.values()), f"not final: {self.seen.captions}"
        if self.ended_t and core.uplink.answered_t is not None:
            assert core.uplink.answered_t >= self.ended_t, "speech was neither answered nor given up"


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
