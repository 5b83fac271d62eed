"""Sound from files: the bundled recordings of whole sentences, and whatever WAV a script names."""

from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import yaml

RATE = 24_000
"""Hertz of everything the simulator says."""

FOLDER = Path(__file__).parent / "speech"

Samples = npt.NDArray[np.int16]


def decode(path: Path) -> Samples:
    """Any audio file that FFmpeg reads, as 24 kHz mono, shape (n,).

    Raises OSError if it cannot be read and ValueError if it holds no sound.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise ValueError(f"{path} holds no sound")
            swr = av.AudioResampler(format="s16", layout="mono", rate=RATE)
            blocks = [block.to_ndarray()[0] for frame in container.decode(audio=0) for block in swr.resample(frame)]
            blocks += [block.to_ndarray()[0] for block in swr.resample(None)]
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise ValueError(f"{path} is no audio file: {error}") from error
    if not blocks:
        raise ValueError(f"{path} holds no sound")
    return np.concatenate(blocks).astype(np.int16, copy=False)


@lru_cache(maxsize=1)
def table() -> dict[str, str]:
    """Sentence to file name, from `speech/clips.yaml`."""
    named = yaml.safe_load((FOLDER / "clips.yaml").read_text("utf-8"))
    return {sentence: name for name, sentence in named.items()}


@lru_cache(maxsize=64)
def clip(sentence: str) -> Samples | None:
    """The recording of exactly this sentence, shape (n,), or None. Read-only: it is shared."""
    name = table().get(sentence)
    if name is None:
        return None
    samples = decode(FOLDER / name)
    samples.flags.writeable = False
    return samples
