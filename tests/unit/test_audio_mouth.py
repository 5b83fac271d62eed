"""A whole mouth on a device of numbers: answers, prompts, ducks and cuts, heard where the samples leave."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.audio.mouth import DUCKED_NS, FADE_MS, Mouth
from pipeline.audio.pcm import Samples
from pipeline.audio.prompting import Prompt

pytestmark = pytest.mark.unit

MS = 1_000_000
RATE = 48_000
CAPACITY = 1_536
STEP_MS = 8
PERIOD = 512


def tone(seconds: float, hertz: float = 500.0, amplitude: int = 12_000) -> Samples:
    return np.rint(np.sin(np.arange(int(seconds * 24_000)) * 2 * np.pi * hertz / 24_000) * amplitude).astype(np.int16)


class Room:
    """A device that takes 8 ms at a time, and remembers all that it sounded."""

    def __init__(self, **options: Any) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.played: list[tuple[Samples, int, int | None, int | None]] = []
        self.mouth = Mouth(self._tell, lambda *block: self.played.append(block), **options)
        self.mouth.open(RATE, low=PERIOD)
        self.sound = np.empty(0, np.int16)
        self._queue = np.empty(0, np.int16)
        self.now = 0

    def _tell(self, event: str, sticky: bool = False, key: str | None = None, **body: Any) -> None:
        self.said.append((event, body))

    def events(self, name: str) -> list[dict[str, Any]]:
        return [body for event, body in self.said if event == name]

    def run(self, ms: float) -> Room:
        for _ in range(round(ms / STEP_MS)):
            self.now += STEP_MS * MS
            count = RATE * STEP_MS // 1000
            out, self._queue = self._queue[:count], self._queue[count:]
            self.sound = np.concatenate((self.sound, out, np.zeros(count - out.size, np.int16)))
            self._look()
        return self

    def _look(self) -> None:
        frame = self.mouth.given - self._queue.size
        self.mouth.left(frame, lambda index: self.now + (index - frame) * 1_000_000_000 // RATE, self.now)
        if self.mouth.sounding or self.mouth.ready_in(self.now) == 0:
            frames = self.mouth.frames(CAPACITY - self._queue.size, self._queue.size, self.now)
            self._queue = np.concatenate((self._queue, frames))

    def answer(self, epoch: int, samples: Samples, at: int = 0) -> None:
        self.renew(epoch, "new_answer")
        for begin in range(0, samples.size, 960):
            self.mouth.push(epoch, at + begin, samples[begin : begin + 960], self.now)
        self._look()

    def renew(self, epoch: int, cause: str) -> None:
        if self.mouth.must_cut(epoch, cause):
            frame = self.mouth.given - self._queue.size
            self._queue = np.empty(0, np.int16)
            self.mouth.cut(frame, lambda index: self.now)
        self.mouth.renew(epoch, cause, self.now)

    def play(self, name: str, samples: Samples, cause: str = "", *, loop: bool = False) -> str:
        why = self.mouth.play(Prompt(name, samples, cause, loop), self.now)
        self._look()
        return why

    def steepest(self, from_ms: float = 100, to_ms: float = 1e9) -> int:
        """The largest step between two samples; not at the beginning, where a tone has a step of its own."""
        part = self.sound[int(from_ms * 48) : int(to_ms * 48)].astype(int)
        return int(np.abs(np.diff(part)).max())


def steepest_of(samples: Samples) -> float:
    """The largest step of a 500 Hz tone of that height at the device's rate."""
    return float(np.abs(samples.astype(int)).max()) * 2 * np.pi * 500 / RATE


def test_an_answer_is_audible_played_and_heard() -> None:
    room, said = Room(), tone(1.0)
    room.answer(1, said)
    room.run(1200)
    assert room.events("audible") == [{"epoch": 1, "at": 0, "t": 0}]
    assert np.array_equal(np.concatenate([block for block, *_ in room.played]), said)
    assert all(t == pytest.approx(at / 24_000 * 1e9, abs=9 * MS) for _, t, _, at in room.played if at is not None)
    assert room.events("heard")[-1] == {"epoch": 1, "at": 24_000, "buffered_to": 24_000}
    assert not room.mouth.sounding


