"""The network of Silero VAD by numpy alone: 512 samples of 16 kHz in, one probability of speech out.

    640 samples → 4 spectra of 129 → 4 x 128 → 2 x 64 → 64 → 128 → an LSTM of 128 → 1

onnxruntime says the same within 1e-5, in four times the time of these 0.04 ms, and its library takes 20 MB and 75 ms to
load. The weights lie in the order in which they are multiplied: `scripts/silero` takes them out of the published model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.fft  # here, and not with the first sound: numpy loads it when it is first named
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from pipeline.audio.pcm import Samples

WEIGHTS = Path(__file__).with_name("models") / "silero_vad.npy"

HOP = 512
"""Samples judged at a time: 32 ms at 16 kHz."""
CONTEXT = 64
"""Samples of the hop before that are part of the input; without them the probabilities collapse."""

_FRAME, _STEP = 256, 128  # samples of a spectrum, and from one to the next
_BINS = _FRAME // 2 + 1
_FULL_SCALE = np.float32(1 / 32768)

SHAPES = {
    "encoder0": (3 * _BINS, 128), "encoder0_bias": (128,),
    "encoder1": (3 * 128, 64), "encoder1_bias": (64,),
    "encoder2": (2 * 64, 64), "encoder2_bias": (64,),
    "encoder3": (64, 128), "encoder3_bias": (128,),
    "lstm": (4 * 128, 2 * 128), "lstm_bias": (4 * 128,),
    "out": (128,), "out_bias": (1,),
}  # fmt: skip
"""What the file holds, one behind the other: a dozen arrays of their own take five times as long to read."""

_Floats = NDArray[np.float32]


def weights() -> dict[str, _Floats]:
    """Name to array. FileNotFoundError without the file, ValueError if it is another one."""
    if not WEIGHTS.is_file():
        raise FileNotFoundError(f"{WEIGHTS}: the weights of the VAD are missing; install the package again")
    flat = np.load(WEIGHTS)
    if flat.shape != (sum(map(math.prod, SHAPES.values())),) or flat.dtype != np.float32:
        raise ValueError(f"{WEIGHTS}: these are not the weights of the VAD; install the package again")
    ends = np.cumsum([math.prod(shape) for shape in SHAPES.values()])
    parts = np.split(flat, ends[:-1])
    return {name: part.reshape(shape) for (name, shape), part in zip(SHAPES.items(), parts, strict=True)}


class Network:
    """One stream of hops. All arrays are there from the beginning; for one thread."""

    def __init__(self, of: Mapping[str, _Floats]) -> None:
        """`of`: what `weights` gives."""
        self._dense = [(of[f"encoder{n}"], of[f"encoder{n}_bias"]) for n in range(4)]
        self._gate, self._gate_bias = of["lstm"], of["lstm_bias"]
        self._out, self._out_bias = of["out"], float(of["out_bias"][0])
        self._window = np.hanning(_FRAME + 1)[:-1].astype(np.float32)

        self._sound = np.zeros(CONTEXT + HOP + CONTEXT, np.float32)
        self._frames = as_strided(self._sound, (4, _FRAME), (_STEP * 4, 4), writeable=False)
        self._windowed = np.empty((4, _FRAME), np.float32)
        self._bins = np.empty((4, _BINS), np.complex64)
        # the first two convolutions see three columns at a time, zeros before the first and behind the last
        self._spectra = np.zeros((6, _BINS), np.float32)
        self._triples0 = as_strided(self._spectra, (4, 3 * _BINS), (_BINS * 4, 4), writeable=False)
        self._columns0 = np.empty((4, 3 * _BINS), np.float32)
        self._features = np.zeros((5, 128), np.float32)
        self._triples1 = as_strided(self._features, (2, 3 * 128), (2 * 128 * 4, 4), writeable=False)
        self._columns1 = np.empty((2, 3 * 128), np.float32)
        self._pair, self._single = np.empty((2, 64), np.float32), np.empty(64, np.float32)
        # of the LSTM, a row for each of its memories: this hop's features, then what it said last
        self._in = np.zeros((2, 2 * 128), np.float32)
        self._cell, self._voiced = np.zeros((2, 128), np.float32), np.empty((2, 128), np.float32)
        self._gates = np.empty((2, 4 * 128), np.float32)

    def reset(self) -> None:
        """Forget what was heard."""
        for remembered in (self._sound, self._in, self._cell):
            remembered.fill(0)

    def judge(self, hop: Samples) -> tuple[float, float]:
        """Probability (0 to 1) that this hop, shape (512,), is speech: as the published model says it, and by a second
        memory that has `fade`d."""
        self._hear(hop)
        self._encode()
        return self._remember()

    def fade(self, by: float) -> None:
        """The second memory keeps that share of what it remembers."""
        self._cell[1] *= by
        self._in[1, 128:] *= by

    def _hear(self, hop: Samples) -> None:
        """Sound to the size of each of its frequencies."""
        sound = self._sound
        sound[:CONTEXT] = sound[HOP : HOP + CONTEXT]
        np.multiply(hop, _FULL_SCALE, out=sound[CONTEXT : CONTEXT + HOP])
        sound[CONTEXT + HOP :] = sound[CONTEXT + HOP - 2 : HOP - 2 : -1]  # mirrored at the last sample
        np.multiply(self._frames, self._window, out=self._windowed)
        np.fft.rfft(self._windowed, out=self._bins)  # type: ignore[arg-type]  # its stubs know one precision
        np.abs(self._bins, out=self._spectra[1:5])

    def _encode(self) -> None:
        np.copyto(self._columns0, self._triples0)
        self._layer(0, self._columns0, self._features[1:])
        np.copyto(self._columns1, self._triples1)
        self._layer(1, self._columns1, self._pair)
        self._layer(2, self._pair.reshape(2 * 64), self._single)
        self._layer(3, self._single, self._in[0, :128])
        self._in[1, :128] = self._in[0, :128]

    def _layer(self, number: int, given: _Floats, out: _Floats) -> None:
        dense, bias = self._dense[number]
        np.dot(given, dense, out=out)
        out += bias
        np.maximum(out, 0, out=out)

    def _remember(self) -> tuple[float, float]:
        """The LSTM. Weights of its three gates are halved in the file: sigmoid(x) is (1 + tanh(x / 2)) / 2."""
        gates, cell, said = self._gates, self._cell, self._in[:, 128:]
        np.dot(self._in, self._gate.T, out=gates)
        gates += self._gate_bias
        np.tanh(gates, out=gates)
        take, keep, new, tell = gates[:, :128], gates[:, 128:256], gates[:, 256:384], gates[:, 384:]
        keep += 1
        cell *= keep
        take += 1
        take *= new
        cell += take
        cell *= 0.5
        np.tanh(cell, out=said)
        tell += 1
        said *= tell
        said *= 0.5
        np.maximum(said, 0, out=self._voiced)
        first, second = np.dot(self._voiced, self._out).tolist()
        return self._probability(first), self._probability(second)

    def _probability(self, sum_: float) -> float:
        return 0.5 + 0.5 * math.tanh(0.5 * (sum_ + self._out_bias))
