"""The bytes of the protocol: pinned by vectors, refused when odd, whatever they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.bus import codec
from pipeline.bus.messages import Audio, Event, topic_of

pytestmark = pytest.mark.unit

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "protocol-v1.json").read_text())
STAMP = {"v": 1, "src": "frontend", "inst": 3, "seq": 41, "sent": 123_456_789_000}


def audio_map(**changes: Any) -> dict[str, Any]:
    fields = {**STAMP, "rate": 16_000, "channels": 1, "format": "s16le", "pcm": b"\x01\x00\xff\x7f", "t": 5}
    return {key: value for key, value in {**fields, **changes}.items() if value is not None}


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_vectors_pin_the_bytes(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    stamp, message = codec.unpack([vector["topic"].encode(), data])
    fields = codec.audio_fields(message) if isinstance(message, Audio) else {"body": dict(message.body)}
    again = codec.pack(
        stamp.topic, {"v": 1, "src": stamp.src, "inst": stamp.inst, "seq": stamp.seq, "sent": stamp.sent, **fields}
    )
    assert again == [vector["topic"].encode(), data]


def test_audio_keeps_its_place_format_and_marks() -> None:
    parts = codec.pack("audio.voice", audio_map(gated=True, replay="session/1/voice/1", unknown_key={"a": 1}))
    stamp, message = codec.unpack(parts)
    assert stamp == codec.Stamp("audio.voice", "frontend", 3, 41, 123_456_789_000)
    assert message == Audio("voice", b"\x01\x00\xff\x7f", 16_000, 1, t=5, gated=True, replay="session/1/voice/1")


def test_event_keeps_its_body() -> None:
    parts = codec.pack("event.flush", {**STAMP, "body": {"epoch": 7, "cause": "interrupted"}})
    _, message = codec.unpack(parts)
    assert message == Event("flush", {"epoch": 7, "cause": "interrupted"}, "frontend", 3, 123_456_789_000)


def test_a_picture_is_an_event_with_bytes() -> None:
    body = {"t": 1, "format": "jpeg", "data": b"\xff\xd8"}
    _, message = codec.unpack(codec.pack(topic_of("image_in"), {**STAMP, "body": body}))
    assert message == Event("image_in", body, "frontend", 3, 123_456_789_000)
    for data in ("text", None, bytes(codec.MAX_IMAGE_BYTES + 1)):
        with pytest.raises(codec.Malformed):
            codec.unpack(codec.pack("image.in", {**STAMP, "body": {**body, "data": data}}))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"v": 2}, "version"),
        ({"v": None}, "version"),
        ({"src": 5}, "src"),
        ({"seq": -1}, "seq"),
        ({"seq": True}, "seq"),
        ({"rate": 0}, "rate"),
        ({"channels": 0}, "channels"),
        ({"channels": 100}, "channels"),
        ({"format": "f32le"}, "s16le"),
        ({"pcm": b"\x01"}, "whole samples"),
        ({"pcm": bytes(6 * 32_000)}, "blocks of 5 s at most, got 6 s"),
        ({"pcm": "text"}, "pcm"),
        ({"t": None}, "place in time"),
        ({"t": None, "epoch": 3}, "at"),
        ({"gated": 1}, "gated"),
        ({"replay": 5}, "replay"),
    ],
)
def test_an_odd_field_is_named(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(codec.Malformed, match=complaint):
        codec.unpack(codec.pack("audio.voice", audio_map(**changes)))


@pytest.mark.parametrize("topic", ["", "audio", "audio.", "event.", "video.cam", "voice"])
def test_an_unknown_kind_of_topic_is_refused(topic: str) -> None:
    with pytest.raises(codec.Malformed):
        codec.unpack(codec.pack(topic, audio_map(body={})))


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_any_bytes_decode_or_are_malformed(parts: list[bytes]) -> None:
    try:
        codec.unpack(parts)
    except codec.Malformed:
        return


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from([*audio_map(), "epoch", "at", "gated", "replay", "body", "other"])


@given(st.sampled_from(["audio.voice", "event.state"]), st.dictionaries(keys, json_like))
def test_any_map_decodes_or_is_malformed(topic: str, changes: dict[str, Any]) -> None:
    fields = {**audio_map(body={}), **changes}
    try:
        stamp, _ = codec.unpack([topic.encode(), msgpack.packb(fields)])
    except codec.Malformed:
        return
    assert stamp.topic == topic


def test_samples_clip_round_and_take_the_shape_of_their_channels() -> None:
    mono = Audio("voice", bytes(8), 16_000, 1, t=0)
    louder = mono.replace(samples=np.array([1.6, -40_000.0, 40_000.0, np.nan]))
    assert louder.samples.tolist() == [2, -32768, 32767, 0]
    stereo = mono.replace(samples=np.array([[1, 2], [3, 4]], np.int16))
    assert (stereo.channels, stereo.frames, stereo.samples.shape) == (2, 2, (2, 2))