def test_who_takes_over_an_answer_goes_on_at_the_sample_where_it_stopped() -> None:
    said = tone(2.0)
    old = Room()
    old.answer(1, said)
    old.run(496)
    frame = old.mouth.given - old._queue.size
    old.mouth.leave(frame, lambda index: old.now, old.now)
    stopped = old.events("heard")[-1]
    assert stopped == {"epoch": 1, "at": pytest.approx(0.496 * 24_000, abs=30), "buffered_to": 48_000}
    new = Room()
    at = stopped["at"]
    new.mouth.renew(1, "new_answer", 0, at)
    new.answer(1, said[at:], at)
    new.run(2_000)
    assert new.events("heard")[0]["at"] == new.events("audible")[0]["at"] == at, "nor does it say that none was heard"
    assert np.array_equal(np.concatenate([block for block, *_ in old.played + new.played]), said)


@pytest.mark.parametrize("cause", ["interrupted", "new_answer"])
def test_an_interrupted_answer_is_cut_where_it_stands(cause: str) -> None:
    room = Room()
    room.answer(1, tone(2.0))
    room.run(496)
    room.renew(2, cause)
    room.run(200)
    assert np.flatnonzero(room.sound).max() <= RATE * 0.496
    old, new = room.events("heard")[-2:]
    assert old == {"epoch": 1, "at": pytest.approx(0.496 * 24_000, abs=30), "buffered_to": 48_000}
    assert new == {"epoch": 2, "at": 0, "buffered_to": 0}


def test_a_confirmed_barge_in_fades_without_a_click_and_counts_what_was_heard_to_its_end() -> None:
    room, said = Room(), tone(2.0, amplitude=20_000)
    room.answer(1, said)
    room.run(496)
    queued = room._queue.size
    room.renew(2, "barge_in")
    room.mouth.push(2, 0, tone(0.4, 700), room.now)  # the next answer is here before the old one has faded
    assert room.events("heard")[-1]["epoch"] == 1, "it is not over yet"
    room.run(1000)
    assert room.steepest(to_ms=496 + 32 + FADE_MS) < 1.15 * steepest_of(said)
    of = [body for body in room.events("heard") if body["epoch"] == 1][-1]
    assert of["at"] == pytest.approx((0.496 * RATE + queued + FADE_MS * RATE / 1000) / 2, abs=60)
    assert of["buffered_to"] == 48_000
    assert [body["epoch"] for body in room.events("audible")] == [1, 2]
    assert room.events("heard")[-1] == {"epoch": 2, "at": 9_600, "buffered_to": 9_600}


def test_interrupted_while_it_fades_is_silence_at_once() -> None:
    room = Room()
    room.answer(1, tone(2.0))
    room.run(496)
    room.renew(2, "barge_in")
    room.run(8)
    assert room.mouth.must_cut(3, "interrupted")
    room.renew(3, "interrupted")
    room.run(100)
    assert np.flatnonzero(room.sound).max() <= RATE * 0.504
    assert [body["epoch"] for body in room.events("heard")][-2:] == [1, 3]


