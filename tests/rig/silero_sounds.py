"""Sounds for which tests/vectors/silero.json says what onnxruntime makes of them. The same samples everywhere."""

from __future__ import annotations

import random
import wave
from pathlib import Path

import numpy as np

from pipeline.audio.pcm import Samples, to_samples

RECORDINGS = Path(__file__).resolve().parents[1] / "recordings"


def noise(count: int, bits: int) -> Samples:
    """White, up to 2 ** `bits`. Of Python's own random bytes: those of numpy may change with its version."""
    return to_samples(random.Random(bits).randbytes(2 * count)) >> (15 - bits)


def sounds() -> dict[str, Samples]:
    """Name to 16 kHz mono."""
    made = {}
    for path in sorted(RECORDINGS.glob("*.wav")):
        with wave.open(str(path)) as wav:
            speech = to_samples(wav.readframes(wav.getnframes()))
        wide = speech.astype(np.int32)
        made[path.stem] = speech
        made[f"{path.stem}, faint"] = speech >> 6
        made[f"{path.stem} in noise"] = np.clip(wide + noise(speech.size, 11), -32768, 32767).astype(np.int16)
        made[f"{path.stem}, cut off"] = np.clip(wide * 16, -32768, 32767).astype(np.int16)
    made["noise"], made["faint noise"] = noise(32_000, 15), noise(32_000, 4)
    made["silence"] = np.zeros(32_000, np.int16)
    made["square"] = np.where(np.arange(32_000) // 40 % 2, 32767, -32768).astype(np.int16)
    return made
