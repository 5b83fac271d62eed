"""A voice pipeline of supervised processes.

The public face: write a `Stage`, receive `Audio` and `Event`, run it by `main`. Nothing else is promised.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.bus.messages import Audio, Event
    from pipeline.stage import Stage, main

__version__ = "0.1.0"
__all__ = ["Audio", "Event", "Stage", "main"]


def __getattr__(name: str) -> Any:
    """Import the public names when first used: a part that needs none of them does not pay for the bus."""
    import importlib

    if name in ("Audio", "Event"):
        return getattr(importlib.import_module("pipeline.bus.messages"), name)
    if name in ("Stage", "main"):
        return getattr(importlib.import_module("pipeline.stage"), name)
    raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
