"""Bytes of a message, both ways: topic and msgpack map. Unknown keys are ignored, anything else odd is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgpack

from pipeline.bus.messages import IMAGE, VERSION, Audio, Event
from pipeline.bus.shapes import LIMIT, misfit

MAX_BYTES = 16 * 2**20
"""A larger part is refused before it is unpacked: no message of a voice pipeline comes near it."""
LONGEST_S = 5
"""A longer block is refused, but of an answer, which a service may give in one piece. A minute of voice in one block
would push all else out of the ring that keeps it and out of the queue to the service: nobody was answered for 30 s."""
MAX_IMAGE_BYTES = 4 * 2**20
"""Of one picture. The service looks at it in pieces of 768 pixels, about 100 kB; who reads holds some of them."""

MONO = ("voice", "reply", "played")
"""Streams whose readers count on one channel; a microphone has as many as it has."""

_STR = {str}


class Malformed(ValueError):
    """The bytes are no message of this protocol; the text says what was expected. Counted and dropped by readers."""


class UnknownVersion(Malformed):
    """The message has a major version that this reader does not speak."""


class Stamp(NamedTuple):
    """Who said it, and the how-many-th it is: `(src, inst, topic, seq)` is unique."""

    topic: str
    src: str
    inst: int
    seq: int
    sent: int
    """Monotonic ns."""


def pack(topic: str, fields: Mapping[str, Any]) -> list[bytes]:
    """The two parts of a message. Raises TypeError when a value has no msgpack form."""
    return [topic.encode(), msgpack.packb(fields, use_bin_type=True)]


def audio_fields(audio: Audio) -> dict[str, Any]:
    """The fields of an audio message, without its stamp."""
    fields: dict[str, Any] = {
        "rate": audio.rate,
        "channels": audio.channels,
        "format": "s16le",
        "pcm": audio.pcm,
    }
    if audio.t is not None:
        fields["t"] = audio.t
    if audio.epoch is not None:
        fields["epoch"], fields["at"] = audio.epoch, audio.at
    if audio.gated:
        fields["gated"] = True
    if audio.replay is not None:
        fields["replay"] = audio.replay
    return fields


def stamped(parts: Sequence[bytes]) -> tuple[Stamp, dict[str, Any]]:
    """Stamp and map of a message, its other fields unread. Raises Malformed (UnknownVersion among them)."""
    if len(parts) != 2:
        raise Malformed(f"expected 2 parts, topic and map, got {len(parts)}")
    if len(parts[1]) > MAX_BYTES:
        raise Malformed(f"expected at most {MAX_BYTES} bytes, got {len(parts[1])}")
    fields = unpack_map(parts[1])
    try:
        topic = bytes(parts[0]).decode()
    except UnicodeDecodeError as error:
        raise Malformed("expected a topic in UTF-8") from error
    stamp = Stamp(
        topic,
        _field(fields, "src", str),
        _field(fields, "inst", int),
        _field(fields, "seq", int),
        _field(fields, "sent", int),
    )
    return stamp, fields


def unpack(parts: Sequence[bytes]) -> tuple[Stamp, Audio | Event]:
    """Decode one message. Raises Malformed (UnknownVersion among them) and nothing else, whatever the bytes."""
    stamp, fields = stamped(parts)
    topic = stamp.topic
    kind, _, name = topic.partition(".")
    if kind == "audio" and name:
        return stamp, _audio(name, fields)
    if kind == "event" and name:
        body = _field(fields, "body", dict)
        if wrong := misfit(name, body):
            raise Malformed(wrong)
        return stamp, Event(name, body, stamp.src, stamp.inst, stamp.sent)
    if kind == "image" and name:
        return stamp, Event(IMAGE + name, _picture(_field(fields, "body", dict)), stamp.src, stamp.inst, stamp.sent)
    raise Malformed(f"expected a topic audio.<stream>, event.<name> or image.<stream>, got {topic[:40]!r}")


def unpack_map(data: bytes) -> dict[str, Any]:
    """One msgpack map with string keys and our version. Raises Malformed."""
    try:
        fields = msgpack.unpackb(data, raw=False, strict_map_key=True)
    except Exception as error:  # msgpack raises half a dozen unrelated classes on hostile bytes
        raise Malformed(f"expected a msgpack map: {type(error).__name__}") from error
    if not isinstance(fields, dict) or set(map(type, fields)) - _STR:
        raise Malformed("expected a msgpack map with string keys")
    version = fields.get("v")
    if version != VERSION or isinstance(version, bool):
        raise UnknownVersion(f"expected protocol version v={VERSION}, got {str(version)[:20]}")
    return fields


def _field(fields: Mapping[str, Any], key: str, kind: type) -> Any:
    value: Any = fields.get(key)
    found = type(value)
    if found is not kind:  # `isinstance` would take True for a number
        raise Malformed(f"expected `{key}` to be {kind.__name__}, got {found.__name__}")
    if kind is int and not 0 <= value < LIMIT:
        raise Malformed(f"expected `{key}` >= 0 and below 2^63, got {value}")
    return value


def _audio(stream: str, fields: Mapping[str, Any]) -> Audio:
    rate, channels = _field(fields, "rate", int), _field(fields, "channels", int)
    if not 1_000 <= rate <= 768_000:
        raise Malformed(f"expected a rate of 1000 to 768000 Hz, got {rate}")
    if not 1 <= channels <= 64:
        raise Malformed(f"expected 1 to 64 channels, got {channels}")
    if channels != 1 and stream in MONO:
        raise Malformed(f"expected {stream} to be mono, got {channels} channels")
    if fields.get("format") != "s16le":
        raise Malformed(f"expected format s16le, got {str(fields.get('format'))[:20]!r}")
    pcm = _field(fields, "pcm", bytes)
    if len(pcm) % (2 * channels):
        raise Malformed(f"expected whole samples of {2 * channels} bytes, got {len(pcm)} bytes")
    if len(pcm) > LONGEST_S * rate * 2 * channels and stream != "reply":
        raise Malformed(f"expected blocks of {LONGEST_S} s at most, got {len(pcm) // (rate * 2 * channels)} s")
    t = _field(fields, "t", int) if "t" in fields else None
    epoch = _field(fields, "epoch", int) if "epoch" in fields else None
    at = _field(fields, "at", int) if epoch is not None else None
    if t is None and epoch is None:
        raise Malformed("expected a place in time: `t`, or `epoch` and `at`")
    replay = _field(fields, "replay", str) if fields.get("replay") is not None else None
    gated = fields.get("gated", False)
    if not isinstance(gated, bool):
        raise Malformed(f"expected `gated` to be bool, got {type(gated).__name__}")
    return Audio(stream, pcm, rate, channels, t, epoch, at, gated, replay)


def _picture(body: dict[str, Any]) -> dict[str, Any]:
    size = len(_field(body, "data", bytes))
    if size > MAX_IMAGE_BYTES:
        raise Malformed(f"expected a picture of at most {MAX_IMAGE_BYTES} bytes, got {size}")
    return body
