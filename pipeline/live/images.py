"""Pictures for the model: at most one a second, the newest, of who is here now. Pure.

A picture is billed as much as ten seconds of speech, so none is sent while nobody is here; and it shows people, so none
of a visit outlives it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

EVERY_NS = 1_000_000_000
"""The service looks at no more than one a second."""
LARGEST_BYTES = 2**20
"""It sees 768 pixels at a time, about 100 kB; more only delays the voice behind it."""
STALE_NS = 10_000_000_000
"""A picture that waited longer for a line no longer shows what is said."""
FRESH_NS = 2_000_000_000
"""One that was taken longer before somebody came may show who was here before."""
CAPPED_S = 105.0
"""With pictures, and without compression, a session ends after two minutes, over all its connections: before that a
fresh one takes its place, which is told what was said."""

Dropped = Literal["newer", "stale", "too large", "no jpeg", "left"]


@dataclass(frozen=True, slots=True)
class Picture:
    """One that waits."""

    jpeg: bytes
    came_ns: int


class Images:
    """What came in and what goes on. Every method takes monotonic ns."""

    def __init__(self) -> None:
        self.dropped: Counter[Dropped] = Counter()
        """Pictures that were not sent, by the reason."""
        self.sent_ns: int | None = None
        """When the last one was sent."""
        self._waits: Picture | None = None
        self._visit: int | None = None

    def came(self, now_ns: int, body: Mapping[str, Any]) -> str:
        """The body of an `image.in`. Returns what is wrong with it; empty if nothing is."""
        jpeg = body.get("data")
        fault = (
            unfit(jpeg) if body.get("format") == "jpeg" else f"expected format jpeg, got {str(body.get('format'))!r}"
        )
        if fault or not isinstance(jpeg, bytes):
            self.dropped["too large" if isinstance(jpeg, bytes) and len(jpeg) > LARGEST_BYTES else "no jpeg"] += 1
            return fault
        if self._waits is not None:
            self.dropped["newer"] += 1
        self._waits = Picture(jpeg, now_ns)
        return ""

    def due(self, now_ns: int, visit: int | None, *, up: bool) -> bytes | None:
        """The picture to send now, if any. `visit`: who is here; `up`: there is a line."""
        if visit != self._visit:
            if self._visit is not None or (self._waits is not None and now_ns - self._waits.came_ns > FRESH_NS):
                self._drop("left")
            self._visit = visit
        if self._waits is not None and now_ns - self._waits.came_ns > STALE_NS:
            self._drop("stale")
        if self._waits is None or visit is None or not up:
            return None
        if self.sent_ns is not None and now_ns - self.sent_ns < EVERY_NS:
            return None
        jpeg, self._waits, self.sent_ns = self._waits.jpeg, None, now_ns
        return jpeg

    @property
    def faults(self) -> int:
        """Pictures that were none, or too large."""
        return self.dropped["no jpeg"] + self.dropped["too large"]

    def _drop(self, why: Dropped) -> None:
        if self._waits is not None:
            self.dropped[why] += 1
            self._waits = None


def unfit(jpeg: object) -> str:
    """What keeps these bytes from being a picture that the service takes; empty if nothing does."""
    if not isinstance(jpeg, bytes):
        return f"expected bytes, got {type(jpeg).__name__}"
    if len(jpeg) > LARGEST_BYTES:
        return f"expected at most {LARGEST_BYTES} bytes, got {len(jpeg)}: make it smaller, 768 pixels are seen"
    try:
        size_of(jpeg)
    except ValueError as error:
        return str(error)
    return ""


def size_of(jpeg: bytes) -> tuple[int, int]:
    """Width and height, from the frame header. Raises ValueError for what is no whole JPEG."""
    if jpeg[:2] != b"\xff\xd8":
        raise ValueError("expected a JPEG, which begins with ff d8")
    if b"\xff\xd9" not in jpeg[-64:]:  # cameras pad it
        raise ValueError("expected a JPEG to its end, ff d9: it was cut")
    at = 2
    while at + 9 <= len(jpeg) and jpeg[at] == 0xFF:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = int.from_bytes(jpeg[at + 5 : at + 7]), int.from_bytes(jpeg[at + 7 : at + 9])
            if width and height:
                return width, height
            break
        at += 2 + length if marker != 0xFF else 1
    raise ValueError("expected a JPEG with a frame header: it is damaged")
