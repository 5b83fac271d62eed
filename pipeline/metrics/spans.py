"""Spans as they are before anybody sends them: names, times and attributes. Times are ns of the supervisor's clock.

Attributes have the names of OpenTelemetry's conventions for generative AI (`gen_ai.*`) where there is one, and
`voice_pipeline.*` else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

Value = str | bool | int | float
OURS: Final = "voice_pipeline"
EVENTS: Final = 64
"""Of one span; the rest is counted."""
TEXT: Final = 4000
"""Characters of an attribute at most."""
REST: Final = f"{OURS}.events_left_out"


@dataclass
class Span:
    """A stretch of time with a name, and those within it."""

    name: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Value] = field(default_factory=dict)
    client: bool = False
    """It is a call to a service elsewhere."""
    error: str | None = None
    """Why it failed; None: it did not."""
    events: list[tuple[int, str, dict[str, Value]]] = field(default_factory=list)
    """(ns, name, attributes), oldest first."""
    children: list[Span] = field(default_factory=list)

    def mark(self, ns: int, name: str, **attributes: Value) -> None:
        """Something happened at a moment; beyond EVENTS of them it is counted only."""
        if len(self.events) < EVENTS:
            self.events.append((ns, name, {f"{OURS}.{key}": short(value) for key, value in attributes.items()}))
        else:
            self.attributes[REST] = int(self.attributes.get(REST, 0)) + 1

    def said(self, **attributes: Value | None) -> None:
        """Attributes of ours; None is none."""
        for key, value in attributes.items():
            if value is not None:
                self.attributes[f"{OURS}.{key}"] = short(value)

    def child(self, name: str, start_ns: int, end_ns: int, *, client: bool = False) -> Span:
        """A span within this one, which is stretched to hold it. One that would end before it begins takes no time."""
        made = Span(name, start_ns, max(start_ns, end_ns), client=client)
        self.children.append(made)
        self.end_ns = max(self.end_ns, made.end_ns)
        return made

    def walk(self) -> Iterator[Span]:
        """This one and all within it."""
        yield self
        for child in self.children:
            yield from child.walk()


def short(value: Value) -> Value:
    """A text that nobody wanted so long is cut."""
    return value if not isinstance(value, str) or len(value) <= TEXT else value[: TEXT - 1] + "…"
