"""Which messages are meant: topics with shell wildcards (`event.*`), or edges as a configuration writes them.

`gain/voice` is what stage `gain` says of stream `voice`; `gain/*` all streams of it; `gain/event.*` all its events.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Sequence


class Patterns:
    """A choice of messages; an empty one means all."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._patterns = [_split(pattern) for pattern in patterns]

    def fit(self, src: str, topic: str) -> bool:
        """True if a message of `src` with this topic is meant."""
        return not self._patterns or any(
            fnmatch.fnmatchcase(src, who) and fnmatch.fnmatchcase(topic, what) for who, what in self._patterns
        )

    def strangers(self, stages: Collection[str]) -> list[str]:
        """The stages that are meant by their full name and are not among these."""
        named = dict.fromkeys(who for who, _ in self._patterns if not any(mark in who for mark in "*?["))
        return [who for who in named if who not in stages]

    @property
    def topics(self) -> tuple[str, ...]:
        """Prefixes to subscribe to, none within another: what is not wanted shall not even travel."""
        if not self._patterns:
            return ("",)
        prefixes = sorted({_prefix(what) for _, what in self._patterns})
        return tuple(one for one in prefixes if not any(one != other and one.startswith(other) for other in prefixes))


def _split(pattern: str) -> tuple[str, str]:
    who, slash, what = pattern.rpartition("/")
    if not slash:
        return "*", what
    return who, what if "." in what else f"audio.{what}"


def _prefix(pattern: str) -> str:
    ends = [place for mark in "*?[" if (place := pattern.find(mark)) >= 0]
    return pattern[: min(ends)] if ends else pattern
