"""Pixels, lines, letters, PNG without a library: one that draws weighs more than all the rest of the project, for some
pictures a run."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from scripts.benchmarks.font import GLYPHS

Ink = tuple[int, int, int]
WIDTH, HEIGHT = 1_000, 560
LEFT, RIGHT = 80, 24
SPAN = WIDTH - LEFT - RIGHT
INK, PALE, GRID = (30, 30, 30), (110, 110, 110), (225, 225, 225)
LETTER = 6
"""Pixels from one letter to the next, of size 1."""


class Canvas:
    """Pixels with an origin at the top left."""

    def __init__(self) -> None:
        self.pixels = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)

    def line(self, points: Sequence[tuple[float, float]], ink: Ink, thick: int = 1) -> None:
        """Straight from each point to the next."""
        for (x0, y0), (x1, y1) in pairwise(points):
            steps = int(max(abs(x1 - x0), abs(y1 - y0))) + 1
            xs = np.rint(np.linspace(x0, x1, steps)).astype(int)
            ys = np.rint(np.linspace(y0, y1, steps)).astype(int)
            for shift in range(thick):
                self.pixels[np.clip(ys, 0, HEIGHT - 1), np.clip(xs + shift, 0, WIDTH - 1)] = ink

    def box(self, x0: float, y0: float, x1: float, y1: float, ink: Ink) -> None:
        """Filled, corner to corner."""
        self.pixels[max(0, round(y0)) : round(y1), max(0, round(x0)) : round(x1)] = ink

    def text(self, x: float, y: float, words: str, ink: Ink = INK, *, size: int = 2, anchor: float = 0.0) -> None:
        """Its top at y, on white; `anchor`: which part of its width lies left of x, 0.5 centres it."""
        at = round(x - anchor * wide(words, size))
        self.box(at - size, y, at + wide(words, size), y + 8 * size, (255, 255, 255))
        for letter in words:
            for column, bits in enumerate(GLYPHS.get(letter, GLYPHS["?"])):
                for row in range(8):
                    if bits >> row & 1:
                        px, py = at + column * size, round(y) + row * size
                        self.pixels[max(0, py) : max(0, py + size), max(0, px) : max(0, px + size)] = ink
            at += LETTER * size

    def png(self) -> bytes:
        """The file."""
        rows = b"".join(b"\0" + row.tobytes() for row in self.pixels)
        head = struct.pack("!IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
        parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))
            for kind, data in parts
        )


def wide(words: str, size: int = 2) -> int:
    """Pixels that a text takes."""
    return len(words) * LETTER * size


def ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers from `low` to `high`."""
    rough = (high - low) / count
    ten = 10.0 ** math.floor(math.log10(rough))
    step = next(step * ten for step in (1, 2, 5, 10) if step * ten >= rough)
    return [round(n * step, 12) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def rows_for(places: Sequence[tuple[float, str]], size: int) -> list[int]:
    """For words that begin at an x, in which row each stands so that none touches another."""
    ends, rows = list[float](), list[int]()
    for x, words in places:
        row = next((n for n, end in enumerate(ends) if end < x), len(ends))
        ends[row : row + 1] = [x + wide(words, size) + LETTER * size]
        rows.append(row)
    return rows
