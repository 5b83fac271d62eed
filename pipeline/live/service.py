"""Where the service is that answers. Pure but for one small file that the simulator of the pipeline writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.config.service import STANDS_IN
from pipeline.live.failures import RARE_S, SOON_S, Failure, LineFailed

Service = Literal["gemini", "vertex", "simulator"]
KEYS = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
VERTEX = ("GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_ENTERPRISE")
SIMULATOR_FILE = "simulator.json"
"""In the run directory: `{"url": …, "cert": …}`, written anew each time that the simulator starts."""

NO_KEY = "neither GOOGLE_API_KEY nor GEMINI_API_KEY is set"
GIVE_KEY = (
    "write `key_file: FILE`, a file with your key in it, under `session`, then `voice-pipeline reload`; or start again "
    "with GOOGLE_API_KEY set"
)


@dataclass(frozen=True, slots=True)
class Target:
    """A service to dial."""

    service: Service
    where: str
    """Host and port, for a person."""
    url: str | None = None
    """Base URL; None where the SDK's own environment says it."""
    cert: Path | None = None
    """The certificate to trust; None for those that the machine trusts."""
    key: str = field(default="", repr=False)
    """A key or token; empty where the SDK finds its way itself."""
    key_from: str = ""
    """Where that came from, for a person."""
    project: str = ""
    location: str = ""
    api_version: str = ""


def has_key(environ: Mapping[str, str]) -> bool:
    """The environment lets the SDK talk to the real service: a key, or Vertex AI."""
    return any(environ.get(name, "").strip() for name in KEYS) or uses_vertex(environ)


def uses_vertex(environ: Mapping[str, str]) -> bool:
    """The environment asks the SDK for Vertex AI, as the SDK itself reads it."""
    return any(environ.get(name, "").strip().lower() in ("true", "1") for name in VERTEX)


def standing_in(service: Service, environ: Mapping[str, str]) -> tuple[str, str]:
    """What a person must know while the simulator answers in place of the service, and what to do about it; empty for a
    service. `auto` was settled before this stage began, so the remedy is one that helps whatever is written."""
    if service != "simulator":
        return "", ""
    if has_key(environ):
        return STANDS_IN, "a key is set: write `service: auto` under `session`, then `voice-pipeline reload`"
    return f"{STANDS_IN}: {NO_KEY}", f"see that `service` under `session` is `auto`; {GIVE_KEY}"


def target(service: Service, environ: Mapping[str, str], run_dir: Path, *, said: bool = False) -> Target:
    """Where to dial now; `said`: the options say with which key. Raises LineFailed while that is not known."""
    if service == "simulator":
        return _simulator(run_dir / SIMULATOR_FILE)
    vertex = service == "vertex" or (uses_vertex(environ) and not said)
    if not vertex and not said and not has_key(environ):
        raise LineFailed(Failure("key", NO_KEY, GIVE_KEY, wait_cap_s=RARE_S))
    url = environ.get("GOOGLE_VERTEX_BASE_URL" if vertex else "GOOGLE_GEMINI_BASE_URL", "")
    usual = "aiplatform.googleapis.com" if vertex else "generativelanguage.googleapis.com"
    return Target(service, url.split("://")[-1].strip("/") or usual)


def _simulator(path: Path) -> Target:
    try:
        found = json.loads(path.read_text("utf-8"))
        url, cert = str(found["url"]), Path(str(found["cert"]))
    except FileNotFoundError:
        words = f"the simulator has not started ({path} is not there)"
        raise LineFailed(Failure("absent", words, "", wait_cap_s=SOON_S)) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        words = f"{path} can't be read ({error})"
        raise LineFailed(Failure("absent", words, "restart the simulator stage", wait_cap_s=SOON_S)) from None
    return Target("simulator", url.split("://")[-1], url, cert)
