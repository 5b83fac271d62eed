"""Whether the run directory is still the one that was made: a logout, a cleaner or a person may take it away.

Everybody who is connected goes on without it, but nobody who comes later finds anybody, and a second pipeline may
start in its place. Sockets can't be put back where others have them open: all begin anew.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from pipeline import places

LOOK_S: Final = 1.0
KEPT: Final = (places.LOCK, "control", "supervisor.bus")
"""What the supervisor itself has put there, and holds as long as it runs."""


class Standing:
    """The files of the run directory that must stay as they are."""

    def __init__(self, run: Path) -> None:
        """As they are now; what is not there now is not looked for. Raises OSError."""
        self._files = {run / name: made for name in KEPT if (made := places.identity(run / name)) is not None}

    def lost(self) -> str:
        """What is gone or another's by now, in words; "" if all stand."""
        for path, made in self._files.items():
            with suppress(OSError):  # it can't be told just now
                if (now := places.identity(path)) != made:
                    return f"{path} was {'removed' if now is None else 'replaced'} by somebody else"
        return ""
