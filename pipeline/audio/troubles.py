"""What is wrong with a stage, from several watches at once, as one state with one reason. Pure."""

from __future__ import annotations


class Troubles:
    """Each watch has its own word; the state says all of them."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def set(self, watch: str, reason: str) -> None:
        """What `watch` has to say, with the remedy; "" when all is well again."""
        self._reasons.pop(watch, None)
        if reason:
            self._reasons[watch] = reason

    @property
    def state(self) -> tuple[str, str]:
        """`live`, or `degraded` with the reasons, in the order in which they came."""
        return ("degraded", "; ".join(self._reasons.values())) if self._reasons else ("live", "")
