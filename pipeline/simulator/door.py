"""Which paths are served, and who is let in."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from pipeline.simulator.refusal import bad_key, no_key

_GEMINI = re.compile(
    r"(?:.*/)?/?ws/google\.ai\.generativelanguage\.(v1|v1beta|v1alpha)"
    r"\.GenerativeService\.BidiGenerateContent(Constrained)?"
)
_VERTEX = re.compile(r"(?:.*/)?/?ws/google\.cloud\.aiplatform\.(v1|v1beta1)\.LlmBidiService/BidiGenerateContent")
_TOKEN = "auth_tokens/"


@dataclass(frozen=True)
class Door:
    """One path of the service. `constrained`: for short-lived tokens. `vertex`: the cloud platform's own."""

    version: str
    constrained: bool = False
    vertex: bool = False


def find_door(target: str) -> Door | None:
    """The door behind a request's path, or None. A base URL may put a prefix or a second slash before it."""
    path = urlsplit("//host" + target).path
    if found := _GEMINI.fullmatch(path):
        return Door(found.group(1), constrained=bool(found.group(2)))
    if found := _VERTEX.fullmatch(path):
        return Door(found.group(1), vertex=True)
    return None


def admit(door: Door, target: str, headers: Mapping[str, str], keys: Collection[str] | None) -> str:
    """How the client showed who it is: "header", "query" or "token". Raises `Refused`.

    `keys` None lets any credential in that is not empty.
    """
    query = parse_qs(urlsplit("//host" + target).query)
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    token = bearer.strip() if scheme.lower() in ("bearer", "token") else query.get("access_token", [""])[0]
    shown = {
        "header": headers.get("x-goog-api-key", "").strip(),
        "query": query.get("key", [""])[0].strip(),
        "token": token.strip(),
    }
    if not door.constrained and shown["token"].startswith(_TOKEN):
        raise no_key("a token is taken only by …BidiGenerateContentConstrained")
    style = next((name for name, secret in shown.items() if secret), None)
    if style is None:
        raise no_key("no x-goog-api-key header and no ?key=, or an empty one")
    if keys is not None and shown[style] not in keys:
        raise bad_key()
    return style
