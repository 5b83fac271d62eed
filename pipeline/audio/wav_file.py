"""A WAV file that can be opened by any player at any moment while it grows: its header is valid after every write."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

HEADER_BYTES = 44
MAX_BYTES = 2**31
"""Size at which nothing is added any more (12 hours of 24 kHz mono): players read the lengths as 32 bits."""


class GrowingWav:
    """16-bit PCM, mono unless said otherwise. A disk that is full or gone costs the sound written then, and is counted,
    but raises nothing."""

    def __init__(self, path: Path, rate: int, *, channels: int = 1, append: bool = False) -> None:
        """Create `path`, or with `append` continue it if it is there. Raises OSError."""
        self.path, self._rate, self._frame_bytes = path, rate, 2 * channels
        self.lost_bytes = 0
        """What the disk did not take."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (0 if append else os.O_TRUNC), 0o600)
        self._size = max(0, os.fstat(self._file).st_size - HEADER_BYTES) // self._frame_bytes * self._frame_bytes
        self.write(b"")

    def write(self, pcm: bytes) -> None:
        """Append whole samples, then make the header true again."""
        try:
            if self._size + len(pcm) > MAX_BYTES:
                raise OSError("the file is as long as players can read")
            written = os.pwrite(self._file, pcm, HEADER_BYTES + self._size)
            self._size += written // self._frame_bytes * self._frame_bytes
            self._write_header()
        except OSError:
            written = 0
        self.lost_bytes += len(pcm) - written

    def close(self) -> None:
        """Nothing follows."""
        with contextlib.suppress(OSError):
            os.close(self._file)

    def _write_header(self) -> None:
        wide = self._frame_bytes
        riff = struct.pack("<4sI4s", b"RIFF", 36 + self._size, b"WAVE")
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, wide // 2, self._rate, wide * self._rate, wide, 16)
        os.pwrite(self._file, riff + form + struct.pack("<4sI", b"data", self._size), 0)
