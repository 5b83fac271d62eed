"""Sound as pictures: a waveform with what was decided of it, and spectrograms before and after echo cancellation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scripts.benchmarks.plot import GRID, HEIGHT, INK, LEFT, OURS, RIGHT, TOP, WIDTH, Canvas

Sound = NDArray[np.int16]
Mark = tuple[float, str, tuple[int, int, int]]
"""Second, word, colour."""
RATE = 16_000
SPAN = WIDTH - LEFT - RIGHT
FLOOR_DB, TOP_DB = -100.0, -20.0


def waveforms(title: str, rows: Sequence[tuple[str, Sound]], marks: Sequence[Mark]) -> bytes:
    """Sounds of one length, one below the other on one time; each mark is a line through all of them."""
    canvas = Canvas()
    canvas.text(LEFT, 8, title)
    seconds = max(sound.size for _, sound in rows) / RATE
    height = (HEIGHT - TOP - 40) // len(rows)
    for number, (name, sound) in enumerate(rows):
        middle = TOP + number * height + height // 2
        loudest = max(1000, int(np.abs(sound.astype(int)).max()))
        columns = np.array_split(sound.astype(float) / loudest * (height / 2 - 8), SPAN)
        for x, column in enumerate(columns):
            if column.size:
                canvas.line([(LEFT + x, middle - column.max()), (LEFT + x, middle - column.min() + 1)], OURS)
        canvas.text(LEFT, middle - height // 2, name)
    for number, (second, word, ink) in enumerate(marks):
        x = LEFT + second / seconds * SPAN
        canvas.line([(x, TOP), (x, HEIGHT - 40)], ink)
        canvas.text(min(x + 2, WIDTH - RIGHT - 6 * len(word)), HEIGHT - 38 + 9 * (number % 2), word, ink)
    _seconds(canvas, seconds)
    return canvas.png()


def spectrograms(title: str, rows: Sequence[tuple[str, Sound]]) -> bytes:
    """0 to 8 kHz, -100 to -20 dB of full scale from white to dark."""
    canvas = Canvas()
    canvas.text(LEFT, 8, title)
    height = (HEIGHT - TOP - 20) // len(rows)
    for number, (name, sound) in enumerate(rows):
        top = TOP + number * height + 12
        picture = _spectrum(sound, height - 16)
        canvas.pixels[top : top + picture.shape[0], LEFT : LEFT + SPAN] = picture[:, :, None]
        canvas.text(LEFT, top - 10, name)
        canvas.text(LEFT - 42, top, "8 kHz")
        canvas.text(LEFT - 24, top + picture.shape[0] - 8, "0")
    _seconds(canvas, rows[0][1].size / RATE)
    return canvas.png()


def _spectrum(sound: Sound, height: int) -> NDArray[np.uint8]:
    size, window = 512, np.hanning(512)
    places = np.linspace(0, max(0, sound.size - size), SPAN).astype(int)
    frames = sound[places[:, None] + np.arange(size)] / 32768 * window
    level = 20 * np.log10(np.abs(np.fft.rfft(frames, axis=1)) / window.sum() * 2 + 1e-9)
    rows = np.linspace(size // 2, 0, height).astype(int)
    share = (np.clip(level[:, rows].T, FLOOR_DB, TOP_DB) - FLOOR_DB) / (TOP_DB - FLOOR_DB)
    return np.asarray(255 - 235 * share, np.uint8)


def _seconds(canvas: Canvas, seconds: float) -> None:
    step = max(1, round(seconds / 12))
    for second in range(0, int(seconds) + 1, step):
        x = LEFT + second / seconds * SPAN
        canvas.text(x, HEIGHT - 16, f"{second} s", INK, middle=True)
        canvas.line([(x, HEIGHT - 20), (x, HEIGHT - 18)], GRID)
