"""What a stage process is told when it is started: environment variables, one of them a JSON object."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class NotStarted(Exception):
    """The process was not started by a supervisor."""


@dataclass(frozen=True)
class Brief:
    """Name, sockets, wiring and options of one stage process."""

    name: str
    inst: int
    """Counter issued by the supervisor; a new one means that the stage was restarted."""
    run_dir: Path
    state_dir: Path
    config_dir: Path
    bind: str
    control: str
    peers: Mapping[str, str]
    """Endpoint of every other stage's bus, and the supervisor's, by name."""
    inputs: Mapping[str, str]
    """Producer of each stream that this stage reads."""
    use: str = ""
    """`module:Class`."""
    emits: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    language: str = "en-GB"
    log_level: str = "info"
    restarts: int = 0
    """How often this stage was restarted since the pipeline was started."""
    crashes: int = 0
    """How often in a row it crashed by itself just before."""
    curve: Mapping[str, Any] | None = None
    """Keys of machines, where the pipeline is on several; see bus/curve."""
    remote: bool = False
    """On another machine than the supervisor, whose clock is another one."""
    lifeline: int | None = None
    """Descriptor that reads end-of-file when the supervisor is gone."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Brief:
        """Raises NotStarted when the variables are absent, KeyError and ValueError when they are damaged."""
        if "PIPELINE_WIRING" not in environ:
            raise NotStarted("PIPELINE_WIRING is not set: stages are started by `voice-pipeline run CONFIG`")
        wiring = json.loads(environ["PIPELINE_WIRING"])
        lifeline = environ.get("PIPELINE_LIFELINE")
        return cls(
            name=environ["PIPELINE_STAGE"],
            inst=int(environ["PIPELINE_INST"]),
            run_dir=Path(environ["PIPELINE_RUN"]),
            state_dir=Path(wiring.get("state_dir") or environ["PIPELINE_RUN"]),
            config_dir=Path(wiring.get("config_dir") or "."),
            bind=wiring["bind"],
            control=wiring["control"],
            peers=wiring.get("peers", {}),
            inputs=wiring.get("inputs", {}),
            use=wiring.get("use") or "",
            emits=tuple(wiring.get("emits", ())),
            options=wiring.get("options", {}),
            language=wiring.get("language", "en-GB"),
            log_level=wiring.get("log_level", "info"),
            restarts=int(wiring.get("restarts", 0)),
            crashes=int(wiring.get("crashes", 0)),
            curve=wiring.get("curve"),
            remote=wiring.get("remote") is True,
            lifeline=int(lifeline) if lifeline else None,
        )
