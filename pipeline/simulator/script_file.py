"""Reads a script from YAML and says what is wrong with it by file, line and key.

Scalars are taken by what their place expects, so `say: no` is the word "no" and not a boolean.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from pipeline.simulator.fault import Fault
from pipeline.simulator.interaction import PLACES
from pipeline.simulator.script import Call, Limits, Reply, Script
from pipeline.simulator.script_faults import read_chunks, read_fault, read_speed
from pipeline.simulator.script_place import LONGEST_MS, Place, ScriptError

VERSION = 1
DEFAULT = Path(__file__).parent / "default.yaml"


def load_script(path: Path | None) -> Script:
    """The script in `path`, or the built-in conversation. Raises `ScriptError`.

    A script without `spoken` or `text` has those of the built-in conversation; an empty list answers nothing.
    """
    if path is None:
        return _read(DEFAULT, Script())
    return _read(path, _read(DEFAULT, Script()))


def _read(path: Path, usual: Script) -> Script:
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ScriptError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ScriptError(f"{path}: is not UTF-8 text: {error}") from error
    root = _composed(path, text)
    if root is None:
        raise ScriptError(f"{path}: is empty; write at least `version: {VERSION}`")
    return _script(Place(path, root, "script"), usual)


def read_faults(text: str, source: Path) -> list[Fault]:
    """One fault or a list of them, from YAML or JSON; `source` names the text in errors. Raises `ScriptError`."""
    root = _composed(source, text)
    if root is None:
        raise ScriptError(f"{source}: is empty; write a fault such as {{when: now, close: internal}}")
    place = Place(source, root, "faults")
    return [read_fault(item) for item in (place.items() if isinstance(root, yaml.SequenceNode) else [place])]


def _composed(path: Path, text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ScriptError(f"{path}{line}: is not YAML: {getattr(error, 'problem', None) or error}") from error


_KEYS = (
    "version",
    "language",
    "notice",
    "think_ms",
    "speed",
    "chunk_bytes",
    "keys",
    "models",
    "seed",
    "limits",
    "usage",
    "interaction_status",
    "bursts",
    "state",
    "spoken",
    "text",
    "faults",
)

_FIELDS = {"bursts": "hears_bursts"}


def _script(root: Place, usual: Script) -> Script:
    found = root.table(_KEYS)
    if "version" not in found:
        raise root.wrong(f"`version: {VERSION}` is missing")
    version = found.pop("version")
    if version.text() != str(VERSION):
        raise version.wrong(f"expected version {VERSION}")
    readers: dict[str, Callable[[Place], Any]] = {
        "language": Place.text,
        "notice": Place.words,
        "think_ms": lambda place: place.whole(0, LONGEST_MS),
        "speed": read_speed,
        "chunk_bytes": read_chunks,
        "keys": lambda place: frozenset(item.text() for item in place.items()),
        "models": lambda place: tuple(item.text() for item in place.items()),
        "seed": lambda place: place.whole(0, 1 << 31),
        "limits": _limits,
        "state": lambda place: place.path.parent / place.text(),
        "usage": lambda place: place.one_of(("turn", "cumulative", "none")),
        "interaction_status": lambda place: place.one_of(PLACES),
        "bursts": lambda place: place.one_of(("heard", "ignored")) == "heard",
        "spoken": lambda place: tuple(_reply(item, ("heard",)) for item in place.items()),
        "text": lambda place: tuple(_reply(item, ("match",)) for item in place.items()),
        "faults": lambda place: tuple(map(read_fault, place.items())),
    }
    conversation = {"spoken": usual.spoken, "text": usual.text}
    read = {_FIELDS.get(name, name): readers[name](place) for name, place in found.items()}
    return Script(**conversation | read)


def _reply(place: Place, more: tuple[str, ...]) -> Reply:
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
        think_ms=found["think_ms"].whole(0, LONGEST_MS) if "think_ms" in found else None,
    )


def _call(place: Place) -> Call:
    found = place.table(("function", "args", "say"))
    if "function" not in found:
        raise place.wrong("`function` is missing: the name of the function, or a pattern such as *order*")
    args = found["args"].data() if "args" in found else {}
    if not isinstance(args, dict):
        raise found["args"].wrong("expected a table of arguments")
    return Call(found["function"].text(), args, found["say"].words() if "say" in found else "")


def _limits(place: Place) -> Limits:
    found = place.table(("connection_s", "go_away_s", "audio_s", "video_s", "context_tokens", "handle_s"))
    return Limits(**{name: _limit(value) for name, value in found.items()})


def _limit(place: Place) -> float | None:
    return None if place.text() == "never" else place.number(0, LONGEST_MS)
