"""The proxies that the environment names: by which variable, and whether they can be read at all."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

KINDS = ("https", "http", "all")
"""Those that the Google SDK reads, whichever it needs."""


class Proxy(NamedTuple):
    """One of them."""

    variable: str
    url: str

    @property
    def place(self) -> tuple[str, int]:
        """Host and port. Raises ValueError."""
        parts = urlsplit(self.url if "//" in self.url else f"http://{self.url}")
        if not parts.hostname:
            raise ValueError("there is no host in it")
        return parts.hostname, parts.port or 80

    @property
    def remedy(self) -> str:
        """What helps when it takes nobody through."""
        return f"correct or unset {self.variable}, or see to the proxy"

    def __str__(self) -> str:
        host, port = self.place
        return f"the proxy {host}:{port} ({self.variable})"


def named(kind: str, environ: Mapping[str, str] = os.environ) -> Proxy | None:
    """The proxy of a kind; as everywhere, the name in small letters comes first."""
    for variable in (f"{kind}_proxy", f"{kind}_proxy".upper()):
        if url := environ.get(variable, "").strip():
            return Proxy(variable, url)
    return None


def on_the_way(host: str, environ: Mapping[str, str] = os.environ) -> Proxy | None:
    """The proxy by which `host` is reached over TLS; None if it is reached straight."""
    exempt = named("no", environ)
    if exempt and urllib.request.proxy_bypass_environment(host, {"no": exempt.url}):  # type: ignore[attr-defined]
        return None
    return named("wss", environ) or named("https", environ)


def unfit(environ: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """What is wrong with the first that nobody can read, without its text (a password may be in it), and the remedy."""
    for proxy in filter(None, (named(kind, environ) for kind in KINDS)):
        try:
            str(proxy)
        except ValueError:
            remedy = f"correct or unset {proxy.variable}: http://HOST:PORT"
            return f"the proxy in {proxy.variable} can't be read", remedy
    return None
