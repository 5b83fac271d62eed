"""One line after the other, through the SDK, to a simulator in this process: nothing said is lost or hurried."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
import wave
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.live import effects as fx
from pipeline.live import liveness
from pipeline.live import messages as m
from tests.rig.booth import SCRIPT, holds, recording
from tests.rig.kiosk import Kiosk

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

GREETING = "Greet the visitor in one short sentence."


def run(folder: Path, scenario: Callable[[Kiosk], Awaitable[None]], **options: Any) -> None:
    async def whole() -> None:
        async with Kiosk(folder, **options) as kiosk:
            await scenario(kiosk)

    asyncio.run(whole())


def test_a_line_that_nobody_needs_is_closed_and_the_next_word_reopens_it_to_the_sample(tmp_path: Path) -> None:
    async def scenario(kiosk: Kiosk) -> None:
        await kiosk.until(kiosk.up)
        kiosk.asks()
        await kiosk.until(kiosk.answered)
        await kiosk.until(lambda: kiosk.told("connection", up=False, reason="idle"))
        assert kiosk.effects(fx.State)[-1].name == "waiting"
        dials = kiosk.dials
        kiosk.silence(3.0)
        await asyncio.sleep(0.5)
        assert kiosk.dials == dials, "silence needs no line"
        kiosk.asks("cold_hearted.wav")
        await kiosk.until(lambda: kiosk.answered(2))
        assert holds(kiosk.received()[-1], recording("cold_hearted.wav"))
        assert not holds(kiosk.received()[-1], recording())
        assert len(kiosk.received()[-1]) < len(recording("cold_hearted.wav")) + 2.5 * 16_000, "no more than it needs"
        assert kiosk.setups()[-1]["sessionResumption"].get("handle"), "the visit goes on"
        assert kiosk.most_open() == 1

    run(tmp_path, scenario, idle_s=0.8)


@pytest.mark.parametrize("who", ["text", "visitor", "trigger"])
def test_whoever_needs_a_line_has_it_at_once(tmp_path: Path, who: str) -> None:
    async def scenario(kiosk: Kiosk) -> None:
        await kiosk.until(lambda: kiosk.told("connection", up=False, reason="idle"))
        began = time.monotonic()
        now_ns = time.monotonic_ns()
        match who:
            case "text":
                kiosk.types("hello")
            case "visitor":
                kiosk.do(kiosk.talk.visitor_arrived(now_ns))
            case _:
                kiosk.do(kiosk.talk.triggered(now_ns))
        await kiosk.until(lambda: kiosk.up(2))
        assert time.monotonic() - began < 1.0
        if who != "trigger":
            await kiosk.until(kiosk.answered)

    run(tmp_path, scenario, idle_s=0.3, greeting=GREETING)


def test_a_microphone_that_dies_in_mid_speech_does_not_keep_the_line(tmp_path: Path) -> None:
    async def scenario(kiosk: Kiosk) -> None:
        await kiosk.until(kiosk.up)
        kiosk.silence(0.5)
        kiosk.begins()
        kiosk.voice(recording()[:16_000])
        await kiosk.until(lambda: kiosk.told("connection", up=False, reason="idle"), 25)

    run(tmp_path, scenario, idle_s=0.5)


def test_without_a_frontend_that_detects_speech_loudness_opens_the_line(tmp_path: Path) -> None:
    async def scenario(kiosk: Kiosk) -> None:
        await kiosk.until(lambda: kiosk.told("connection", up=False, reason="idle"))
        kiosk.silence(1.0)
        await asyncio.sleep(0.3)
        assert kiosk.dials == 1
        kiosk.voice(recording())
        kiosk.silence(1.0)
        await kiosk.until(kiosk.answered)
        assert holds(kiosk.received()[-1], recording())

    run(tmp_path, scenario, idle_s=0.3)


def test_an_utterance_over_a_roll_that_could_not_wait_is_whole_on_the_new_line(tmp_path: Path) -> None:
    async def scenario(kiosk: Kiosk) -> None:
        await kiosk.until(kiosk.up)
        kiosk.asks()
        await kiosk.until(kiosk.answered)
        speech = recording("cold_hearted.wav")
        half = speech.size // 640 * 320
        kiosk.silence(0.4)
        start_t = kiosk.begins()
        kiosk.voice(speech[:half])
        kiosk.server.fault("{when: now, go_away_ms: 1500}")
        await kiosk.until(lambda: kiosk.up(2))
        kiosk.voice(speech[half:])
        kiosk.ends(start_t)
        kiosk.silence(1.0)
        await kiosk.until(lambda: kiosk.answered(2))
        assert holds(kiosk.received()[-1], speech)
        assert not holds(kiosk.received()[0], speech)
        assert kiosk.log("close")[0]["by"] == "client", "we were faster than its deadline"
        assert kiosk.most_open() == 1

    run(tmp_path, scenario)


def test_a_roll_waits_for_a_gap(tmp_path: Path) -> None:
    async def scenario(kiosk: Kiosk) -> None:
        await kiosk.until(kiosk.up)
        kiosk.speaker.instant = False
        kiosk.asks()
        await kiosk.until(lambda: kiosk.speaker.end_at > 12_000)
        kiosk.server.fault("{when: now, go_away_ms: 20000}")
        await kiosk.until(lambda: kiosk.up(2))
        [ended] = kiosk.told("turn_ended")
        assert ended["outcome"] == "answered"
        assert kiosk.talk.downlink.epochs.unheard == 0, "all of it was heard"
        assert kiosk.speaker.gaps_s == []
        assert kiosk.setups()[-1]["sessionResumption"].get("handle")
        kiosk.asks("cold_hearted.wav")
        await kiosk.until(lambda: kiosk.answered(2))

    run(tmp_path, scenario)


def test_a_roll_forced_in_mid_answer_is_not_heard_and_the_rest_is_said(tmp_path: Path) -> None:
    script = SCRIPT.replace("speed: 20", "speed: 1.5")

    async def scenario(kiosk: Kiosk) -> None:
        kiosk.speaker.instant = False
        await kiosk.until(kiosk.up)
        kiosk.asks("cold_hearted.wav")
        await kiosk.until(lambda: kiosk.speaker.end_at > 24_000)
        kiosk.server.fault("{when: now, go_away_ms: 1200}")
        await kiosk.until(lambda: kiosk.up(2))
        await kiosk.until(kiosk.answered)
        assert max(kiosk.speaker.gaps_s, default=0.0) <= 0.3
        told = [e["message"] for e in kiosk.log("in", 2) if "text" in json.dumps(e["message"])]
        assert "Say the rest" in json.dumps(told)
        assert [body["outcome"] for body in kiosk.told("turn_ended")] == ["answered"]

    run(tmp_path, scenario, script=script)


def test_a_question_asked_in_an_outage_of_8_s_is_answered_within_a_second_of_its_end(tmp_path: Path) -> None:
    async def scenario(kiosk: Kiosk) -> None:
        await kiosk.until(kiosk.up)
        kiosk.asks()
        await kiosk.until(kiosk.answered)
        speech = recording("cold_hearted.wav")
        half = speech.size // 640 * 320
        kiosk.silence(0.4)
        start_t = kiosk.begins()
        kiosk.voice(speech[:half])
        kiosk.server.fault("{when: now, outage: {ms: 8000, how: refused}}")
        gone = time.monotonic()
        await kiosk.until(lambda: kiosk.told("connection", up=False))
        kiosk.voice(speech[half:])
        kiosk.ends(start_t)
        kiosk.silence(1.0)
        await kiosk.until(lambda: kiosk.up(2), 20)
        assert time.monotonic() - gone < 8 + 1.0
        await kiosk.until(lambda: kiosk.answered(2))
        assert holds(kiosk.received()[-1], speech)
        assert 8 < kiosk.dials < 40, "eager, and not in a hot loop"

    run(tmp_path, scenario)


def test_two_questions_asked_in_an_outage_are_one_turn_and_none_is_cut_off_by_the_other(tmp_path: Path) -> None:
    async def scenario(kiosk: Kiosk) -> None:
        await kiosk.until(kiosk.up)
        kiosk.asks()
        await kiosk.until(kiosk.answered)
        kiosk.server.fault("{when: now, outage: {ms: 8000, how: refused}}")
        await kiosk.until(lambda: kiosk.told("connection", up=False))
        kiosk.asks("not_ill_disposed.wav")
        kiosk.silence(3.0)
        kiosk.asks("cold_hearted.wav")
        await kiosk.until(lambda: kiosk.up(2), 20)
        await kiosk.until(lambda: kiosk.answered(2))
        first, second = recording("not_ill_disposed.wav"), recording("cold_hearted.wav")
        sound = kiosk.received()[-1]
        assert holds(sound, first)
        assert holds(sound, second)
        assert sound.size < first.size + second.size + 2.5 * 16_000, "without the pause between them"
        assert len(kiosk.log("turn", 2)) == 1
        assert kiosk.log("turn", 2)[0]["seconds"] > 4, "both"
        assert not kiosk.log("interrupted", 2)
        await kiosk.until(lambda: kiosk.told("answered")[-1]["t"] >= kiosk.t - 1.1 * 10**9)
        assert [body["outcome"] for body in kiosk.told("turn_ended")] == ["answered", "answered"]

    run(tmp_path, scenario, script=SCRIPT.replace("think_ms: 50", "think_ms: 0"))


@pytest.mark.parametrize(
    "fault", ["{when: connect, close: internal}", "{when: setup, close: internal}", "{when: setup, go_away_ms: 0}"]
)
def test_a_service_that_accepts_and_closes_is_not_dialled_in_a_hot_loop(tmp_path: Path, fault: str) -> None:
    async def scenario(kiosk: Kiosk) -> None:
        await asyncio.sleep(4)
        assert 3 <= kiosk.dials <= 14
        assert kiosk.most_open() == 1

    run(tmp_path, scenario, script=SCRIPT + f"faults: [{fault}]\n")


def test_a_session_that_cannot_be_resumed_is_followed_by_a_fresh_one_that_knows_what_was_said(tmp_path: Path) -> None:
    async def scenario(kiosk: Kiosk) -> None:
        await kiosk.until(kiosk.up)
        kiosk.asks()
        await kiosk.until(kiosk.answered)
        await kiosk.until(lambda: kiosk.talk.resumption.handle)
        for fault in ("{when: now, handles: forgotten}", "{when: now, close: cut}"):
            kiosk.server.fault(fault)
        await kiosk.until(lambda: kiosk.up(2) and kiosk.seeds())
        assert "when do you close" in kiosk.seeds()[-1]
        assert "enjoy your visit" in kiosk.seeds()[-1]
        kiosk.asks("cold_hearted.wav")
        await kiosk.until(lambda: kiosk.answered(2))
        # And one that the service keeps refusing with 1011: the same handle again, then without it.
        await kiosk.until(lambda: kiosk.talk.resumption.handle)
        kiosk.server.fault("{when: resume, close: internal}")
        kiosk.server.fault("{when: now, close: cut}")
        began = time.monotonic()
        await kiosk.until(lambda: kiosk.up(3))
        assert time.monotonic() - began < 3
        handles = [setup["sessionResumption"].get("handle") for setup in kiosk.setups()]
        assert handles[-4] == handles[-3] == handles[-2] is not None
        assert handles[-1] is None
        await kiosk.until(lambda: len(kiosk.seeds()) == 2)
        assert kiosk.seeds()[-1].count("enjoy your visit") == 2

    run(tmp_path, scenario)


def test_a_service_that_refuses_to_be_told_gets_an_empty_session(tmp_path: Path) -> None:
    async def scenario(kiosk: Kiosk) -> None:
        await kiosk.until(kiosk.up)
        kiosk.asks()
        await kiosk.until(kiosk.answered)
        for fault in (
            "{when: now, handles: forgotten}",
            "{when: setup, nth: 1, after_ms: 30, close: invalid}",
            "{when: now, close: cut}",
        ):
            kiosk.server.fault(fault)
        kiosk.asks("cold_hearted.wav")
        await kiosk.until(lambda: kiosk.answered(2))
        assert len(kiosk.seeds()) == 1, "told once, refused, not told again"
        assert holds(kiosk.received()[-1], recording("cold_hearted.wav"))

    run(tmp_path, scenario)


def test_a_session_that_hears_and_does_not_speak_is_left_and_a_fresh_one_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "SILENT_S", 1.0)

    async def scenario(kiosk: Kiosk) -> None:
        await kiosk.until(kiosk.up)
        kiosk.asks()
        await kiosk.until(kiosk.answered)
        kiosk.server.fault("{when: turn, nth: 1, wedged: true}")
        kiosk.asks("cold_hearted.wav")
        await kiosk.until(lambda: kiosk.answered(2))
        assert kiosk.setups()[-1]["sessionResumption"].get("handle") is None
        assert "when do you close" in kiosk.seeds()[-1]
        assert holds(kiosk.received()[-1], recording("cold_hearted.wav"))

    run(tmp_path, scenario)


def test_a_line_on_which_nobody_answers_is_changed_and_the_question_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "SILENT_S", 1.0)

    async def scenario(kiosk: Kiosk) -> None:
        await kiosk.until(kiosk.up)
        kiosk.server.fault("{when: speech, nth: 1, silent: true}")
        kiosk.asks()
        await kiosk.until(kiosk.answered)
        assert holds(kiosk.received()[-1], recording())
        assert kiosk.dials == 2

    run(tmp_path, scenario)


def test_nothing_of_a_visitor_reaches_the_next(tmp_path: Path) -> None:
    async def scenario(kiosk: Kiosk) -> None:
        await kiosk.until(kiosk.up)
        kiosk.do(kiosk.talk.visitor_arrived(time.monotonic_ns()))
        await kiosk.until(kiosk.answered)
        kiosk.asks()
        await kiosk.until(lambda: kiosk.answered(2))
        kiosk.types("my order is for Eleanor")
        kiosk.do(kiosk.talk.visitor_left(time.monotonic_ns()))
        await kiosk.until(lambda: kiosk.up(2))
        kiosk.do(kiosk.talk.visitor_arrived(time.monotonic_ns()))
        await kiosk.until(lambda: kiosk.answered(3))
        kiosk.asks("cold_hearted.wav")
        await kiosk.until(lambda: kiosk.answered(4))
        second = kiosk.log("open")[-1]["connection"]
        told = json.dumps(kiosk.log("in", second)).lower()
        for word in ("close", "goodbye", "enjoy", "eleanor", "order", '"handle"'):
            assert word not in told
        assert not holds(kiosk.received()[-1], recording()[8_000:9_000])
        assert [body["kind"] for body in kiosk.told("turn_started")].count("greeting") == 2, "each is greeted, once"

    run(tmp_path, scenario, greeting=GREETING)


def test_a_visit_ends_when_its_goodbye_was_heard(tmp_path: Path) -> None:
    async def scenario(kiosk: Kiosk) -> None:
        kiosk.speaker.instant = False
        await kiosk.until(kiosk.up)
        kiosk.asks()
        await kiosk.until(lambda: kiosk.speaker.end_at)
        kiosk.do(kiosk.talk.end_visit(time.monotonic_ns()))
        await kiosk.until(lambda: kiosk.told("visit", open=False))
        assert kiosk.talk.downlink.epochs.unheard == 0
        assert kiosk.told("flush") == []

    run(tmp_path, scenario)


@pytest.mark.parametrize("seen", [False, True])
def test_a_result_that_outlives_its_line_is_delivered_on_the_next(tmp_path: Path, seen: bool) -> None:
    async def scenario(kiosk: Kiosk) -> None:
        declared = [{"name": "get_order", "description": "", "parameters": {"type": "object"}, "blocking": True}]
        kiosk.do(kiosk.talk.tools(declared))
        await kiosk.until(kiosk.up)
        kiosk.types("my order")
        [call] = await kiosk.until(lambda: kiosk.told("tool_call"))
        if seen:  # a service that can go on in the midst of a call
            handle = kiosk.talk.resumption.handle
            kiosk.do(kiosk.talk.received(time.monotonic_ns(), m.Handle(handle, resumable=True)))
        kiosk.server.fault("{when: now, close: cut}")
        await kiosk.until(lambda: kiosk.up(2))
        kiosk.do(kiosk.talk.tool_result(time.monotonic_ns(), call["id"], {"status": "on its way"}))
        kiosk.do(kiosk.talk.tool_result(time.monotonic_ns(), call["id"], {"status": "on its way"}))
        await kiosk.until(lambda: "on its way" in json.dumps(kiosk.log("in", 2)))
        if not seen:  # the simulator itself never issues such a handle, and knows nothing of the call
            await kiosk.until(kiosk.answered)
        told = json.dumps(kiosk.log("in", 2))
        assert told.count("on its way") == 1
        assert ("functionResponses" in told) == seen, "as what it is to a session that saw the call, else in words"
        assert ("my order" in told) != seen
        assert len(kiosk.told("tool_taken")) == 2
        assert len(kiosk.told("tool_call")) == 1, "the question was not asked again, so nothing was called twice"

    script = SCRIPT.replace("text:\n", "text:\n  - {match: has answered, say: It is on its way.}\n")
    run(tmp_path, scenario, has_tools=True, script=script)


def test_functions_are_waited_for_and_their_change_renews_the_line_in_a_gap(tmp_path: Path) -> None:
    async def scenario(kiosk: Kiosk) -> None:
        await asyncio.sleep(0.3)
        assert kiosk.dials == 0
        kiosk.do(kiosk.talk.tools([{"name": "a", "description": "", "blocking": True}]))
        await kiosk.until(kiosk.up)
        kiosk.do(kiosk.talk.tools([{"name": "b", "description": "", "blocking": False}]))
        await kiosk.until(lambda: kiosk.up(2))
        names = [[f["name"] for f in setup["tools"][0]["functionDeclarations"]] for setup in kiosk.setups()]
        assert names == [["a"], ["b"]]
        assert kiosk.setups()[-1]["tools"][0]["functionDeclarations"][0]["behavior"] == "NON_BLOCKING"

    run(tmp_path, scenario, has_tools=True)


def test_frontend_and_line_lost_within_one_question_leave_it_whole(tmp_path: Path) -> None:
    async def scenario(kiosk: Kiosk) -> None:
        await kiosk.until(kiosk.up)
        speech = recording("cold_hearted.wav")
        half = speech.size // 640 * 320
        kiosk.silence(0.4)
        kiosk.begins()
        kiosk.voice(speech[:half])
        kiosk.server.fault("{when: now, outage: {ms: 600, how: refused}}")
        kiosk.talk.speech_lost(time.monotonic_ns())
        assert kiosk.talk.voice_place() == kiosk.t, "a new frontend is asked for what follows, no more is left of it"
        await kiosk.until(lambda: kiosk.told("connection", up=False))
        start_t = kiosk.begins()
        kiosk.voice(speech[half:])
        kiosk.ends(start_t)
        kiosk.silence(1.0)
        await kiosk.until(kiosk.answered)
        assert holds(kiosk.received()[-1], speech)

    run(tmp_path, scenario)


@pytest.mark.timeout(240)
def test_200_rolls_keep_the_context_the_memory_and_the_sockets(tmp_path: Path) -> None:
    rolls = 200
    with wave.open(str(tmp_path / "beep.wav"), "wb") as beep:
        beep.setparams((1, 2, 24_000, 0, "NONE", ""))
        beep.writeframes(bytes(2 * 480))
    script = "version: 1\nthink_ms: 0\nspeed: 20\ntext:\n  - {say: Yes., wav: beep.wav}\n"

    def rss() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1])

    def sockets() -> int:
        return sum(os.readlink(link).startswith("socket:") for link in os.scandir("/proc/self/fd") if link.is_symlink())

    async def scenario(kiosk: Kiosk) -> None:
        await kiosk.until(kiosk.up)
        settled = (0, 0)
        for number in range(1, rolls + 1):
            kiosk.types(f"word {number}")
            await kiosk.until(lambda number=number: kiosk.answered(number))
            await kiosk.until(lambda: kiosk.talk.resumption.handle)
            kiosk.lines.renew("for the test")
            await kiosk.until(lambda number=number: kiosk.up(number + 1))
            if number == rolls // 4:
                settled = (rss(), sockets())
        assert rss() < settled[0] * 1.05
        assert sockets() <= settled[1] + 2
        turns = [entry["turns"] for entry in kiosk.log("setup")]
        assert turns == list(range(rolls + 1)), "each knows all that was said"
        assert kiosk.seeds() == []
        assert kiosk.most_open() == 1

    run(tmp_path, scenario, script=script)