def test_a_duck_lowers_and_restores_without_a_click_or_a_lost_word() -> None:
    room, said = Room(), tone(1.5, amplitude=20_000)
    room.answer(1, said)
    room.run(400)
    room.mouth.duck({"on": True, "db": -12, "fade_ms": 8}, room.now)
    ducked_at = room.sound.size
    room.run(304)
    room.mouth.duck({"on": False, "fade_ms": 8}, room.now)
    room.run(760)
    level = np.abs(room.sound.astype(int))
    assert level[ducked_at + RATE * 42 // 1000 : ducked_at + RATE * 300 // 1000].max() == pytest.approx(5_024, abs=60)
    assert level[ducked_at + RATE * 360 // 1000 :].max() == pytest.approx(20_000, abs=60)
    assert room.steepest() < 1.15 * steepest_of(said)
    room.run(120)
    assert room.events("heard")[-1]["at"] == said.size


def test_a_duck_that_nobody_takes_back_ends_by_itself() -> None:
    room = Room()
    room.answer(1, tone(5.0))
    room.mouth.duck({"on": True, "db": -12, "fade_ms": 8}, room.now)
    room.run(DUCKED_NS / MS + 200)
    assert np.abs(room.sound[-1000:].astype(int)).max() == pytest.approx(12_000, abs=60)


def test_volume_of_answers_and_prompts_alike() -> None:
    room = Room(percent=50)
    room.play("awake", tone(0.2))
    room.run(400)
    assert np.abs(room.sound.astype(int)).max() == pytest.approx(12_000 * 10 ** (-25 / 20), abs=20)
    room.mouth.volume(0)
    begun = room.sound.size
    room.answer(1, tone(0.2))
    room.run(400)
    assert np.abs(room.sound[begun:]).max() <= 1


def test_a_prompt_sounds_without_an_answer_and_is_no_part_of_one() -> None:
    room = Room()
    assert room.play("offline", tone(0.5), "offline") == ""
    room.run(48)
    assert room.events("prompt") == [{"name": "offline", "on": True, "t": 0, "ms": 500}]
    room.run(700)
    assert room.events("prompt")[-1] == {"name": "offline", "on": False}
    assert sum(block.size for block, *_ in room.played) == 12_000
    assert {(epoch, at) for _, _, epoch, at in room.played} == {(None, None)}
    assert room.events("heard") == room.events("audible") == []


def test_an_answer_waits_for_a_sentence_of_ours_but_not_for_a_filler() -> None:
    for name, loop, begins_ms in (("offline", False, 1_000), ("thinking", True, 200 + 2 * CAPACITY * 1000 / RATE)):
        room = Room()
        room.play(name, tone(1.0, 300), "x", loop=loop)
        room.run(200)
        room.answer(1, tone(0.5, 2_000))
        room.run(1_600)
        assert room.events("audible")[0]["t"] / MS <= begins_ms + 24
        assert room.steepest(to_ms=230) < 1.1 * 12_000 * 2 * np.pi * 300 / RATE
        assert room.events("heard")[-1]["at"] == 12_000
        assert room.events("prompt")[-1] == {"name": name, "on": False}


def test_a_prompt_never_talks_into_an_answer() -> None:
    room = Room()
    room.answer(1, tone(0.8))
    room.run(200)
    assert room.play("thinking", tone(1.0), loop=True) == "an answer sounds"
    assert room.play("error", tone(0.3), "error") == ""
    room.run(400)
    assert room.events("prompt") == []
    room.run(1_400)
    begun = room.events("prompt")[0]["t"] / MS
    assert 1_200 <= begun <= 1_300
    assert len(room.events("audible")) == 1


def test_a_prompt_stopped_is_faded() -> None:
    room = Room()
    room.play("thinking", tone(0.4), loop=True)
    room.run(1_000)
    room.mouth.play_stop("thinking")
    room.run(200)
    assert np.flatnonzero(room.sound).max() < RATE * (1.0 + 0.032 + FADE_MS / 1000 + 0.01)
    assert room.steepest() < 1.15 * steepest_of(tone(0.4))
    assert room.events("prompt")[-1] == {"name": "thinking", "on": False}


def test_a_flush_does_not_end_a_prompt() -> None:
    room = Room()
    room.answer(1, tone(0.2))
    room.run(800)
    room.play("error", tone(0.5), "error")
    room.run(200)
    room.renew(2, "interrupted")
    room.run(600)
    assert sum(block.size for block, _, epoch, _ in room.played if epoch is None) == 12_000


def test_what_comes_when_silence_was_put_behind_the_last_frame_is_late_and_the_target_grows() -> None:
    room = Room(jitter_ms=40)
    sent = tone(0.25)
    room.answer(1, sent[:1_200])
    room.run(40)
    assert room.mouth.fill(160, room.now).size == 160
    room.mouth.left(room.mouth.given, lambda index: room.now, room.now)
    room.run(8)
    room.mouth.push(1, 1_200, sent[1_200:], room.now)
    room.run(400)
    (underrun,) = room.events("underrun")
    assert underrun["at"] == 1_200
    assert room.mouth.reply.target_ms == 60
    assert np.array_equal(np.concatenate([samples for samples, *_ in room.played]), sent)


def test_minutes_at_once_and_slower_than_real_time_both_come_out_whole() -> None:
    said = tone(8.0)
    room = Room()
    room.answer(1, said)
    room.run(8_200)
    assert np.array_equal(np.concatenate([block for block, *_ in room.played]), said)
    slow = Room()
    slow.renew(1, "new_answer")
    for begin in range(0, 48_000, 480):  # 20 ms each 25
        slow.mouth.push(1, begin, said[begin : begin + 480], slow.now)
        slow.run(24)
    slow.run(1_000)
    assert np.array_equal(np.concatenate([block for block, *_ in slow.played]), said[:48_000])
    assert 1 <= len(slow.events("underrun")) <= 8, "the target grew, so the gaps are few"
    assert slow.mouth.reply.target_ms > 40
