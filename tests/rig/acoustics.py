"""A simulated counter: a machine that talks, a person who talks over it, a room between speaker and microphone.

Everything is seeded, 16 kHz mono float64 with 1.0 as full scale. People are the recordings of tests/recordings; the
machine is the simulator's own voice. Levels are the RMS of the loud parts (see `loudness`), in dB of full scale.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.resample import Resampler
from pipeline.simulator import clips

Wave = NDArray[np.float64]

RATE = 16_000
RECORDINGS = Path(__file__).resolve().parents[1] / "recordings"
PEOPLE = ("not_ill_disposed.wav", "cold_hearted.wav", "made_amiable.wav")


def db(factor: float) -> float:
    """Amplitude to dB."""
    return 20.0 * float(np.log10(max(factor, 1e-9)))


def loudness(sound: Wave) -> float:
    """RMS in dB of full scale of the blocks of 20 ms that are within 25 dB of the loudest: pauses do not count."""
    blocks = sound[: sound.size // 320 * 320].reshape(-1, 320)
    power = (blocks**2).mean(axis=1)
    return (
        db(float(np.sqrt(power[power > power.max() * 10**-2.5].mean()))) if power.size and power.max() > 0 else -120.0
    )


def at_level(sound: Wave, dbfs: float) -> Wave:
    """The same, as loud as that."""
    louder: Wave = sound * 10 ** ((dbfs - loudness(sound)) / 20)
    return louder


@lru_cache(maxsize=8)
def person(name: str) -> Wave:
    """A recording of a human voice."""
    with wave.open(str(RECORDINGS / name)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768.0


@lru_cache(maxsize=1)
def sentences() -> tuple[Wave, ...]:
    """What the machine says, sentence by sentence."""
    found = []
    for path in sorted(clips.FOLDER.glob("*.opus")):
        down = Resampler(clips.RATE, RATE)
        found.append(np.concatenate((down.convert(clips.decode(path)), down.drain())) / 32768.0)
    return tuple(found)


def talk(seconds: float, seed: int, *, pause_s: float = 0.4) -> Wave:
    """The machine's voice, sentence after sentence."""
    rng, parts, size = np.random.default_rng(seed), list[Wave](), 0
    while size < seconds * RATE:
        for number in rng.permutation(len(sentences())):
            parts += [sentences()[number], np.zeros(int(pause_s * RATE))]
            size += parts[-1].size + parts[-2].size
    return np.concatenate(parts)[: int(seconds * RATE)]


def stretched(sound: Wave, factor: float) -> Wave:
    """Sample n of the result is sample n * `factor` of the sound: 1.00005 is a clock that runs 50 ppm fast."""
    half = 16
    place = np.arange(int((sound.size - 1) / factor)) * factor
    whole = place.astype(int)
    padded = np.pad(sound, half)
    out: Wave = np.zeros(place.size)
    for tap in range(-half + 1, half + 1):
        far = place - whole - tap
        out += padded[whole + tap + half] * np.sinc(far) * np.cos(np.pi * far / (2 * half)) ** 2
    return out


def impulse_response(seed: int, *, rt60_s: float = 0.25, distance_db: float = 0.0) -> Wave:
    """From speaker to microphone: the direct sound, then a decaying tail."""
    rng = np.random.default_rng(seed)
    count = int(rt60_s * RATE)
    tail = rng.normal(0, 1, count) * 10 ** (-3 * np.arange(count) / count)
    tail *= 0.7 / np.sqrt((tail**2).sum())
    tail[:24] *= 0.2
    tail[0] = 1.0
    return np.asarray(tail * 10 ** (-distance_db / 20))


