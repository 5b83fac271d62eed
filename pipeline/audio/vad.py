"""Voice activity by Silero: one probability of speech for each 32 ms of 16 kHz sound.

Of the detectors measured it is the best in music and babble by a clear margin, for 1 % of a core. On its own it has no
usable end of speech: that is `segmenter`'s work.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.audio.pcm import Samples

if TYPE_CHECKING:
    import onnxruntime

MODEL = Path(__file__).with_name("models") / "silero_vad.onnx"

RATE = 16_000
HOP = 512
"""Samples judged at a time: 32 ms at 16 kHz."""
CONTEXT = 64
"""Samples of the hop before that are part of the input; without them the probabilities collapse."""


class Vad:
    """What can stand behind `vad: {use: module:Class}`: derive from this and say how likely it is speech."""

    hop: int = HOP
    """Samples judged at a time, 16 kHz."""

    def load(self) -> None:
        """Read what is large, once, before the first `judge`."""

    def reset(self) -> None:
        """Forget what was heard: at a gap in the stream, never between two utterances."""

    def judge(self, hop: Samples) -> float:
        """Probability (0 to 1) that these `hop` samples, which follow those before, are speech."""
        raise NotImplementedError


class SileroVad(Vad):
    """`load` before the first `judge`: 0.3 s and 40 MB that a process without a VAD should not pay."""

    def __init__(self) -> None:
        self._session: onnxruntime.InferenceSession | None = None
        self._rate = np.array(RATE, np.int64)
        self.reset()

    def load(self) -> None:
        """Read the model. ImportError without onnxruntime, OSError if the model file is missing."""
        import onnxruntime  # a thread starts with the import, and a process that has threads must not fork

        if not MODEL.is_file():
            raise FileNotFoundError(f"{MODEL}: the VAD model is missing; install the package again")
        options = onnxruntime.SessionOptions()
        # One thread: by default each core gets one that spins between frames.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])
        self.judge(np.zeros(HOP, np.int16))  # the first run allocates: 10 ms that belong here, not into speech
        self.reset()

    def reset(self) -> None:
        """Forget what was heard."""
        self._state = np.zeros((2, 1, 128), np.float32)
        self._input = np.zeros((1, CONTEXT + HOP), np.float32)

    def judge(self, hop: Samples) -> float:
        """One hop, shape (512,)."""
        if self._session is None:
            raise RuntimeError("SileroVad.load() comes before judge()")
        self._input[0, :CONTEXT] = self._input[0, -CONTEXT:]
        self._input[0, CONTEXT:] = hop / np.float32(32768.0)
        out, self._state = self._session.run(None, {"input": self._input, "state": self._state, "sr": self._rate})
        return float(out[0, 0])
