"""Which Live API server the session talks to: Gemini when something says how to reach it, else the simulator here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

SESSION: Final = "session"
SIMULATOR: Final = "simulator"
SIMULATOR_USE: Final = "pipeline.stages.simulator:Simulator"
_ENOUGH: Final = ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL")
_VERTEX: Final = ("GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI")


def choose(service: object, environ: Mapping[str, str]) -> Literal["gemini", "simulator"] | None:
    """What `service: auto` stands for; `gemini` and `simulator` are themselves; None for anything else.

    The variables are those of the google-genai SDK, which takes `true` and `1` for yes.
    """
    match service:
        case "gemini":
            return "gemini"
        case "simulator":
            return "simulator"
        case "auto":
            vertex = any(environ.get(name, "").lower() in ("true", "1") for name in _VERTEX)
            return "gemini" if vertex or any(environ.get(name) for name in _ENOUGH) else "simulator"
    return None
