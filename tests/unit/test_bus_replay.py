"""The replay protocol as pure cores: whatever is lost or restarted, a reader gets each sample once and in order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.bus.codec import Stamp
from pipeline.bus.inlet import ASK_AGAIN_NS, COUNTS_ANEW, MAX_ASKS, STATELESS_NS, Ask, Inlet
from pipeline.bus.messages import Audio
from pipeline.bus.outlet import Outlet
from pipeline.bus.ring import Ring

pytestmark = pytest.mark.unit

MS = 1_000_000
BLOCK_NS = 20 * MS


def voice(number: int) -> Audio:
    """Block `number` of a voice stream: every sample of it has the value `number`."""
    pcm = (number % 30_000).to_bytes(2, "little", signed=True) * 320
    return Audio("voice", pcm, 16_000, 1, t=1_000_000_000 + number * BLOCK_NS)


def reply(epoch: int, at: int, frames: int = 480) -> Audio:
    return Audio("reply", bytes(2 * frames), 24_000, 1, epoch=epoch, at=at)


class World:
    """One writer, one reader and a wire between them that can lose live blocks; either side may restart."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.number = 0
        self.writer_inst = self.reader_inst = 1
        self.outlet = Outlet("voice")
        self.inlet = Inlet("voice", "frontend", "session/1")
        self.heard: list[int] = []
        self.requests: list[Ask] = []
        self.kept_from = 0
        """First block that the present writer has produced."""
        self.note(self.inlet.on_state(1, True, 0))

    def note(self, ask: Ask | None) -> None:
        if ask is not None:
            self.requests.append(ask)

    def say(self, lost: bool) -> None:
        """The writer produces one live block."""
        self.now_ns += BLOCK_NS
        audio = voice(self.number)
        self.number += 1
        seq = self.outlet.add(audio)
        if not lost:
            self.deliver(seq, audio)

    def deliver(self, seq: int, audio: Audio) -> None:
        stamp = Stamp("audio.voice", "frontend", self.writer_inst, seq, self.now_ns)
        got, ask = self.inlet.on_audio(stamp, audio, self.now_ns)
        self.note(ask)
        if got is not None:
            self.heard.append((got.t - 1_000_000_000) // BLOCK_NS)

    def answer(self) -> None:
        """The writer reads the requests that reached it."""
        requests, self.requests = self.requests, []
        for ask in requests:
            blocks, replayed = self.outlet.answer(ask.body())
            for seq, audio in blocks:
                self.deliver(seq, audio)
            self.inlet.on_replayed(self.writer_inst, replayed)

    def restart_writer(self) -> None:
        self.requests.clear()
        self.writer_inst += 1
        self.outlet = Outlet("voice")
        self.kept_from = self.number
        self.note(self.inlet.on_state(self.writer_inst, True, self.now_ns))

    def restart_reader(self) -> None:
        self.requests.clear()
        self.reader_inst += 1
        self.inlet = Inlet("voice", "frontend", f"session/{self.reader_inst}")
        self.heard.clear()
        self.note(self.inlet.on_state(self.writer_inst, True, self.now_ns))


steps = st.lists(
    st.sampled_from(["say", "say", "say", "lose", "answer", "restart_writer", "restart_reader", "sticky_state"]),
    max_size=80,
)


@given(steps)
@settings(max_examples=400, deadline=None)
def test_each_sample_once_and_in_order_under_any_order_of_loss_and_restart(order: list[str]) -> None:
    world = World()
    for step in order:
        if step in ("say", "lose"):
            world.say(lost=step == "lose")
        elif step == "sticky_state":
            world.note(world.inlet.on_state(world.writer_inst, True, world.now_ns))
        else:
            getattr(world, step)()
    for _ in range(3):  # the wire is good again
        world.answer()
        world.say(lost=False)
    world.answer()
    assert world.heard == sorted(set(world.heard)), "a block was repeated or came out of order"
    held = set(range(world.kept_from, world.number))
    assert held <= set(world.heard), "what the living writer had said never arrived"


def test_live_blocks_wait_for_the_replay_and_follow_it_without_a_seam() -> None:
    world = World()
    for _ in range(5):
        world.say(lost=False)
    assert world.heard == [], "live blocks before the replay would be heard twice"
    world.answer()
    world.say(lost=False)
    assert world.heard == [0, 1, 2, 3, 4, 5]


def test_a_loss_is_asked_for_from_where_the_reader_stands() -> None:
    world = World()
    world.answer()
    world.say(lost=False)
    world.say(lost=True)
    world.say(lost=False)
    assert world.inlet.gaps == 1
    assert world.requests[0].place == 1_000_000_000 + BLOCK_NS
    world.answer()
    assert world.heard == [0, 1, 2]


def test_a_request_that_is_not_answered_is_made_again_then_given_up_rather_than_deaf() -> None:
    inlet = Inlet("voice", "frontend", "session/1")
    now_ns = 0
    first = inlet.on_state(1, True, now_ns)
    asks = [first]
    for _ in range(MAX_ASKS):
        now_ns += ASK_AGAIN_NS
        asks.append(inlet.tick(now_ns))
    assert [ask is not None for ask in asks] == [True] * MAX_ASKS + [False]
    assert inlet.unanswered == 1
    got, _ = inlet.on_audio(Stamp("audio.voice", "frontend", 1, 7, now_ns), voice(7), now_ns)
    assert got is not None


def test_a_writer_that_never_says_its_state_is_read_after_a_second() -> None:
    inlet = Inlet("voice", "other", "session/1")
    early, _ = inlet.on_audio(Stamp("audio.voice", "other", 1, 0, 0), voice(0), 0)
    late, _ = inlet.on_audio(Stamp("audio.voice", "other", 1, 1, 0), voice(1), STATELESS_NS)
    assert early is None
    assert late is not None


def test_a_writer_without_a_ring_is_read_as_it_comes_with_its_holes() -> None:
    inlet = Inlet("voice", "other", "session/1")
    assert inlet.on_state(1, False, 0) is None
    got = [inlet.on_audio(Stamp("audio.voice", "other", 1, n, 0), voice(n), 0)[0] for n in (0, 1, 5, 6)]
    assert all(got)
    assert inlet.gaps == 1


def test_a_restarted_writer_whose_blocks_fall_otherwise_is_cut_to_the_sample() -> None:
    inlet = Inlet("voice", "frontend", "session/1")
    inlet.on_state(1, False, 0)
    inlet.on_audio(Stamp("audio.voice", "frontend", 1, 0, 0), voice(0), 0)
    inlet.on_state(2, False, 0)
    half_a_block_back = Audio("voice", bytes(640), 16_000, 1, t=1_000_000_000 + BLOCK_NS // 2)
    got, _ = inlet.on_audio(Stamp("audio.voice", "frontend", 2, 0, 0), half_a_block_back, 0)
    assert got is not None
    assert (got.t, got.frames) == (1_000_000_000 + BLOCK_NS, 160)


@given(st.integers(1, 2_000), st.integers(1, 2_000), st.integers(0, 3_000))
def test_a_reply_continues_at_the_sample_after_a_restart_of_its_reader(first: int, second: int, heard: int) -> None:
    outlet = Outlet("reply")
    outlet.add(reply(4, 0, first))
    outlet.add(reply(4, first, second))
    inlet = Inlet("reply", "session", "playback/2", lambda: (4, heard))
    ask = inlet.on_state(1, True, 0)
    assert ask is not None
    blocks, replayed = outlet.answer(ask.body())
    got = [inlet.on_audio(Stamp("audio.reply", "session", 1, seq, 0), audio, 0)[0] for seq, audio in blocks]
    inlet.on_replayed(1, replayed)
    assert sum(audio.frames for audio in got if audio) >= max(0, first + second - heard)
    assert not got or got[-1] is None or (got[-1].at or 0) + got[-1].frames == first + second


def test_going_back_hears_again_what_was_heard_before() -> None:
    world = World()
    world.answer()
    for _ in range(4):
        world.say(lost=False)
    world.note(world.inlet.ask_from(1_000_000_000 + BLOCK_NS, world.now_ns))
    world.heard.clear()
    world.say(lost=False)
    world.answer()
    world.say(lost=False)
    assert world.heard == [1, 2, 3, 4, 5]


def test_what_no_writer_holds_any_more_is_counted() -> None:
    world = World()
    world.answer()
    world.say(lost=False)
    world.restart_writer()
    for _ in range(10):
        world.say(lost=True)
    world.outlet.ring.trim(voice(5).t or 0)
    world.answer()
    assert world.inlet.lost_ms == pytest.approx(80.0)
    assert world.heard[-1] == 10


def test_a_ring_is_bounded_in_seconds_and_in_bytes() -> None:
    by_time, by_bytes = Ring(keep_s=0.1), Ring(keep_s=100, max_bytes=2_000)
    for number in range(50):
        by_time.add(number, voice(number))
        by_bytes.add(number, voice(number))
    assert len(by_time) == 5
    assert len(by_bytes) == 3
    assert by_time.dropped == 45


def test_what_was_heard_is_forgotten_to_the_sample() -> None:
    ring = Ring(keep_s=10)
    for number in range(3):
        ring.add(number, reply(4, 480 * number))
    ring.trim((4, 500))
    assert [(seq, audio.at, audio.frames) for seq, audio in ring] == [(1, 500, 460), (2, 960, 480)]
    ring.trim((3, 2_000))
    ring.trim((5, 10))
    assert len(ring) == 0, "an older epoch asks for nothing, a newer one forgets all before it"


@pytest.mark.parametrize("place", ["here", 1.5, [1], [1, "2"], True])
def test_an_unfit_request_is_refused(place: Any) -> None:
    with pytest.raises(ValueError, match="from"):
        Outlet("voice").answer({"id": "x", "from": place})


def test_who_waits_for_a_replay_counts_what_arrives_and_so_is_not_deaf() -> None:
    world = World()
    for _ in range(5):
        world.say(lost=False)
    assert world.heard == []
    assert world.inlet.arrived == 5


def test_a_writer_that_counts_anew_is_not_dropped_for_ever() -> None:
    inlet = Inlet("voice", "frontend", "session/1")
    inlet.on_state(1, False, 0)

    def heard(seqs: range, first: int) -> list[int]:
        blocks = [(seq, voice(first + at)) for at, seq in enumerate(seqs)]
        got = [inlet.on_audio(Stamp("audio.voice", "frontend", 1, seq, 0), audio, 0)[0] for seq, audio in blocks]
        return [(audio.t - 1_000_000_000) // BLOCK_NS for audio in got if audio is not None and audio.t is not None]

    assert heard(range(1_000, 1_010), 0) == list(range(10))
    assert heard(range(100), 10) == list(range(10 + COUNTS_ANEW - 1, 110))
    assert heard(range(100, 110), 110) == list(range(110, 120))
