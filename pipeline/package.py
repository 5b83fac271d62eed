"""Where this package lies, for the processes that must find it wherever a command was typed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

CODE: Final = Path(__file__).resolve().parents[1]
"""The folder that holds it: a checkout, or where its interpreter's libraries are."""


def import_path(python: str | None = None) -> tuple[str, ...]:
    """What PYTHONPATH needs for it. `python`: another interpreter, which must not find the libraries of this one."""
    return () if python is not None and CODE.name in ("site-packages", "dist-packages") else (str(CODE),)
