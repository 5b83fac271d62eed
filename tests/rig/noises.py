"""Sounds of a shop that are no speech, made from what such sounds are made of. 16 kHz mono, 1.0 full scale, seeded.

Nothing is recorded: coughs, sneezes, sniffs and a cleared throat are breath noise through the resonances of a mouth;
doors, boxes and steps are low blows; keys, coins, cutlery and glass are struck metal (inharmonic modes that ring).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tests.rig.acoustics import RATE, Wave

Rng = np.random.Generator


def _time(seconds: float) -> Wave:
    return np.arange(int(seconds * RATE)) / RATE


def _breath(rng: Rng, seconds: float, formants: Sequence[tuple[float, float]], *, voiced_hz: float = 0.0) -> Wave:
    """Noise (with a rough voice under it) through resonances (Hz, width Hz)."""
    time = _time(seconds)
    source = rng.normal(0, 1, time.size)
    if voiced_hz:
        phase = np.cumsum(voiced_hz * (1 + 0.05 * rng.normal(0, 1, time.size)) / RATE)
        source = source + 2.0 * (np.mod(phase, 1) < 0.15)
    spectrum, hz = np.fft.rfft(source), np.fft.rfftfreq(time.size, 1 / RATE)
    shape = sum(1 / (1 + ((hz - centre) / width) ** 2) for centre, width in formants)
    return np.asarray(np.fft.irfft(spectrum * shape, time.size))


def _envelope(sound: Wave, attack_s: float, decay_s: float) -> Wave:
    time = np.arange(sound.size) / RATE
    return np.asarray(sound * np.minimum(time / attack_s, 1) * np.exp(-np.maximum(time - attack_s, 0) / decay_s))


def _blow(rng: Rng, hz: float, seconds: float, decay_s: float, grit: float) -> Wave:
    time = _time(seconds)
    thump = np.sin(2 * np.pi * hz * time * (1 - 0.3 * time)) * np.exp(-time / decay_s)
    return np.asarray(thump + grit * rng.normal(0, 1, time.size) * np.exp(-time / (decay_s / 4)))


def _ring(rng: Rng, low_hz: float, high_hz: float, seconds: float, decay_s: float, modes: int = 9) -> Wave:
    time, out = _time(seconds), np.zeros(int(seconds * RATE))
    for hz in rng.uniform(low_hz, high_hz, modes):
        out += rng.uniform(0.3, 1) * np.sin(2 * np.pi * hz * time) * np.exp(-time / (decay_s * rng.uniform(0.4, 1)))
    return out


def _many(rng: Rng, strike: Callable[[], Wave], count: int, within_s: float) -> Wave:
    out = np.zeros(int((within_s + 1) * RATE))
    for begin in np.sort(rng.uniform(0, within_s, count)):
        struck, at = strike() * rng.uniform(0.3, 1), int(begin * RATE)
        out[at : at + struck.size] += struck[: out.size - at]
    return out


def _row(*parts: Wave) -> Wave:
    return np.concatenate(parts)


def _silence(seconds: float) -> Wave:
    return np.zeros(int(seconds * RATE))


MOUTH = ((600.0, 250.0), (1_400.0, 400.0), (2_800.0, 800.0))
NOSE = ((300.0, 150.0), (4_500.0, 1_500.0))


def noises(seed: int = 1) -> dict[str, Wave]:
    """Name to sound, peak at 1."""
    rng = np.random.default_rng(seed)

    def cough(voiced_hz: float, tail_s: float) -> Wave:
        burst = _envelope(_breath(rng, 0.12, MOUTH), 0.004, 0.05)
        return _row(burst, 0.5 * _envelope(_breath(rng, tail_s, MOUTH, voiced_hz=voiced_hz), 0.01, tail_s / 3))

    made = {
        "cough, dry": cough(0, 0.15),
        "cough, deep": cough(95, 0.3),
        "cough, child": cough(230, 0.2),
        "cough, three times": _row(*(_row(cough(120, 0.2), _silence(0.25)) for _ in range(3))),
        "throat cleared": _row(*(_envelope(_breath(rng, 0.22, MOUTH, voiced_hz=70), 0.03, 0.12) for _ in range(2))),
        "sneeze": _row(
            0.2 * _envelope(_breath(rng, 0.3, MOUTH), 0.2, 0.1), _envelope(_breath(rng, 0.4, NOSE), 0.01, 0.1)
        ),
        "sniff": _envelope(_breath(rng, 0.35, NOSE), 0.15, 0.08),
        "sigh": _envelope(_breath(rng, 0.9, MOUTH), 0.3, 0.2),
        "door slam": _blow(rng, 55, 0.8, 0.15, 0.6),
        "door slam, glass": _row(_blow(rng, 80, 0.1, 0.05, 0.8), _ring(rng, 1_800, 5_000, 0.5, 0.1)),
        "door latch": _many(rng, lambda: _ring(rng, 900, 3_500, 0.12, 0.02), 3, 0.2),
        "box dropped": _blow(rng, 110, 0.5, 0.08, 1.0),
        "knocks": _row(*(_row(_blow(rng, 180, 0.15, 0.03, 0.4), _silence(0.12)) for _ in range(4))),
        "footsteps": _row(*(_row(_blow(rng, 90, 0.2, 0.03, 0.5), _silence(0.35)) for _ in range(4))),
        "clap": _row(*(_row(_envelope(rng.normal(0, 1, 1_600), 0.001, 0.012), _silence(0.25)) for _ in range(3))),
        "keys": _many(rng, lambda: _ring(rng, 2_500, 7_500, 0.25, 0.05), 18, 0.9),
        "coins": _many(rng, lambda: _ring(rng, 3_000, 7_800, 0.4, 0.12, 5), 7, 0.7),
        "cutlery": _many(rng, lambda: _ring(rng, 1_500, 6_000, 0.3, 0.08), 10, 0.8),
        "glasses": _many(rng, lambda: _ring(rng, 1_200, 5_000, 0.8, 0.3, 4), 3, 0.6),
        "plates": _many(rng, lambda: _ring(rng, 500, 4_000, 0.3, 0.06), 8, 0.7),
        "tray dropped": _row(_ring(rng, 300, 3_500, 0.7, 0.2, 20), _ring(rng, 300, 3_500, 0.4, 0.1, 20)),
        "chair scraped": _breath(rng, 0.6, ((350, 30), (700, 40), (1_050, 60))) * (1 + np.sin(60 * _time(0.6))),
        "paper": _many(rng, lambda: _envelope(_breath(rng, 0.06, ((5_000, 2_000),)), 0.005, 0.02), 22, 0.9),
        "zip": _breath(rng, 0.5, ((3_500, 1_500),)) * (np.mod(_time(0.5) * 90, 1) < 0.4),
        "stapler": _many(rng, lambda: _blow(rng, 300, 0.08, 0.015, 1.0), 2, 0.12),
        "drawer": _row(_envelope(_breath(rng, 0.4, ((250, 150),)), 0.3, 0.1), _blow(rng, 130, 0.3, 0.05, 0.8)),
    }
    return {name: sound / np.abs(sound).max() for name, sound in made.items()}
