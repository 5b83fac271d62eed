"""Places in a script's YAML: a value, and the words to say what is wrong with it by file, line and key.

Scalars are taken by what their place expects, so `say: no` is the word "no" and not a boolean.
"""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.simulator.script import blanks

LONGEST_MS = 24 * 3600 * 1000


class ScriptError(ValueError):
    """A script that cannot be used; the text is `FILE:LINE: KEY: what was expected`."""


class Place:
    """One node of the file, with the words to name it in an error."""

    def __init__(self, path: Path, node: yaml.Node, key: str) -> None:
        self.path, self.node, self.key = path, node, key

    def wrong(self, expected: str) -> ScriptError:
        return ScriptError(f"{self.path}:{self.node.start_mark.line + 1}: {self.key}: {expected}")

    def table(self, known: Sequence[str]) -> dict[str, "Place"]:
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong(f"expected a table with {', '.join(known)}")
        found: dict[str, Place] = {}
        for key_node, value in self.node.value:
            name = str(key_node.value)
            place = Place(self.path, value, name)
            at_key = Place(self.path, key_node, name)
            if name in found:
                raise at_key.wrong("is given twice")
            if name not in known:
                if isinstance(value, yaml.ScalarNode) and value.value == "":
                    raise at_key.wrong("has no value; within { } a text that holds a comma needs quotes")
                near = difflib.get_close_matches(name, known, 1)
                meant = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
                raise at_key.wrong(f"unknown key; {meant}")
            found[name] = place
        return found

    def items(self) -> list["Place"]:
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong("expected a list")
        return [Place(self.path, node, f"{self.key}[{index}]") for index, node in enumerate(self.node.value)]

    def text(self) -> str:
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.wrong("expected a text")
        return str(self.node.value)

    def one_of(self, known: Sequence[str]) -> str:
        """One word of several."""
        word = self.text() if isinstance(self.node, yaml.ScalarNode) else ""
        if word not in known:
            near = difflib.get_close_matches(word, known, 1) if word else []
            raise self.wrong(f"did you mean `{near[0]}`?" if near else f"expected one of {', '.join(known)}")
        return word

    def words(self) -> str:
        """A text to be said."""
        text = self.text()
        if unknown := blanks(text):
            raise self.wrong(
                f"nothing fills {{{unknown[0]}}}; known: {{result}}, {{result.KEY}}, {{previous}}, {{turn}}, {{1}}"
            )
        return text

    def whole(self, least: int, most: int) -> int:
        try:
            number = int(self.text())
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise self.wrong(f"expected a whole number from {least} to {most}")
        return number

    def number(self, least: float, most: float) -> float:
        try:
            number = float(self.text())
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise self.wrong(f"expected a number from {least:g} to {most:g}")
        return number

    def pattern(self) -> re.Pattern[str]:
        try:
            return re.compile(self.text(), re.IGNORECASE)
        except re.error as error:
            raise self.wrong(f"is no regular expression: {error}") from error

    def data(self) -> Any:
        """Whatever the person wrote, by YAML's own rules."""
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_object(self.node, deep=True)
        except yaml.YAMLError as error:
            raise self.wrong(f"is not plain data: {error}") from error
