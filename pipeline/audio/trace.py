"""Is what was played to be found in what was heard? Pure.

The cross-correlation of whitened spectra has one peak where the echo is. Measured on a simulated counter over 2 s of
talk, height of the peak over the spread of the rest: without an echo 4 to 8.7 in silence, noise, music, babble and a
visitor who talks; with one 58 and more at the visitor's level, 17 and more 10 dB under pink noise or babble.
"""

from __future__ import annotations

import numpy as np

from pipeline.audio.pcm import Samples

RATE = 16_000
WINDOW = 32_768
"""Samples of the speaker that are looked for: 2 s."""
BEFORE, AFTER = 800, 6_400
"""Samples around them in which they may be heard: 50 ms before (times are estimates) to 400 ms after."""
FOUND = 10.0
"""Height of a peak from which it is an echo."""
_SIZE = 65_536
_LOW, _HIGH = round(200 * _SIZE / RATE), round(6_000 * _SIZE / RATE)


def trace(played: Samples, heard: Samples) -> tuple[float, int]:
    """Height of the highest peak and its delay in samples.

    `played`: shape (n,), n <= WINDOW; `heard`: from BEFORE samples before it to AFTER samples after it, shape
    (BEFORE + n + AFTER,).
    """
    cross = np.fft.rfft(heard.astype(np.float32), _SIZE) * np.conj(np.fft.rfft(played.astype(np.float32), _SIZE))
    size = np.abs(cross)
    cross /= size + 1e-3 * size.mean() + 1e-9
    cross[:_LOW] = 0
    cross[_HIGH:] = 0
    line = np.abs(np.fft.irfft(cross, _SIZE))
    spread = float(np.sqrt(np.mean(line**2)))
    at = int(np.argmax(line[: BEFORE + AFTER]))
    return (float(line[at]) / spread if spread > 0 else 0.0), at - BEFORE
