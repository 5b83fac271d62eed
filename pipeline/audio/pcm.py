"""Samples: bytes to numpy and back, choice of channel, levels, gain.

Everywhere: signed 16 bit, little endian, channels interleaved. A mono block has shape (n,), any other (n, channels).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]

FLOOR_DBFS = -120.0
"""What digital silence is said to be: a number, so that it can be compared, plotted and written as JSON."""


@dataclass(frozen=True)
class Level:
    """Loudness of one block in dB below full scale (0 dBFS is a sample of 32768)."""

    rms_dbfs: float
    peak_dbfs: float


def to_samples(pcm: bytes, channels: int = 1) -> Samples:
    """Read-only view of `pcm`, shape (n,) if mono, else (n, channels). ValueError if it does not hold whole frames."""
    if channels < 1:
        raise ValueError(f"channels must be 1 or more, not {channels}")
    if len(pcm) % (2 * channels):
        raise ValueError(f"{len(pcm)} bytes are not whole frames of {channels} channels of 16 bit")
    samples: Samples = np.frombuffer(pcm, dtype="<i2").astype(np.int16, copy=False)
    return samples if channels == 1 else samples.reshape(-1, channels)


def to_bytes(samples: Samples) -> bytes:
    """The wire form of int16 samples of shape (n,) or (n, channels)."""
    return samples.astype("<i2", copy=False).tobytes()


def check_channel(channel: str) -> None:
    """ValueError unless `channel` is one that `pick` could know."""
    if channel not in ("mix", "left", "right") and not channel.isdecimal():
        raise ValueError(f"channel: expected mix, left, right or a number counted from 0, not {channel!r}")


def pick(samples: Samples, channel: str) -> Samples:
    """One channel of a block, shape (n,): `mix` (the mean of all), `left`, `right` or a number counted from 0.

    Of a mono block there is nothing to choose: mix, left, right and 0 are all that one channel. ValueError names a
    channel that the device does not have.
    """
    width = 1 if samples.ndim == 1 else samples.shape[1]
    index = _index(channel, width)
    if samples.ndim == 1:
        return samples
    if index is None:
        # int32: the sum of two loud channels does not fit 16 bits and would wrap into a crack.
        mean = samples.astype(np.int32).sum(axis=1) / width
        rounded: Samples = np.rint(mean).astype(np.int16)
        return rounded
    return np.ascontiguousarray(samples[:, index])


def _index(channel: str, width: int) -> int | None:
    if channel == "mix":
        return None
    check_channel(channel)
    index = {"left": 0, "right": min(1, width - 1)}.get(channel)
    if index is None:
        index = int(channel)
    if index >= width:
        raise ValueError(f"channel: the microphone has {width} (0 to {width - 1}), so there is no channel {channel}")
    return index


def level(samples: Samples) -> Level:
    """Loudness of a block of any shape; an empty one is silent."""
    if not samples.size:
        return Level(FLOOR_DBFS, FLOOR_DBFS)
    wave = samples.astype(np.float64) / 32768.0
    return Level(_dbfs(float(np.sqrt(np.mean(wave * wave)))), _dbfs(float(np.max(np.abs(wave)))))


def _dbfs(amplitude: float) -> float:
    return max(FLOOR_DBFS, 20.0 * float(np.log10(amplitude))) if amplitude > 0 else FLOOR_DBFS


def gain(samples: Samples, factor: float) -> Samples:
    """`samples` times `factor`, clipped at full scale: an overflow that wraps is a crack, clipping is only harsh."""
    if factor == 1.0:
        return samples
    clipped: Samples = np.clip(np.rint(samples * np.float32(factor)), -32768, 32767).astype(np.int16)
    return clipped


def volume_factor(percent: int) -> float:
    """Gain for a volume of 0 to 100: silence at 0, unchanged at 100, between them 0.5 dB a step.

    Loudness is heard in ratios: a straight line would do nothing from 50 to 100 and everything from 10 to 0. Below 10
    the curve runs straight to silence, so that there is no jump. Values outside 0 to 100 are brought to the nearest.
    """
    percent = min(100, max(0, percent))
    if percent >= 10:
        return float(10.0 ** ((percent - 100) * 0.5 / 20.0))
    return float(10.0 ** (-45.0 / 20.0)) * percent / 10.0


def ramp(samples: Samples, begin: float, end: float) -> Samples:
    """Mono `samples` times a factor that moves evenly from `begin` to `end`, clipped at full scale."""
    if begin == end:
        return gain(samples, end)
    factors = np.linspace(begin, end, samples.size, dtype=np.float32)
    clipped: Samples = np.clip(np.rint(samples * factors), -32768, 32767).astype(np.int16)
    return clipped
