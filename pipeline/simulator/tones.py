"""Tone-speech: what is said when no synthesiser is installed.

One tone a letter, 70 ms with 5 ms ramps, 10 ms apart; a space is 80 ms of silence. The pitch of the letter with index
i in `abcdefghijklmnopqrstuvwxyz0123456789` is 300 Hz times 2**(i/12), so a text can be read back from its sound.
Letters with accents lose them; any other character is silent as a space is.
"""

import unicodedata

import numpy as np

from pipeline.simulator.clips import RATE, Samples

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
LOWEST_HZ = 300.0
TONE_MS = 70
STEP_MS = 80
_RAMP_MS = 5
_PEAK = 0.25 * 32767


def tone_speech(text: str) -> Samples:
    """`text` as tones at 24 kHz, shape (n,)."""
    plain = unicodedata.normalize("NFD", text.lower())
    letters = [letter for letter in plain if not unicodedata.combining(letter)]
    step = RATE * STEP_MS // 1000
    sound = np.zeros(step * len(letters), np.int16)
    for place, letter in enumerate(letters):
        if letter in LETTERS:
            tone = _tone(LOWEST_HZ * 2 ** (LETTERS.index(letter) / 12))
            sound[place * step : place * step + tone.size] = tone
    return sound


def _tone(pitch_hz: float) -> Samples:
    count = RATE * TONE_MS // 1000
    wave = np.sin(2 * np.pi * pitch_hz * np.arange(count) / RATE)
    ramp = RATE * _RAMP_MS // 1000
    wave[:ramp] *= np.linspace(0, 1, ramp)
    wave[-ramp:] *= np.linspace(1, 0, ramp)
    return np.asarray(wave * _PEAK, np.int16)
