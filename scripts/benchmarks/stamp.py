"""The time of a block of sound, carried in its own first samples, so that no stage between has to know of it."""

from __future__ import annotations

import struct
import time

_STAMP = struct.Struct("<IQ")
_MAGIC = 0x5AC3_1E77
SIZE = _STAMP.size
VOICE_BYTES = 640
"""20 ms at 16 kHz."""
REPLY_BYTES = 1920
"""40 ms at 24 kHz."""


def stamped(size: int, made_ns: int | None = None) -> bytes:
    """`size` bytes of silence that say when they were made: now, if nothing else is given."""
    return _STAMP.pack(_MAGIC, time.monotonic_ns() if made_ns is None else made_ns) + bytes(size - SIZE)


def stamp_of(pcm: bytes, at: int = 0) -> int | None:
    """When the block that begins at byte `at` was made, monotonic ns; None if it says nothing."""
    if len(pcm) < at + SIZE:
        return None
    magic, made_ns = _STAMP.unpack_from(pcm, at)
    return made_ns if magic == _MAGIC else None
