"""Is what was played to be found in what was heard? Pure.

The cross-correlation of whitened spectra has one peak where the echo is. Measured on a simulated counter over 2 s of
talk, height of the peak over the spread of the rest: without an echo 4 to 8.7 in silence, noise, music, babble and a
visitor who talks; with one 58 and more at the visitor's level, 17 and more 10 dB under pink noise or babble.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.pcm import Samples

RATE = 16_000
WINDOW = 32_768
"""Samples of the speaker that are looked for: 2 s."""
BEFORE, AFTER = 800, 6_400
"""Samples around them in which they may be heard: 50 ms before (times are estimates) to 400 ms after."""
FOUND = 10.0
"""Height of a peak from which it is an echo."""
SAID, LATE = 16_000, 32_000
"""Samples of an utterance (1 s) that are looked at, and how late an echo is looked for: a television or a Bluetooth
speaker takes its time."""
_SIZE = 65_536
_PIECE = 1_024
_LOW, _HIGH = round(200 * _SIZE / RATE), round(6_000 * _SIZE / RATE)


def trace(played: Samples, heard: Samples) -> tuple[float, int]:
    """Height of the highest peak and its delay in samples.

    `played`: shape (n,), n <= WINDOW; `heard`: from BEFORE samples before it to AFTER samples after it, shape
    (BEFORE + n + AFTER,).
    """
    line = _likeness(heard, played)
    spread = float(np.sqrt(np.mean(line**2)))
    at = int(np.argmax(line[: BEFORE + AFTER]))
    return (float(line[at]) / spread if spread > 0 else 0.0), at - BEFORE


def explained(played: Samples, said: Samples) -> tuple[float, int]:
    """Share of the power of `said` that is `played` at one delay, and the delay in samples.

    `said`: shape (n,), n <= SAID; `played`: from LATE samples before it to BEFORE samples after it, shape
    (LATE + n + BEFORE,). The coherence of the two, weighed by what sounds. Measured on the simulated counter over 1 s,
    and over 0.3 s: an echo alone 0.77 to 0.9, 10 dB over noise 0.58 and more (0.76 and 0.64 in 19 of 20); a visitor
    0.22 at most (0.35), with an echo 6 dB under the voice 0.56 (0.76), as loud as the voice 0.74 (0.88).
    """
    line = _likeness(said, played)
    begin = int(np.argmax(line[-np.arange(LATE + BEFORE + 1)]))
    ours, its = (_pieces(sound) for sound in (said, played[begin : begin + said.size]))
    power = (np.abs(ours) ** 2).sum(axis=0)
    common = np.abs((ours * np.conj(its)).sum(axis=0)) ** 2 / ((np.abs(its) ** 2).sum(axis=0) + 1e-9)
    return float(common.sum() / (power.sum() + 1e-9)), LATE - begin


def _pieces(sound: Samples) -> Any:
    """Spectra of overlapping pieces of 64 ms, 100 Hz to 6 kHz."""
    pieces = np.lib.stride_tricks.sliding_window_view(sound.astype(np.float32), _PIECE)[:: _PIECE // 4]
    low, high = (round(hz * _PIECE / RATE) for hz in (100, 6_000))
    return np.fft.rfft(pieces * np.hanning(_PIECE), axis=1)[:, low:high]


def _likeness(heard: Samples, played: Samples) -> NDArray[np.float32]:
    """Cross-correlation of whitened spectra, shape (_SIZE,), by the delay of `heard` behind `played`; circular."""
    cross = np.fft.rfft(heard.astype(np.float32), _SIZE) * np.conj(np.fft.rfft(played.astype(np.float32), _SIZE))
    size = np.abs(cross)
    cross /= size + 1e-3 * size.mean() + 1e-9
    cross[:_LOW] = 0
    cross[_HIGH:] = 0
    return np.abs(np.fft.irfft(cross, _SIZE))
