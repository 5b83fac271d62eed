"""What the states of a stage, and the reasons of a closed line, mean to whoever keeps account of faults."""

from __future__ import annotations

from typing import Final

DOWN: Final = ("restarting", "degraded", "failed")
UP: Final = ("live", "waiting", "muted", "ended")
RESTS: Final = ("idle", "capped", "untriggered")
"""A line that is closed on purpose is not down."""
STARTING_NS: Final = 3_000_000_000
"""What was never up is not down but starting, so long: a first dial that comes before the simulator listens."""
