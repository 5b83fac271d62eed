"""The functions that the tools stage declares. A line is told of them when it is set up, so they are waited for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WAIT_S = 3.0
"""A tools stage that has not declared anything by then does not hold up the conversation."""
_NS = 1_000_000_000

Declaration = Mapping[str, Any]
"""`name`, `description`, `parameters` (JSON schema), `blocking`."""


class Functions:
    """What the model may call. `wired`: a tools stage is part of the pipeline."""

    def __init__(self, *, wired: bool) -> None:
        self.wired = wired
        self.declared: tuple[Declaration, ...] = ()
        self.wait_until_ns = 0
        """No line is dialled before."""
        self._known: tuple[Declaration, ...] | None = None
        """What the line that is up was told."""

    def start(self, now_ns: int) -> None:
        """The session is up, the tools stage perhaps not."""
        if self.wired:
            self.wait_until_ns = now_ns + int(WAIT_S * _NS)

    def declare(self, declarations: Sequence[Any]) -> bool:
        """The tools stage says what there is. False if that is no news."""
        declared = tuple(each for each in declarations if isinstance(each, Mapping) and each.get("name"))
        changed, self.declared = declared != self.declared, declared
        self.wait_until_ns = 0
        return changed

    def nobody_declares(self) -> bool:
        """The tools stage is down for good. True if what it would say was waited for."""
        waited, self.wait_until_ns = self.wait_until_ns > 0, 0
        return waited

    def line_up(self) -> None:
        """A line was set up with what is declared."""
        self._known = self.declared

    @property
    def outdated(self) -> bool:
        """The line knows others."""
        return self._known is not None and self._known != self.declared
