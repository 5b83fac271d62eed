"""A known event that is written wrong is refused with its field, before a reader falls over it."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from pipeline.bus import codec
from pipeline.bus.shapes import SHAPES, misfit

pytestmark = pytest.mark.unit

STAMP = {"v": 1, "src": "playback", "inst": 1, "seq": 0, "sent": 1}
GOOD: dict[str, Any] = {
    "int >= 0": 3, "a finite number": -12.5, "str": "x", "bool": True, "a list": ["voice"], "a map": {"text": 1}
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_every_event_may_be_said_right_and_not_wrong(name: str) -> None:
    right = {key.removesuffix("!"): GOOD[kind] for key, kind in SHAPES[name].items()}
    assert misfit(name, right | {"another": object()}) == ""
    for key, kind in SHAPES[name].items():
        field = key.removesuffix("!")
        for wrong in ([1], {"a": 1}, "x", b"x", 1.5, nan, -1, 2**63, True):
            if type(wrong) is type(GOOD[kind]) and wrong == wrong and wrong not in (-1, 2**63):
                continue
            if kind == "a finite number" and isinstance(wrong, int) and not isinstance(wrong, bool):
                continue
            assert f"`{field}`" in misfit(name, right | {field: wrong}), (field, wrong)
        assert bool(misfit(name, right | {field: None})) == key.endswith("!")


def test_the_reader_refuses_it() -> None:
    body = {"turn": 1, "since_speech_end_ms": inf}
    with pytest.raises(codec.Malformed, match="expected `since_speech_end_ms` to be a finite number, got inf"):
        codec.unpack(codec.pack("event.first_audio", {**STAMP, "body": body}))
    assert codec.unpack(codec.pack("event.my_own", {**STAMP, "body": {"t": "x"}}))


def test_sound_that_its_readers_cannot_reckon_with_is_refused() -> None:
    audio = {"rate": 24_000, "channels": 2, "format": "s16le", "pcm": bytes(8), "epoch": 1, "at": 0}
    with pytest.raises(codec.Malformed, match="expected reply to be mono, got 2 channels"):
        codec.unpack(codec.pack("audio.reply", {**STAMP, **audio}))
    assert codec.unpack(codec.pack("audio.mic", {**STAMP, **audio}))
    with pytest.raises(codec.Malformed, match="below 2\\^63"):
        codec.unpack(codec.pack("audio.mic", {**STAMP, **audio, "t": 2**64 - 1}))
