"""A YAML document as a tree in which every value knows where it was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

Scalar = str | int | float | bool | None
Path_ = tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """Where a value was written."""

    file: str
    """As a person would type it; `--set` for the command line."""
    line: int
    """Of its key, from 1; 0 for the command line."""
    folder: Path
    """Where relative file names in the value start."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Node:
    """One value. Tables keep their order."""

    value: Scalar | dict[str, Node] | list[Node]
    origin: Origin
    text: str = ""
    """The words of a scalar as written: where text is wanted, `${PORT}` is text although it looks like a number."""
    from_variable: bool = False
    """Holds what a `${NAME}` stood for."""
    secret: bool = False
    """Never printed."""

    @property
    def table(self) -> dict[str, Node]:
        """Its entries; empty if it is no table."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def is_table(self) -> bool:
        return isinstance(self.value, dict)

    @property
    def is_blank(self) -> bool:
        """A key with nothing after it, other than a `null` that somebody wrote."""
        return self.value is None and self.text == ""

    def at(self, path: Path_) -> Node:
        """The value at `path`, or the nearest one above it that exists."""
        node = self
        for step in path:
            if isinstance(node.value, dict) and step in node.value:
                node = node.value[step]
            elif isinstance(node.value, list) and step.isdigit() and int(step) < len(node.value):
                node = node.value[int(step)]
            else:
                return node
        return node

    def walk(self, path: Path_ = ()) -> Iterator[tuple[Path_, Node]]:
        """Every value below and including this one."""
        yield path, self
        if isinstance(self.value, dict):
            for key, node in self.value.items():
                yield from node.walk((*path, key))
        elif isinstance(self.value, list):
            for index, node in enumerate(self.value):
                yield from node.walk((*path, str(index)))

    def plain(self, *, nulls: bool = False, as_text: frozenset[Path_] = frozenset(), path: Path_ = ()) -> Any:
        """Python values. Entries that are null stand for their default and are left out unless `nulls`.

        At the paths `as_text`, scalars are given by their words.
        """
        if isinstance(self.value, dict):
            return {
                key: node.plain(nulls=nulls, as_text=as_text, path=(*path, key))
                for key, node in self.value.items()
                if nulls or node.value is not None
            }
        if isinstance(self.value, list):
            return [
                node.plain(nulls=nulls, as_text=as_text, path=(*path, str(index)))
                for index, node in enumerate(self.value)
            ]
        return self.text if path in as_text else self.value


def empty_table(origin: Origin) -> Node:
    """A table without entries."""
    return Node({}, origin)


def without(node: Node, keys: frozenset[str]) -> Node:
    """The table without some of its entries."""
    return replace(node, value={key: entry for key, entry in node.table.items() if key not in keys})
