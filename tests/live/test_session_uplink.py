"""What the service is given of the voice: activities where the frontend detects speech, and the end of the stream."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.bus.messages import Audio
from tests.rig.booth import BLOCK_NS, SCRIPT, Booth, holds, recording

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return tmp_path_factory.mktemp("u")  # short: the path of a socket holds 107 bytes


def up(booth: Booth) -> None:
    booth.start("simulator")
    booth.start("session")
    booth.until(lambda: booth.bodies("connection", up=True))


def given(booth: Booth, connection: int | None = None) -> list[str]:
    """The kinds of realtime input that the service was given, those in a row as one."""
    found: list[str] = []
    for entry in booth.log("in"):
        for kind in entry["message"].get("realtimeInput", ()):
            if connection in (None, entry["connection"]) and (not found or found[-1] != kind):
                found.append(kind)
    return found


def gated(booth: Booth, seconds: float) -> None:
    """The gate is closed."""
    for _ in range(int(seconds * 50)):
        booth.frontend.audio(Audio("voice", bytes(640), 16_000, 1, t=booth.t, gated=True))
        booth.t += BLOCK_NS
    booth.until(lambda: True)


def refused(booth: Booth) -> list[dict[str, Any]]:
    """What the service would not take, but for the handle of another one."""
    return [entry for entry in booth.log("refused") if "handle" not in entry["why"]]


def test_speech_goes_up_as_an_activity_and_is_replayed_in_one(place: Path) -> None:
    with Booth(place, turn_detection="client", client_vad={"silence_ms": 400}) as booth:
        up(booth)
        booth.asks()
        booth.until(booth.answered)
        assert given(booth) == ["activityStart", "audio", "activityEnd"]
        assert holds(booth.received()[0], recording())
        assert booth.received()[0].size < recording().size + 16_000, "no silence is paid for but what frames it"
        # The line goes away in mid-utterance; the whole of it is given to the next one, in the same order.
        speech = recording("cold_hearted.wav")
        booth.silence(1.0)
        start_t = booth.begins()
        booth.voice(speech[: speech.size // 640 * 320])
        booth.until(lambda: given(booth)[-2:] == ["activityStart", "audio"])
        booth.kill("simulator")
        booth.until(lambda: booth.bodies("connection", up=False))
        booth.voice(speech[speech.size // 640 * 320 :])
        booth.ends(start_t)
        booth.silence(1.0)
        booth.start("simulator")
        booth.until(lambda: booth.answered(2))
        connection = booth.log("open")[-1]["connection"]
        assert given(booth, connection)[-3:] == ["activityStart", "audio", "activityEnd"]
        assert holds(booth.received()[-1], speech)
        # A text is framed, too.
        booth.frontend.event("text_in", {"text": "hello"})
        booth.until(lambda: booth.answered(3))
        assert given(booth, connection)[-3:] == ["activityStart", "text", "activityEnd"]
        assert [entry["kind"] for entry in booth.log("turn")][-2:] == ["speech", "text"]
        assert not refused(booth)


def test_killed_in_mid_utterance_the_session_gives_the_whole_of_it_though_it_never_heard_it_begin(place: Path) -> None:
    with Booth(place, turn_detection="client") as booth:
        up(booth)
        booth.silence(0.3)
        speech = recording()
        start_t = booth.begins()
        booth.voice(speech[: speech.size // 640 * 320])
        booth.until(lambda: "audio" in given(booth))
        booth.kill("session")
        booth.voice(speech[speech.size // 640 * 320 :])
        booth.ends(start_t)  # nobody hears this
        booth.silence(1.0)
        booth.start("session")
        booth.until(lambda: len(booth.bodies("connection", up=True)) == 2)
        while not booth.answered():
            booth.t = max(booth.t, time.monotonic_ns() - BLOCK_NS)
            booth.silence(0.02)
            booth.until(lambda: True)
        assert holds(booth.received()[-1], speech)
        assert not refused(booth)


def test_a_gate_that_closes_and_a_microphone_that_ceases_end_the_stream_once(place: Path) -> None:
    with Booth(place, script=SCRIPT) as booth:
        up(booth)
        booth.silence(0.5)
        gated(booth, 3.0)
        booth.until(lambda: given(booth) == ["audio", "audioStreamEnd"])
        assert booth.received()[0].size <= 16_000 * 1.6
        booth.voice(np.full(320 * 10, 5, np.int16))
        booth.until(lambda: given(booth)[2:] == ["audio"])
        booth.until(lambda: given(booth)[2:] == ["audio", "audioStreamEnd"])
        booth.asks()
        booth.until(booth.answered)
        assert holds(booth.received()[0], recording())
        assert not refused(booth)


def test_what_is_given_again_to_a_new_line_ends_with_the_end_of_the_stream(place: Path) -> None:
    with Booth(place) as booth:
        booth.t -= 5_000_000_000
        _, _ = booth.asks()
        up(booth)
        booth.t = time.monotonic_ns() - 2 * BLOCK_NS
        booth.silence(0.04)
        booth.until(lambda: "audioStreamEnd" in given(booth))
        booth.until(booth.answered)
        assert holds(booth.received()[0], recording())


def test_pictures_of_who_is_here_are_sent_one_a_second_and_what_is_none_is_dropped(place: Path) -> None:
    jpeg = bytes.fromhex("ffd8 ffe0 0004 0000 ffc0 000b 08 01e0 0280 01 01 11 00 ffd9")
    with Booth(place) as booth:
        up(booth)

        def show(data: bytes) -> None:
            booth.frontend.event("image_in", {"t": booth.t, "format": "jpeg", "data": data})

        def shown() -> list[int]:
            found = [e for e in booth.log("in") if "video" in e["message"].get("realtimeInput", ())]
            assert {e["message"]["realtimeInput"]["video"]["mimeType"] for e in found} <= {"image/jpeg"}
            return [e["ns"] for e in found]

        show(jpeg)
        booth.asks()
        booth.until(booth.answered)
        for _ in range(4):
            show(jpeg)
            show(b"no picture")
        booth.until(lambda: len(shown()) >= 2)
        first, second = shown()
        assert second - first >= 1_000_000_000
        assert not refused(booth)
