"""A figure as a histogram: how many of the measurements took how long, ours and the floor's, and the goals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from scripts.benchmarks.canvas import GRID, HEIGHT, INK, LEFT, PALE, SPAN, Canvas, rows_for, ticks, wide
from scripts.benchmarks.figures import Figure, percentile

OURS, FLOOR, GOAL = (40, 110, 215), (175, 175, 175), (200, 40, 40)
TOP, BOTTOM = 150, 70
BARS = 60
WIDE_RANGE = 30.0
"""Largest over smallest from which the axis is logarithmic."""


def png(figure: Figure) -> bytes:
    """The picture of a figure with two samples or more."""
    canvas = Canvas()
    limits = [limit for _, _, limit in figure.goals()]
    edges, place = _axis([*figure.samples, *figure.floor, *limits])
    shares = [(_shares(samples, edges), ink) for samples, ink in ((figure.floor, FLOOR), (figure.samples, OURS))]
    most = max(float(share.max()) for share, _ in shares) * 1.08

    def y(percent: float) -> float:
        return HEIGHT - BOTTOM - percent / most * (HEIGHT - TOP - BOTTOM)

    for tick in ticks(0, most, 5):
        canvas.line([(LEFT, y(tick)), (LEFT + SPAN, y(tick))], GRID)
        canvas.text(LEFT - 8, y(tick) - 7, f"{tick:g} %", anchor=1.0)
    for number, (share, ink) in enumerate(shares):
        for left, right, percent in zip(edges, edges[1:], share, strict=False):
            thin = 0.25 * (place(right) - place(left)) if number and figure.floor else 0  # the floor is seen behind
            if percent:
                canvas.box(place(left) + thin, y(percent), place(right) - thin, y(0), ink)
    canvas.line([(LEFT, y(0)), (LEFT + SPAN, y(0))], INK)
    _numbers(canvas, figure, edges, place)
    _goals(canvas, figure, place)
    return canvas.png()


def _axis(values: Sequence[float]) -> tuple[NDArray[np.float64], Callable[[float], float]]:
    """Edges of the bars, and where a value is on the picture."""
    least, most = min(values), max(values)
    if least > 0 and most / least > WIDE_RANGE:
        edges = np.geomspace(least * 0.9, most * 1.1, BARS + 1)
        low, high = math.log(edges[0]), math.log(edges[-1])
        return edges, lambda value: LEFT + (math.log(value) - low) / (high - low) * SPAN
    room = (most - least) * 0.04 or abs(most) * 0.1 or 1.0
    edges = np.linspace(least - room if least else 0.0, most + room, BARS + 1)
    begin, width = float(edges[0]), float(edges[-1] - edges[0])
    return edges, lambda value: LEFT + (value - begin) / width * SPAN


def _shares(samples: Sequence[float], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    counts = np.histogram(samples, edges)[0]
    return np.asarray(counts * 100 / max(1, len(samples)))


def _numbers(canvas: Canvas, figure: Figure, edges: NDArray[np.float64], place: Callable[[float], float]) -> None:
    """Title, what the colours mean, and the axes' words."""
    canvas.text(LEFT, 10, figure.name, size=2 if wide(figure.name, 3) > SPAN else 3)
    for row, (name, samples, ink) in enumerate((("pipeline", figure.samples, OURS), ("floor", figure.floor, FLOOR))):
        if samples:
            spread = ", ".join(f"p{p} {percentile(samples, p):.3g}" for p in (50, 95, 99))
            canvas.box(LEFT, 44 + 20 * row, LEFT + 14, 58 + 20 * row, ink)
            canvas.text(LEFT + 22, 44 + 20 * row, f"{name}: {len(samples)} measured, {spread} {figure.unit}")
    log = edges[0] > 0 and edges[-1] / edges[0] > WIDE_RANGE
    for tick in _decades(edges) if log else ticks(float(edges[0]), float(edges[-1]), 8):
        canvas.line([(place(tick), HEIGHT - BOTTOM), (place(tick), HEIGHT - BOTTOM + 5)], INK)
        canvas.text(place(tick), HEIGHT - BOTTOM + 10, f"{tick:g}", anchor=0.5)
    words = f"{figure.unit}{', logarithmic' if log else ''}; height: share of the measurements"
    canvas.text(LEFT + SPAN / 2, HEIGHT - 26, words, PALE, anchor=0.5)


def _decades(edges: NDArray[np.float64]) -> list[float]:
    tens = range(math.floor(math.log10(edges[0])), math.ceil(math.log10(edges[-1])) + 1)
    steps = (1, 2, 5) if len(tens) < 5 else (1,)
    return [step * 10.0**ten for ten in tens for step in steps if edges[0] <= step * 10.0**ten <= edges[-1]]


def _goals(canvas: Canvas, figure: Figure, place: Callable[[float], float]) -> None:
    """A line at each goal, its words above the bars in a row of their own where they would touch."""
    goals = sorted((place(limit), f"goal: {words}") for words, _, limit in figure.goals())
    begins = [(min(x, LEFT + SPAN - wide(words)), words) for x, words in goals]
    rows = rows_for(begins, 2)
    for (x, _), row in zip(goals, rows, strict=True):
        canvas.line([(x, 96 + 18 * row), (x, HEIGHT - BOTTOM)], GOAL, thick=2)
    for (x, words), (begin, _), row in zip(goals, begins, rows, strict=True):
        canvas.text(begin + 6 if begin == x else begin, 96 + 18 * row, words, GOAL)
