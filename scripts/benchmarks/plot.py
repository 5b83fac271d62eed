"""A figure as a picture: what share of the samples was at most so much, ours and the floor's. PNG without a library:
one that draws weighs more than all the rest of the project, for six pictures a run."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from scripts.benchmarks.figures import Figure, percentile
from scripts.benchmarks.font import GLYPHS

WIDTH, HEIGHT = 900, 460
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 60, 50
INK, GRID, OURS, FLOOR, GOAL = (40, 40, 40), (225, 225, 225), (20, 90, 200), (150, 150, 150), (200, 40, 40)
SHARES = (0, 25, 50, 75, 90, 95, 99, 100)


class Canvas:
    """Pixels with an origin at the top left."""

    def __init__(self) -> None:
        self.pixels = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)

    def line(self, points: Sequence[tuple[float, float]], ink: tuple[int, int, int], thick: int = 1) -> None:
        """Straight from each point to the next."""
        for (x0, y0), (x1, y1) in pairwise(points):
            steps = int(max(abs(x1 - x0), abs(y1 - y0))) + 1
            xs = np.rint(np.linspace(x0, x1, steps)).astype(int)
            ys = np.rint(np.linspace(y0, y1, steps)).astype(int)
            for shift in range(thick):
                self.pixels[np.clip(ys + shift, 0, HEIGHT - 1), np.clip(xs, 0, WIDTH - 1)] = ink

    def text(self, x: float, y: float, words: str, ink: tuple[int, int, int] = INK, *, middle: bool = False) -> None:
        """With its top left corner there; `middle`: centred on x."""
        at = int(x) - (3 * len(words) if middle else 0)
        for letter in words:
            for column, bits in enumerate(GLYPHS.get(letter, GLYPHS["?"])):
                for row in range(8):
                    px, py = at + column, int(y) + row
                    if bits >> row & 1 and 0 <= px < WIDTH and 0 <= py < HEIGHT:
                        self.pixels[py, px] = ink
            at += 6

    def png(self) -> bytes:
        """The file."""
        rows = b"".join(b"\0" + row.tobytes() for row in self.pixels)
        head = struct.pack("!IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
        parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))
            for kind, data in parts
        )


def png(figure: Figure) -> bytes:
    """The picture of a figure with two samples or more."""
    canvas = Canvas()
    limits = [limit for _, _, limit in figure.goals()]
    values = [value for value in (*figure.samples, *figure.floor, *limits) if value > 0]
    low, high = math.log10(min(values) * 0.8), math.log10(max(values) * 1.25)

    def x(value: float) -> float:
        share = (math.log10(max(value, 10**low)) - low) / (high - low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(percent: float) -> float:
        return HEIGHT - BOTTOM - percent / 100 * (HEIGHT - TOP - BOTTOM)

    for percent in SHARES:
        canvas.line([(LEFT, y(percent)), (WIDTH - RIGHT, y(percent))], GRID)
        if percent not in (99, 100):
            canvas.text(LEFT - 34, y(percent) - 4, f"{percent} %")
    for tick in _ticks(low, high):
        canvas.line([(x(tick), y(0)), (x(tick), y(100))], GRID)
        canvas.text(x(tick), HEIGHT - BOTTOM + 8, f"{tick:g}", middle=True)
    canvas.text(WIDTH / 2, HEIGHT - 22, figure.unit, middle=True)
    for number, (words, _, limit) in enumerate(figure.goals()):
        canvas.line([(x(limit), y(0)), (x(limit), y(100))], GOAL)
        canvas.text(min(x(limit) + 4, WIDTH - RIGHT - 6 * len(words)), TOP + 6 + 12 * number, words, GOAL)
    for samples, ink, name, row in ((figure.floor, FLOOR, "floor", 34), (figure.samples, OURS, "pipeline", 22)):
        if samples:
            ordered = sorted(samples)
            points = [(x(value), y(100 * (at + 1) / len(ordered))) for at, value in enumerate(ordered)]
            canvas.line([(points[0][0], y(0)), *points], ink, thick=2)
            spread = ", ".join(f"p{p} {percentile(samples, p):.3g}" for p in (50, 95, 99))
            canvas.text(LEFT, row, f"{name}: n {len(samples)}, {spread}", ink)
    canvas.text(LEFT, 8, figure.name)
    return canvas.png()


def _ticks(low: float, high: float) -> list[float]:
    tens = range(math.floor(low), math.ceil(high) + 1)
    return [step * 10.0**ten for ten in tens for step in (1, 2, 5) if low <= math.log10(step * 10.0**ten) <= high]
