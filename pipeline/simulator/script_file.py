"""Reads a script from YAML and says what is wrong with it by file, line and key.

Scalars are taken by what their place expects, so `say: no` is the word "no" and not a boolean.
"""

import difflib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.simulator.script import MOMENTS, Call, Fault, Reply, Script, blanks

VERSION = 1
DEFAULT = Path(__file__).parent / "default.yaml"


class ScriptError(ValueError):
    """A script that cannot be used; the text is `FILE:LINE: KEY: what was expected`."""


def load_script(path: Path | None) -> Script:
    """The script in `path`, or the built-in conversation. Raises `ScriptError`.

    A script without `spoken` or `text` has those of the built-in conversation; an empty list answers nothing.
    """
    if path is None:
        return _read(DEFAULT, Script())
    return _read(path, _read(DEFAULT, Script()))


def _read(path: Path, usual: Script) -> Script:
    try:
        root = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise ScriptError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ScriptError(f"{path}: is not UTF-8 text: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ScriptError(f"{path}{line}: is not YAML: {getattr(error, 'problem', None) or error}") from error
    if root is None:
        raise ScriptError(f"{path}: is empty; write at least `version: {VERSION}`")
    return _script(_Place(path, root, "script"), usual)


class _Place:
    """One node of the file, with the words to name it in an error."""

    def __init__(self, path: Path, node: yaml.Node, key: str) -> None:
        self.path, self.node, self.key = path, node, key

    def wrong(self, expected: str) -> ScriptError:
        return ScriptError(f"{self.path}:{self.node.start_mark.line + 1}: {self.key}: {expected}")

    def table(self, known: Sequence[str]) -> dict[str, "_Place"]:
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong(f"expected a table with {', '.join(known)}")
        found: dict[str, _Place] = {}
        for key_node, value in self.node.value:
            name = str(key_node.value)
            place = _Place(self.path, value, name)
            at_key = _Place(self.path, key_node, name)
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

    def items(self) -> list["_Place"]:
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong("expected a list")
        return [_Place(self.path, node, f"{self.key}[{index}]") for index, node in enumerate(self.node.value)]

    def text(self) -> str:
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.wrong("expected a text")
        return str(self.node.value)

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


_KEYS = (
    "version",
    "language",
    "notice",
    "think_ms",
    "speed",
    "chunk_bytes",
    "keys",
    "models",
    "spoken",
    "text",
    "faults",
)
_LONGEST_MS = 24 * 3600 * 1000


def _script(root: _Place, usual: Script) -> Script:
    found = root.table(_KEYS)
    if "version" not in found:
        raise root.wrong(f"`version: {VERSION}` is missing")
    version = found.pop("version")
    if version.text() != str(VERSION):
        raise version.wrong(f"expected version {VERSION}")
    readers: dict[str, Callable[[_Place], Any]] = {
        "language": _Place.text,
        "notice": _Place.words,
        "think_ms": lambda place: place.whole(0, _LONGEST_MS),
        "speed": lambda place: place.number(0.05, 1000),
        "chunk_bytes": _chunks,
        "keys": lambda place: frozenset(item.text() for item in place.items()),
        "models": lambda place: tuple(item.text() for item in place.items()),
        "spoken": lambda place: tuple(_reply(item, ("heard",)) for item in place.items()),
        "text": lambda place: tuple(_reply(item, ("match",)) for item in place.items()),
        "faults": lambda place: tuple(map(_fault, place.items())),
    }
    conversation = {"spoken": usual.spoken, "text": usual.text}
    return Script(**conversation | {name: readers[name](place) for name, place in found.items()})


def _chunks(place: _Place) -> tuple[int, ...]:
    sizes = tuple(item.whole(2, 1 << 20) for item in place.items())
    if not sizes or any(size % 2 for size in sizes):
        raise place.wrong("expected sizes in bytes, each a multiple of 2 (16-bit samples)")
    return sizes


def _reply(place: _Place, more: tuple[str, ...]) -> Reply:
    found = place.table(("say", "wav", "call", "think_ms", *more))
    wav = None
    if "wav" in found:
        wav = place.path.parent / found["wav"].text()
        if not wav.is_file():
            raise found["wav"].wrong(f"there is no file {wav}")
        if "say" not in found:
            raise found["wav"].wrong("a recording needs its words too: add `say: what it says`")
    if not {"say", "call"} & found.keys():
        raise place.wrong("expected `say` (empty for no answer) or `call`")
    return Reply(
        say=found["say"].words() if "say" in found else "",
        wav=wav,
        heard=found["heard"].text() if "heard" in found else None,
        match=found["match"].pattern() if "match" in found else None,
        call=_call(found["call"]) if "call" in found else None,
        think_ms=found["think_ms"].whole(0, _LONGEST_MS) if "think_ms" in found else None,
    )


def _call(place: _Place) -> Call:
    found = place.table(("function", "args", "say"))
    if "function" not in found:
        raise place.wrong("`function` is missing: the name of the function, or a pattern such as *order*")
    args = found["args"].data() if "args" in found else {}
    if not isinstance(args, dict):
        raise found["args"].wrong("expected a table of arguments")
    return Call(found["function"].text(), args, found["say"].words() if "say" in found else "")


def _fault(place: _Place) -> Fault:
    found = place.table(("when", "nth", "after_ms", "go_away_ms", "close"))
    if "when" not in found:
        raise place.wrong(f"`when` is missing: one of {', '.join(MOMENTS)}")
    when = found["when"].text()
    if when not in MOMENTS:
        raise found["when"].wrong(f"expected one of {', '.join(MOMENTS)}")
    if ("close" in found) == ("go_away_ms" in found):
        raise place.wrong("expected exactly one of `close` and `go_away_ms`")
    return Fault(
        when=when,
        nth=found["nth"].whole(1, 1_000_000) if "nth" in found else None,
        after_ms=found["after_ms"].whole(0, _LONGEST_MS) if "after_ms" in found else 0,
        go_away_ms=found["go_away_ms"].whole(0, _LONGEST_MS) if "go_away_ms" in found else None,
        close=_close(found["close"]) if "close" in found else None,
    )


def _close(place: _Place) -> tuple[int, str]:
    found = place.table(("code", "reason"))
    if "code" not in found:
        raise place.wrong(
            "`code` is missing: a WebSocket close code such as 1011; 1006 cuts the connection without a word"
        )
    code = found["code"].whole(1000, 4999)
    if code in (1004, 1005, 1015) or 1016 <= code < 3000:
        raise found["code"].wrong("no server can send this code; 1000-1003, 1006-1014 and 3000-4999 can be used")
    return code, found["reason"].text() if "reason" in found else ""
