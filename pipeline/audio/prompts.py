"""Prompts and earcons as samples: a machine's own files first, then those of the package."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np

from pipeline.audio.pcm import Samples
from pipeline.audio.resample import Resampler

RATE = 24_000
LONGEST_S = 30
PACKAGED = Path(__file__).parents[1] / "prompts"
KINDS = (".wav", ".opus", ".flac", ".ogg")


class Prompts:
    """`<name>.<language>.wav` or `<name>.wav`, in `folder`, else in the package.

    A language is looked for as a whole (`en-GB`) and by its first part (`en`), before the file that fits all.
    """

    def __init__(self, folder: Path | None, language: str, complain: Callable[[str], None]) -> None:
        """`complain` is told of a file that can't be played; the next one that fits is played instead."""
        self._folders = [folder, PACKAGED] if folder else [PACKAGED]
        self._language = language
        self._complain = complain
        self._read: dict[str, Samples | None] = {}

    def names(self) -> list[str]:
        """Of everything that could be played."""
        return sorted({path.name.split(".")[0] for folder in self._folders for path in _sounds(folder)})

    def samples(self, name: str) -> Samples | None:
        """24 kHz mono, shape (n,), kept in memory once read; None if there is no such prompt."""
        if name not in self._read:
            self._read[name] = next(self._readable(name), None)
        return self._read[name]

    def load_next(self) -> bool:
        """Read one that was not asked for yet, so that it is here when the disk is not. False: all are."""
        for name in self.names():
            if name not in self._read:
                self.samples(name)
                return True
        return False

    def _readable(self, name: str) -> Iterator[Samples]:
        for path in self._paths(name):
            try:
                yield read(path)
            except (OSError, ValueError) as error:
                self._complain(str(error))

    def _paths(self, name: str) -> Iterator[Path]:
        if not name or "/" in name or name.startswith("."):
            return
        language = self._language
        stems = [f"{name}.{language}", f"{name}.{language.split('-')[0]}", name]
        for folder in self._folders:
            for stem in dict.fromkeys(stems):
                yield from (path for kind in KINDS if (path := folder / f"{stem}{kind}").is_file())


def _sounds(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.suffix in KINDS]
    except OSError:
        return []


def read(path: Path) -> Samples:
    """A sound file as 24 kHz mono, LONGEST_S at most. Raises OSError or ValueError, both naming the file."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise ValueError(f"{path} holds no sound: give it as 16-bit WAV")
            swr = av.AudioResampler(format="s16", layout="mono", rate=container.streams.audio[0].rate)
            blocks = [b.to_ndarray()[0] for frame in container.decode(audio=0) for b in swr.resample(frame)]
            rate = container.streams.audio[0].rate
    except av.error.FFmpegError as error:
        raise ValueError(f"{path} is no sound file ({error}): give it as 16-bit WAV") from error
    if not blocks:
        raise ValueError(f"{path} holds no sound: give it as 16-bit WAV")
    samples: Samples = np.concatenate(blocks)[: LONGEST_S * rate].astype(np.int16, copy=False)
    if rate != RATE:
        resampler = Resampler(rate, RATE)
        samples = np.concatenate((resampler.convert(samples), resampler.drain()))
    return samples
