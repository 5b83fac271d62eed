"""What a script can say, as plain data. script_file.py reads it from YAML; default.yaml is the commented example."""

import fnmatch
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.simulator.fault import Fault

_BLANK = re.compile(r"\{([A-Za-z0-9_.]+)\}")
_BLANK_NAME = re.compile(r"result(\.\w+)*|previous|turn|\d+")


@dataclass(frozen=True)
class Call:
    """A function that the model calls before it answers. `function` is a pattern (`*order*`); `say` is said first."""

    function: str
    args: Mapping[str, Any] = field(default_factory=dict)
    say: str = ""

    def choose(self, declared: Collection[str]) -> str | None:
        """The first declared function that fits."""
        return next((name for name in declared if fnmatch.fnmatchcase(name, self.function)), None)


@dataclass(frozen=True)
class Reply:
    """One thing to answer. `heard` is the transcript of the spoken turn it answers, `match` the typed turn it fits."""

    say: str = ""
    wav: Path | None = None
    heard: str | None = None
    match: re.Pattern[str] | None = None
    call: Call | None = None
    think_ms: int | None = None


@dataclass(frozen=True)
class Limits:
    """What the service ends by itself, in seconds; None: never.

    A connection after `connection_s`, announced `go_away_s` before (None: not at all). A session, over all its
    connections, after `audio_s` or, once it has seen an image, after `video_s`, and when its context holds more than
    `context_tokens`; compression lifts these three. A handle `handle_s` after it was issued.
    """

    connection_s: float | None = 590.0
    go_away_s: float | None = 50.0
    audio_s: float | None = 900.0
    video_s: float | None = 120.0
    context_tokens: float | None = 131_072.0
    handle_s: float | None = 7200.0


@dataclass(frozen=True)
class Script:
    """A whole script with its defaults.

    `chunk_bytes` are the sizes in which audio leaves, the last one repeating; `speed` is how much faster than real
    time. `keys` None takes any key that is not empty. `usage`: what token counts cover: `turn`, `cumulative`, `none`.
    `interaction_status`: where it stands in a message, see interaction.py.
    `state` is a file in which sessions and handles outlive the server.
    `hears_bursts` False: speech that comes faster than real time is heard only if `audioStreamEnd` follows it.
    """

    spoken: tuple[Reply, ...] = ()
    text: tuple[Reply, ...] = ()
    faults: tuple[Fault, ...] = ()
    language: str = "en-GB"
    notice: str = "This is the simulator on this machine, not the real service."
    think_ms: int = 200
    speed: float = 3.0
    chunk_bytes: tuple[int, ...] = (2400, 7680, 9600, 15360)
    seed: int = 0
    usage: str = "turn"
    interaction_status: str = "none"
    state: Path | None = None
    hears_bursts: bool = True
    limits: Limits = field(default_factory=Limits)
    keys: frozenset[str] | None = None
    models: tuple[str, ...] = ("*gemini*",)

    def accepts_model(self, model: str) -> bool:
        """Whether one of the patterns fits `models/NAME`."""
        return any(fnmatch.fnmatchcase(model, pattern) for pattern in self.models)


def blanks(text: str) -> list[str]:
    """Names in braces that no answer can fill."""
    return [name for name in _BLANK.findall(text) if not _BLANK_NAME.fullmatch(name)]


def fill(text: str, values: Mapping[str, Any]) -> str:
    """`text` with `{result.status}` and its like replaced; what is not known then is replaced by nothing."""
    return _BLANK.sub(lambda found: _words(_look_up(values, found.group(1).split("."))), text).strip()


def fill_all(value: Any, values: Mapping[str, Any]) -> Any:
    """`fill` for every string in a structure of lists and maps."""
    if isinstance(value, str):
        return fill(value, values)
    if isinstance(value, Mapping):
        return {key: fill_all(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_all(item, values) for item in value]
    return value


def _look_up(values: Any, path: list[str]) -> Any:
    for name in path:
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


def _words(value: Any) -> str:
    """A function's result as a person would hear it: the values, without keys and braces."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return ", ".join(filter(None, map(_words, value)))
    return str(value)
