"""What is wrong with a configuration, one line each, and the basket in which it is collected."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.config.tree import Origin

SECRET_LENGTH = 4
"""Shorter secrets are not searched for in messages: replacing every `a` would leave nothing to read."""
LONGEST = 2_000
"""Characters of one message; a value of a megabyte is cut."""


@dataclass(frozen=True)
class ConfigError:
    """One thing that is wrong."""

    file: str
    """As a person would type it from where they are; `--set` for the command line."""
    line: int
    """From 1; 0 where there is none."""
    key: str
    """Dotted, as `--set` takes it; empty for the file as a whole."""
    problem: str
    expected: str = ""
    nearest: str = ""
    """The correct name that is nearest to a wrong one."""
    remedy: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        text = sentence(self.problem, self.nearest, self.expected, self.remedy)
        return one_line(": ".join(part for part in (where, self.key, text) if part))


class ConfigErrors(Exception):
    """Everything that is wrong with a configuration, ordered by file and line."""

    def __init__(self, errors: Iterable[ConfigError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))


class Findings:
    """Collects errors while a configuration is read, so that a person repairs all of them in one go."""

    def __init__(self) -> None:
        self._errors: dict[ConfigError, None] = {}
        self.secrets: set[str] = set()
        """Values that no message may show."""

    def add(
        self,
        origin: Origin,
        key: str,
        problem: str,
        *,
        expected: str = "",
        nearest: str = "",
        remedy: str = "",
    ) -> None:
        """Note one error."""
        self.take([ConfigError(origin.file, origin.line, key, problem, expected, nearest, remedy)])

    def take(self, errors: Iterable[ConfigError]) -> None:
        """Note errors that were found elsewhere; the same one twice counts once."""
        self._errors.update(dict.fromkeys(errors))

    def __len__(self) -> int:
        return len(self._errors)

    def raise_any(self) -> None:
        """Raise ConfigErrors if there is any."""
        if self._errors:
            shown = (hide(error, self.secrets) for error in self._errors)
            raise ConfigErrors(sorted(shown, key=lambda error: (error.file, error.line)))


def hide(error: ConfigError, secrets: Iterable[str]) -> ConfigError:
    """The error without these texts."""
    long_enough = sorted((secret for secret in secrets if len(secret) >= SECRET_LENGTH), key=len, reverse=True)

    def hidden(text: str) -> str:
        for secret in long_enough:
            text = text.replace(secret, "***")
        return text

    return ConfigError(
        error.file,
        error.line,
        hidden(error.key),
        hidden(error.problem),
        hidden(error.expected),
        hidden(error.nearest),
        hidden(error.remedy),
    )


def sentence(problem: str, nearest: str, expected: str, remedy: str) -> str:
    """What is wrong, what was perhaps meant, what was expected, what to do."""
    problem += f"; did you mean '{nearest}'?" if nearest else ""
    rest = "; ".join(part for part in (f"expected {expected}" if expected else "", remedy) if part)
    return problem + ((" " if nearest else "; ") + rest if rest else "")


def one_line(text: str) -> str:
    """The text without line breaks and control characters, cut to a length that a terminal survives."""
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


def nearest(word: str, among: Iterable[str], cutoff: float = 0.6) -> str:
    """The name that is most like `word`, or an empty string if none is like it by `cutoff` of 1."""
    import difflib

    names = {name.lower(): name for name in reversed(list(among))}
    near = difflib.get_close_matches(word[:100].lower(), names, n=1, cutoff=cutoff)
    return names[near[0]] if near else ""
