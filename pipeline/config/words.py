"""The reserved words of a stage, those beside its options."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field, replace
from typing import Final

from pipeline.config.checking import settle
from pipeline.config.errors import Findings
from pipeline.config.kinds import table_fields
from pipeline.config.options import RESERVED, build_value
from pipeline.config.tables import Restart
from pipeline.config.tree import Node, Origin, without

USE: Final = re.compile(r"\w+(\.\w+)*(:\w+)?")
STREAM: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Words:
    """What stands beside the options; what does not fit is at its default."""

    use: str | None = None
    python: str | None = None
    command: list[str] | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    emits: list[str] = field(default_factory=list)
    endpoint: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    required: bool = True
    restart: Restart = field(default_factory=Restart)
    remote: str | None = None

    @property
    def may_be_class(self) -> bool:
        """Whether there is a class to look for."""
        return self.command is None and (self.use is None or USE.fullmatch(self.use) is not None)


def read_words(name: str, stage: Node, findings: Findings) -> Words:
    """The reserved words of one stage."""
    node = without(stage, frozenset(stage.table.keys() - set(RESERVED)))
    if "env" in node.table:
        node = replace(node, value={**node.table, "env": _texts(node.table["env"])})
    words: Words = build_value(Words, settle(table_fields(Words), node, ("stages", name), findings))
    words = _program(name, node, words, findings)
    _check_streams(name, node, words, findings)
    for variable in words.env:
        if not _VARIABLE.fullmatch(variable):
            origin = node.at(("env", variable)).origin
            findings.add(origin, f"stages.{name}.env.{variable}", "no name for a variable", expected="A-Z, 0-9 and '_'")
    return words


def _texts(env: Node) -> Node:
    """The environment is text: `PORT: 80` needs no quotes."""
    return replace(env, value={k: _text(v) for k, v in env.table.items()}) if env.is_table else env


def _text(node: Node) -> Node:
    return node if isinstance(node.value, dict | list | None) else replace(node, value=node.text)


def _program(name: str, node: Node, words: Words, findings: Findings) -> Words:
    """With every program where it is."""
    origin, key = node.at(("command",)).origin, f"stages.{name}.command"
    if words.python is not None and words.command is not None:
        problem = "this is for a class, and `command` names a program"
        findings.add(node.at(("python",)).origin, f"stages.{name}.python", problem, remedy="delete one of them")
    elif words.python is not None:
        there = node.at(("python",)).origin
        words = replace(words, python=_located(words.python, there, f"stages.{name}.python", findings))
    if words.command is None:
        if not words.may_be_class:
            expected = "module:Class, module, or the short name of a stage that ships"
            findings.add(node.at(("use",)).origin, f"stages.{name}.use", f"got '{words.use}'", expected=expected)
        return words
    if words.use is not None:
        findings.add(origin, key, "a stage has `use` or `command`, not both", remedy="delete one of them")
    if not words.command or not words.command[0]:
        findings.add(origin, key, "the list is empty", expected="[PROGRAM, ARGUMENT, …]")
        return words
    return replace(words, command=[_located(words.command[0], origin, key, findings), *words.command[1:]])


def _located(program: str, origin: Origin, key: str, findings: Findings) -> str:
    """Beside the file that names it, or a bare name for PATH to find."""
    if "/" in program or program.startswith("~"):
        program = os.path.join(origin.folder, os.path.expanduser(program))
        if not os.path.isfile(program):
            findings.add(origin, key, f"there is no file {program}", expected="a program, relative to this file")
        elif not os.access(program, os.X_OK):
            findings.add(origin, key, f"{program} is not executable", remedy=f"chmod +x {program}")
    elif shutil.which(program) is None:
        remedy = f"install it, or write ./{program} for one beside this file"
        findings.add(origin, key, f"there is no program '{program}' in PATH", remedy=remedy)
    return program


def _check_streams(name: str, node: Node, words: Words, findings: Findings) -> None:
    for index, stream in enumerate(words.emits):
        if not STREAM.fullmatch(stream):
            origin = node.at(("emits", str(index))).origin
            findings.add(origin, f"stages.{name}.emits", f"'{stream}' names no stream", expected="a-z, 0-9 and '_'")
