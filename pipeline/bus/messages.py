"""What travels on the bus, as values: `Audio` and `Event`. A picture is an event with bytes in its body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
"""Major version of the protocol: a message with another one is refused."""

IMAGE = "image_"
"""Names of what travels as a picture begin so: `image_in` has the topic `image.in`."""

REPLY_RATE = 24_000
"""Hertz in which `at` counts, whatever the rate of the frame."""


@dataclass(frozen=True)
class Audio:
    """A block of s16le PCM and its place in time: `t` on the clock of a device, or `epoch` and `at` in an answer."""

    stream: str
    """`mic`, `voice`, `reply`, `played`, or a stream of your own."""
    pcm: bytes
    """Interleaved little-endian 16-bit samples, `2 * channels` bytes a sample."""
    rate: int
    """Hertz."""
    channels: int = 1
    t: int | None = None
    """Monotonic ns at which the first sample was at the microphone, or left the speaker."""
    epoch: int | None = None
    """The generation of speech that this belongs to; an older one must no longer be heard."""
    at: int | None = None
    """Samples of 24 kHz since the epoch began."""
    gated: bool = False
    """Zeros stand here for sound that was kept from the service."""
    replay: str | None = None
    """Id of the `listening` request that this frame answers; None when live."""

    @property
    def frames(self) -> int:
        """Samples a channel."""
        return len(self.pcm) // (2 * self.channels)

    @property
    def duration_ns(self) -> int:
        """How long the block sounds."""
        return self.frames * 1_000_000_000 // self.rate

    @property
    def samples(self) -> NDArray[np.int16]:
        """Read-only int16 array, shape (n,) for mono, else (n, channels)."""
        import numpy as np  # here, so that a stage which only passes bytes on does not pay for numpy

        flat = np.frombuffer(self.pcm, np.dtype("<i2"))
        return flat if self.channels == 1 else flat.reshape(-1, self.channels)

    def replace(self, *, samples: NDArray[Any] | None = None, **changes: Any) -> Self:
        """A copy with other samples (rounded and clipped to int16; shape (n,) or (n, channels)) or other fields."""
        if samples is not None:
            import numpy as np

            values = np.asarray(samples)
            if values.dtype != np.int16:
                values = np.clip(np.rint(np.nan_to_num(values)), -32768, 32767).astype("<i2")
            changes["pcm"] = values.tobytes()
            changes.setdefault("channels", 1 if values.ndim == 1 else values.shape[1])
        return replace(self, **changes)

    def from_place(self, skip_frames: int) -> Self:
        """The block without its first `skip_frames` samples, its place moved accordingly."""
        changes: dict[str, Any] = {"pcm": self.pcm[skip_frames * 2 * self.channels :]}
        if self.t is not None:
            changes["t"] = self.t + skip_frames * 1_000_000_000 // self.rate
        if self.at is not None:
            changes["at"] = self.at + skip_frames * REPLY_RATE // self.rate
        return replace(self, **changes)


@dataclass(frozen=True)
class Event:
    """Something that happened: `name` without the `event.` of its topic, said by stage `src`."""

    name: str
    body: Mapping[str, Any] = field(default_factory=dict)
    src: str = ""
    inst: int = 0
    sent: int = 0
    """Monotonic ns at which it was sent; a sticky event keeps the time of its first sending in no field of its own."""

    def number(self, key: str) -> int | None:
        """A whole number of the body; None for what is absent or was said wrong, which must not end a conversation."""
        value = self.body.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def topic_of(name: str) -> str:
    """The topic of an event; `image_in` is the picture stream `image.in`."""
    return f"image.{name.removeprefix(IMAGE)}" if name.startswith(IMAGE) else f"event.{name}"
