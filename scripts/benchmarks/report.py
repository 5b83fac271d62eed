"""The table for people."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.benchmarks.figures import Figure, percentile


def table(figures: Sequence[Figure]) -> str:
    """One line a figure, one more for its floor, and the goals."""
    width = max([len(figure.name) for figure in figures] + [20])
    head = f"{'':{width}}  {'n':>6} {'p50':>8} {'p95':>8} {'p99':>8} {'max':>8}"
    lines = [head]
    for figure in figures:
        name = f"{figure.name}"
        lines.append(f"{name:{width}}  {_numbers(figure.samples)}  {figure.unit}")
        if figure.floor:
            lines.append(f"{'  floor':{width}}  {_numbers(figure.floor)}  {_times(figure)}")
        for words, measured, limit in figure.goals():
            verdict = "met" if measured <= limit else "MISSED"
            lines.append(f"  {words}: {measured:.4g} ({verdict})")
        lines += [f"  {broken}" for broken in figure.broken]
        if figure.note:
            lines.append(f"  {figure.note}")
    return "\n".join(lines)


def _numbers(samples: Sequence[float]) -> str:
    if not samples:
        return f"{0:>6} {'-':>8} {'-':>8} {'-':>8} {'-':>8}"
    values = [percentile(samples, percent) for percent in (50, 95, 99, 100)]
    return f"{len(samples):>6} " + " ".join(f"{value:>8.3f}" if value < 1000 else f"{value:>8.0f}" for value in values)


def _times(figure: Figure) -> str:
    if not figure.samples:
        return ""
    return f"x {percentile(figure.samples, 50) / percentile(figure.floor, 50):.2f}"
