"""YAML text to a tree, by the rules of YAML 1.2's core schema.

PyYAML parses; what a scalar means is decided here, because PyYAML's own rules are those of 1.1, where `off`, `on`, `no`
and `yes` are booleans, `12:30:45` is a number and `012` is ten.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml
from yaml.composer import Composer
from yaml.error import Mark, MarkedYAMLError
from yaml.nodes import CollectionNode, MappingNode, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from pipeline.config.errors import ConfigError, ConfigErrors
from pipeline.config.tree import Node, Origin, Path_, Scalar

DEEPEST: Final = 40
"""Levels of nesting; deeper text would exhaust the interpreter's stack before it means anything."""
MOST_VALUES: Final = 5_000
"""Values after aliases are expanded: nine lines of aliases to aliases can stand for a billion."""
LONGEST_NUMBER: Final = 400
"""Characters; Python itself refuses to read integers of some thousand digits."""
_PLAIN: Final = "plain"
_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)")
_NAN = re.compile(r"\.(nan|NaN|NAN)")
_UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def core_scalar(text: str) -> Scalar:
    """What an unquoted word means in YAML 1.2's core schema."""
    if len(text) > LONGEST_NUMBER:
        return text
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text[2:], 8)
    if _HEX.fullmatch(text):
        return int(text, 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return float("nan") if _NAN.fullmatch(text) else text


class _Resolver(BaseResolver):
    """Says of a scalar only whether it stands there unquoted and untagged."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is ScalarNode:
            return _PLAIN if implicit[0] else str(self.DEFAULT_SCALAR_TAG)
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]


class _Loader(Reader, Scanner, Parser, Composer, _Resolver):
    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        _Resolver.__init__(self)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        if self._depth > DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise MarkedYAMLError(problem=f"nested more than {DEEPEST} levels deep", problem_mark=mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def parse(text: str, origin: Origin) -> Node:
    """The document as a tree; an empty one is a blank scalar. Raises ConfigErrors for the first thing it can't read.

    `origin.line` is the first line of `text` (0: what is written on the command line, which has no lines).
    """
    lines = _Lines(origin)
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except ReaderError as error:
        position = error.position if isinstance(error.position, int) else 0
        raise lines.refusal(
            text.count("\n", 0, position),
            f"a character that YAML does not allow (code {error.character!r})",
            remedy="delete it, or write it as an escape in double quotes",
        ) from error
    except MarkedYAMLError as error:
        raise _unreadable(error, text, lines) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # `"\UFFFFFFFF"` is a ValueError of PyYAML
        raise lines.refusal(loader.line if loader else 0, f"not readable as YAML: {error}") from error
    if node is None:
        return Node(None, lines.at(0))
    return _Converter(lines).convert(node, (), lines.at(node.start_mark.line))


class _Lines:
    """Line numbers of one text."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin

    def at(self, line: int) -> Origin:
        """The place of a line that PyYAML counts from 0."""
        return Origin(self._origin.file, self._origin.line + line if self._origin.line else 0, self._origin.folder)

    def refusal(self, line: int, problem: str, key: str = "", **more: str) -> ConfigErrors:
        """One error at a line counted from 0."""
        place = self.at(line)
        return ConfigErrors([ConfigError(place.file, place.line, key, problem, **more)])


class _Converter:
    """PyYAML's nodes to ours, aliases expanded."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines
        self._count = 0
        self._open: list[CollectionNode] = []

    def convert(self, node: yaml.Node, path: Path_, origin: Origin) -> Node:
        self._count += 1
        if self._count > MOST_VALUES:
            raise self._refuse(node, path, f"more than {MOST_VALUES} values, aliases expanded")
        if isinstance(node, ScalarNode):
            return self._scalar(node, path, origin)
        if any(node is outer for outer in self._open):
            raise self._refuse(node, path, "an alias to a table or list that it stands in")
        if len(self._open) >= DEEPEST:
            raise self._refuse(node, path, f"nested more than {DEEPEST} levels deep, aliases expanded")
        if not isinstance(node, MappingNode | SequenceNode) or not str(node.tag).endswith(("2002:map", "2002:seq")):
            raise self._refuse(node, path, f"the tag {node.tag} is not used here", remedy="delete it")
        self._open.append(node)
        value = self._table(node, path) if isinstance(node, MappingNode) else self._list(node, path)
        self._open.pop()
        return Node(value, origin)

    def _list(self, node: SequenceNode, path: Path_) -> list[Node]:
        return [
            self.convert(item, (*path, str(index)), self._lines.at(item.start_mark.line))
            for index, item in enumerate(node.value)
        ]

    def _table(self, node: MappingNode, path: Path_) -> dict[str, Node]:
        table: dict[str, Node] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key in table:
                raise self._refuse(
                    key_node,
                    (*path, key),
                    f"written twice, first at line {table[key].origin.line}",
                    remedy="delete one of them",
                )
            table[key] = self.convert(value_node, (*path, key), self._lines.at(key_node.start_mark.line))
        return table

    def _key(self, node: yaml.Node, path: Path_) -> str:
        if not isinstance(node, ScalarNode) or node.tag not in (_PLAIN, BaseResolver.DEFAULT_SCALAR_TAG):
            raise self._refuse(node, path, "a key that is no word", expected="KEY: VALUE")
        key = str(node.value)
        if key == "<<" and node.tag == _PLAIN:
            remedy = "write the keys out, or share them between files by `extends: FILE`"
            raise self._refuse(node, (*path, key), "merge keys are no part of YAML 1.2", remedy=remedy)
        if not key or _UNFIT.search(key):
            raise self._refuse(node, path, f"the key {key!r}", expected="a word before the colon")
        return key

    def _scalar(self, node: ScalarNode, path: Path_, origin: Origin) -> Node:
        text = str(node.value)
        if node.tag not in (_PLAIN, BaseResolver.DEFAULT_SCALAR_TAG):
            raise self._refuse(node, path, f"the tag {node.tag} is not used here", remedy="delete it")
        if unfit := _UNFIT.search(text):
            raise self._refuse(node, path, f"the control character {unfit[0]!r} in a value", remedy="delete it")
        return Node(core_scalar(text) if node.tag == _PLAIN else text, origin, text=text)

    def _refuse(self, node: yaml.Node, path: Path_, problem: str, **more: str) -> ConfigErrors:
        mark: Mark = node.start_mark
        return self._lines.refusal(mark.line, problem, ".".join(path), **more)


def _unreadable(error: MarkedYAMLError, text: str, lines: _Lines) -> ConfigErrors:
    mark = error.problem_mark or error.context_mark
    line = mark.line if mark else 0
    problem = " ".join(part for part in (error.context, error.problem) if part) or "not readable as YAML"
    written = (text.split("\n")[line : line + 1] or [""])[0]
    remedy = "look at the indentation, colons and quotes of this line and the one above"
    if "\t" in written[: len(written) - len(written.lstrip())] or "'\\t'" in problem:
        remedy = "indent with spaces: YAML allows no tabs there"
    elif "${" in written:
        remedy = 'inside { } and [ ] a variable needs quotes: "${NAME}"'
    elif error.context_mark is not None and "parsing a flow" in problem:
        opened = lines.at(error.context_mark.line).line
        remedy = f"a comma is missing, or the bracket that is opened in line {opened} is never closed"
    elif "mapping values are not allowed" in problem:
        remedy = 'a value that holds ": " needs quotes'
    elif "levels deep" in problem:
        remedy = "look for brackets that are never closed"
    elif "expected a single document" in problem:
        remedy = "delete the line `---` and what follows it"
    return lines.refusal(line, f"not readable as YAML: {problem}", remedy=remedy)
