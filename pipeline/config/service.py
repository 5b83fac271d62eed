"""Which Live API server the session talks to: Gemini when something says how to reach it, else the simulator here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

SESSION: Final = "session"
SIMULATOR: Final = "simulator"
STANDS_IN: Final = "THE SIMULATOR ANSWERS, NOT GEMINI"
"""How the reason of a session begins that is well but for that: no fault of the machine."""
SIMULATOR_USE: Final = "pipeline.stages.simulator:Simulator"
_ENOUGH: Final = ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL")
_VERTEX: Final = ("GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI")
_SOURCES: Final = ("key_file", "token_file", "token_command")


def choose(
    service: object, environ: Mapping[str, str], options: Mapping[str, object]
) -> Literal["gemini", "vertex", "simulator"] | None:
    """What `service: auto` stands for, beside the other `options` of the session; the others are themselves; None for
    anything else.

    The variables are those of the google-genai SDK, which takes `true` and `1` for yes.
    """
    match service:
        case "gemini":
            return "gemini"
        case "vertex":
            return "vertex"
        case "simulator":
            return "simulator"
        case "auto":
            if options.get("project"):
                return "vertex"
            if any(options.get(name) for name in _SOURCES):
                return "gemini"
            vertex = any(environ.get(name, "").lower() in ("true", "1") for name in _VERTEX)
            return "gemini" if vertex or any(environ.get(name) for name in _ENOUGH) else "simulator"
    return None
