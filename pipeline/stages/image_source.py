"""A camera without a camera: JPEG files, one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pipeline import Stage
from pipeline.config.options import OptionError, Range
from pipeline.live.images import size_of, unfit

SUFFIXES = (".jpg", ".jpeg")


class ImageSource(Stage):
    """Shows each picture for `every_s`; the last one is followed by the first, unless `repeat` is false."""

    reads: ClassVar[tuple[str, ...]] = ()
    emits: ClassVar[tuple[str, ...]] = ()

    files: list[Path] = []
    """JPEG files, relative to the file that names them."""
    folder: Path | None = None
    """All JPEG files in it, by name, after those above."""
    every_s: Annotated[float, Range(0.05, 86_400)] = 1.0
    """The session sends one a second at most; of more it takes the newest."""
    repeat: bool = True

    def prime(self) -> None:
        """Reads every file. Raises OptionError naming the file and what is wrong with it."""
        paths = [self.config_dir / name for name in self.files]
        if self.folder is not None:
            folder = self.config_dir / self.folder
            try:
                found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
            except OSError as error:
                raise OptionError(f"folder: {folder}: expected a folder to read: {error}") from error
            if not found:
                raise OptionError(f"folder: {folder}: expected files that end in {' or '.join(SUFFIXES)}, found none")
            paths += found
        self._pictures = [self._load(path) for path in paths]

    def start(self) -> None:
        """The first one is shown now."""
        self._next = 0
        self._due_ns = self.now_ns()

    def step(self) -> float | None:
        """Show the picture whose time has come."""
        if self._next >= len(self._pictures):
            return None
        now_ns = self.now_ns()
        if now_ns >= self._due_ns:
            jpeg, (width, height) = self._pictures[self._next]
            self.tell("image_in", t=now_ns, format="jpeg", data=jpeg, width=width, height=height)
            self._next += 1
            if self.repeat:
                self._next %= len(self._pictures)
            self._due_ns = max(self._due_ns + int(self.every_s * 1e9), now_ns)
        return max(0.0, (self._due_ns - self.now_ns()) / 1e9)

    @staticmethod
    def _load(path: Path) -> tuple[bytes, tuple[int, int]]:
        try:
            jpeg = path.read_bytes()
        except OSError as error:
            raise OptionError(f"files: {path}: expected a readable JPEG file: {error}") from error
        if fault := unfit(jpeg):
            raise OptionError(f"files: {path}: {fault}")
        return jpeg, size_of(jpeg)
