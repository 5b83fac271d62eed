"""Sound as pictures: a waveform with what was decided of it, and spectrograms before and after echo cancellation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scripts.benchmarks.canvas import GRID, HEIGHT, INK, LEFT, PALE, SPAN, Canvas, Ink, rows_for, ticks, wide
from scripts.benchmarks.plot import OURS

Sound = NDArray[np.int16]
Mark = tuple[float, str, Ink]
"""Second, word, colour."""
RATE = 16_000
TOP, BOTTOM = 56, 50
FLOOR_DB, TOP_DB = -100, -20
BAR_AT = LEFT + SPAN - 200
"""Where the scale of a spectrogram's grey begins."""


def waveforms(title: str, legend: str, rows: Sequence[tuple[str, Sound]], marks: Sequence[Mark]) -> bytes:
    """Sounds of one length and one scale, one below the other on one time; each mark is a line through all of them."""
    canvas = Canvas()
    canvas.text(LEFT, 10, title)
    canvas.text(LEFT, 32, legend, PALE)
    seconds = max(sound.size for _, sound in rows) / RATE
    top = _marks(canvas, marks, seconds)
    height = (HEIGHT - top - BOTTOM) // len(rows)
    loudest = max(1_000, *(int(np.abs(sound.astype(int)).max()) for _, sound in rows))
    for number, (name, sound) in enumerate(rows):
        middle, half = top + number * height + height // 2 + 10, height // 2 - 18
        for share in (-1, 0, 1):
            y = middle - share * half
            canvas.line([(LEFT - 4, y), (LEFT, y)], INK)
            canvas.text(LEFT - 8, y - 7, f"{100 * share * loudest / 32768:.0f} %", anchor=1.0)
        for x, column in enumerate(np.array_split(sound.astype(float) / loudest * half, SPAN)):
            if column.size:
                canvas.line([(LEFT + x, middle - column.max()), (LEFT + x, middle - column.min() + 1)], OURS)
        canvas.text(LEFT, middle - height // 2, name)
    _seconds(canvas, seconds, "height: % of full scale")
    return canvas.png()


def _marks(canvas: Canvas, marks: Sequence[Mark], seconds: float) -> int:
    """Lines and their words, which never touch; where they end."""
    begins = [(min(LEFT + second / seconds * SPAN, LEFT + SPAN - 4 - wide(word)), word) for second, word, _ in marks]
    lines = rows_for(begins, 2)
    for (second, _, ink), line in zip(marks, lines, strict=True):
        x = LEFT + second / seconds * SPAN
        canvas.line([(x, TOP + 18 * line), (x, HEIGHT - BOTTOM)], ink)
    for (_, word, ink), (begin, _), line in zip(marks, begins, lines, strict=True):
        canvas.text(begin + 4, TOP + 18 * line, word, ink)
    return TOP + 18 * (max(lines, default=-1) + 1)


def spectrograms(title: str, rows: Sequence[tuple[str, Sound]]) -> bytes:
    """0 to 8 kHz, -100 to -20 dB of full scale from white to dark, for all rows alike."""
    canvas = Canvas()
    canvas.text(LEFT, 10, title)
    height = (HEIGHT - TOP - BOTTOM) // len(rows)
    for number, (name, sound) in enumerate(rows):
        top = TOP + number * height + 4
        picture = _spectrum(sound, height - 32)
        canvas.pixels[top : top + picture.shape[0], LEFT : LEFT + SPAN] = picture[:, :, None]
        canvas.text(LEFT, top - 18, name)
        for khz in (0, 2, 4, 6, 8):
            y = top + picture.shape[0] * (1 - khz / 8)
            canvas.line([(LEFT - 4, y), (LEFT, y)], INK)
            canvas.text(LEFT - 8, y - 7, f"{khz} kHz", anchor=1.0, size=1 if khz % 4 else 2)
    for step in range(120):
        canvas.box(BAR_AT + step, 12, BAR_AT + step + 1, 26, (255 - 235 * step // 119,) * 3)
    canvas.text(BAR_AT - 6, 12, f"{FLOOR_DB}", PALE, anchor=1.0)
    canvas.text(BAR_AT + 126, 12, f"{TOP_DB} dB", PALE)
    _seconds(canvas, rows[0][1].size / RATE, "grey: dB of full scale")
    return canvas.png()


def _spectrum(sound: Sound, height: int) -> NDArray[np.uint8]:
    size, window = 512, np.hanning(512)
    places = np.linspace(0, max(0, sound.size - size), SPAN).astype(int)
    frames = sound[places[:, None] + np.arange(size)] / 32768 * window
    level = 20 * np.log10(np.abs(np.fft.rfft(frames, axis=1)) / window.sum() * 2 + 1e-9)
    rows = np.linspace(size // 2, 0, height).astype(int)
    share = (np.clip(level[:, rows].T, FLOOR_DB, TOP_DB) - FLOOR_DB) / (TOP_DB - FLOOR_DB)
    return np.asarray(255 - 235 * share, np.uint8)


def _seconds(canvas: Canvas, seconds: float, height: str) -> None:
    for second in ticks(0, seconds, 10):
        x = LEFT + second / seconds * SPAN
        canvas.line([(x, HEIGHT - BOTTOM), (x, HEIGHT - BOTTOM + 5)], GRID if second % 1 else INK)
        canvas.text(x, HEIGHT - BOTTOM + 10, f"{second:g}", anchor=0.5)
    canvas.text(LEFT + SPAN / 2, HEIGHT - 20, f"seconds; {height}", PALE, anchor=0.5)