def echoed(played: Wave, *, seed: int, delay_ms: float, ppm: float = 0.0, distort: float = 0.3) -> Wave:
    """What of `played` is at the microphone: a small speaker that saturates, the room, a delay, a clock of its own."""
    driven = np.tanh(played / distort) * distort if distort else played
    response = impulse_response(seed)
    size = 1 << int(np.ceil(np.log2(driven.size + response.size)))
    wet = np.fft.irfft(np.fft.rfft(driven, size) * np.fft.rfft(response, size), size)[: driven.size]
    if ppm:
        wet = stretched(wet, 1 + ppm * 1e-6)
    late = np.concatenate((np.zeros(int(delay_ms * RATE / 1000)), wet))
    return np.pad(late, (0, max(0, played.size - late.size)))[: played.size]


def noise(kind: str, seconds: float, seed: int) -> Wave:
    """`white`, `pink`, `music` (chords with decay, a beat) or `babble` (twelve machine voices at once)."""
    rng, count = np.random.default_rng(seed), int(seconds * RATE)
    if kind == "white":
        return rng.normal(0, 0.1, count)
    if kind == "pink":
        spectrum = np.fft.rfft(rng.normal(0, 1, count))
        spectrum /= np.sqrt(np.maximum(np.fft.rfftfreq(count, 1 / RATE), 20.0))
        pink = np.fft.irfft(spectrum, count)
        return np.asarray(pink / pink.std() * 0.1)
    if kind == "babble":
        return np.asarray(sum(np.roll(np.resize(v, count), int(rng.integers(count))) for v in _crowd()))
    assert kind == "music", kind
    return _music(rng, count)


@lru_cache(maxsize=1)
def _crowd() -> tuple[Wave, ...]:
    """Twelve voices, each of another pitch and in another order."""
    return tuple(stretched(talk(30, 100 + n, pause_s=0.1), 0.8 + 0.04 * n) for n in range(12))


def _music(rng: np.random.Generator, count: int) -> Wave:
    out, beat = np.zeros(count), int(0.5 * RATE)
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12])
    for begin in range(0, count, beat):
        length = min(2 * beat, count - begin)
        time = np.arange(length) / RATE
        root = 220 * 2 ** (rng.choice(scale) / 12)
        for third in (0, 4, 7, 12):
            for partial in range(1, 6):
                pitch = root * 2 ** (third / 12) * partial
                out[begin : begin + length] += np.sin(2 * np.pi * pitch * time) * np.exp(-3 * time) / partial**1.5
        hit = min(1600, count - begin)
        out[begin : begin + hit] += rng.normal(0, 1, hit) * np.exp(-np.arange(hit) / 200)
    return np.asarray(out / np.abs(out).max() * 0.5)


@dataclass
class Counter:
    """One scene: what was played, and what of it, of people and of noise is at the microphone."""

    played: Wave
    echo: Wave
    near: Wave
    hiss: Wave

    @property
    def mic(self) -> Wave:
        """The sum, clipped as a converter clips."""
        return np.clip(self.echo + self.near + self.hiss, -1, 1)


def counter(
    seconds: float,
    *,
    seed: int,
    delay_ms: float = 60,
    ppm: float = 0.0,
    voice_dbfs: float = -26.0,
    echo_dbfs: float = -26.0,
    hiss_dbfs: float = -70.0,
    people: tuple[tuple[float, str], ...] = (),
) -> Counter:
    """The machine talks all the time; `people` are (second, recording)."""
    rng = np.random.default_rng(seed)
    played = at_level(talk(seconds, seed), -20.0)
    echo = at_level(echoed(played, seed=seed, delay_ms=delay_ms, ppm=ppm), echo_dbfs)
    near = np.zeros(played.size)
    for begin_s, name in people:
        said, begin = at_level(person(name), voice_dbfs), int(begin_s * RATE)
        near[begin : begin + said.size] += said[: near.size - begin]
    return Counter(played, echo, near, rng.normal(0, 10 ** (hiss_dbfs / 20), played.size))


def as_samples(sound: Wave) -> NDArray[np.int16]:
    """16 bit."""
    return np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)
