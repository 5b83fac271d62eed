"""What the configuration says of functions and MCP servers, as tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pipeline.config.kinds import Range

Scheduling = Literal["interrupt", "when_idle", "silent"]
Deadline = Annotated[float, Range(0.05, 110)]
"""Seconds. Below the 120 s after which the session answers for a stage that says nothing any more."""


@dataclass(frozen=True, kw_only=True)
class How:
    """How the calls of a function are treated."""

    deadline_s: Deadline | None = None
    """From the call to its answer; None: the stage's own `deadline_s`."""
    cache_s: Annotated[float, Range(0)] = 0
    """For so long an equal call has the same answer without being run."""
    blocking: bool = False
    """True: the model waits for the answer; False: it may go on talking, where it can."""
    scheduling: Scheduling = "when_idle"
    """What the model does with an answer that it did not wait for."""
    announce: bool = False
    """Ask the model to say itself that it takes a moment; then no filler is played."""
    idempotent: bool = False
    """May be run again when the stage died in mid-call; False: the model is told that nobody knows whether it was."""
    tells: str = ""
    """An event to publish when it has succeeded: `end_visit`, or one for a stage of your own."""


@dataclass(frozen=True, kw_only=True)
class Function(How):
    """One function of a module."""

    use: str
    """`module:function`."""


@dataclass(frozen=True, kw_only=True)
class Server(How):
    """A program that offers functions by the Model Context Protocol on its stdin and stdout."""

    command: list[str]
    """Program and arguments; a program with a slash is found from the folder of the configuration."""
    env: dict[str, str] = field(default_factory=dict)
    """Its environment, besides HOME, PATH and the like."""
    only: list[str] = field(default_factory=list)
    """The functions to take; empty: all."""
    prefix: str = ""
    """Before the name of each, where two servers use the same."""
