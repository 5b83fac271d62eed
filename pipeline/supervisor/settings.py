"""Mute and volume: what people set and expect to find again after a restart and a reboot."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

FILE = "settings.json"


class Settings:
    """Kept in one file of the state directory, replaced as a whole so that a power cut leaves the old or the new."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / FILE
        self.muted = False
        self.muted_by = ""
        """Who did it, in words."""
        self.volume: int | None = None
        """Percent; None until somebody set it, then playback's own option holds."""
        self.unfit = ""
        """Why what was kept could not be read; empty if it could, or if nothing was kept."""
        self._load()

    def _load(self) -> None:
        try:
            kept = json.loads(self.path.read_text())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            self.unfit = f"{self.path}: {error}"
            return
        muted = kept.get("muted") if isinstance(kept, dict) else None
        volume = kept.get("volume") if isinstance(kept, dict) else None
        if not isinstance(muted, bool) or (volume is not None and not is_percent(volume)):
            self.unfit = f"{self.path}: expected muted: true or false and volume: 0-100 or null"
            return
        self.muted, self.volume = muted, volume
        self.muted_by = str(kept.get("muted_by") or "")

    def keep(self) -> None:
        """Write to the disk. Raises OSError (full, read-only): what was set holds until the next start only."""
        by = {"muted_by": self.muted_by} if self.muted else {}
        replace_file(self.path, json.dumps({"muted": self.muted, "volume": self.volume, **by}) + "\n")


def replace_file(path: Path, text: str) -> None:
    """Write a file as a whole, down to the disk: after a power cut the old or the new one is there. Raises OSError."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def is_percent(value: Any) -> bool:
    """Whether `value` is a volume."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100
