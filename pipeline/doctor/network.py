"""The way to the service: name, proxy, portal, certificate, clock. A few small requests, 5 s each at most."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urlsplit

from pipeline import proxies
from pipeline.doctor.findings import Finding
from pipeline.proxies import Proxy

PATIENCE_S = 5.0
PORTAL = "http://connectivitycheck.gstatic.com/generate_204"
"""Answers 204 and nothing else, wherever no portal stands between."""
OFF_S, WRONG_S = 10.0, 600.0
"""Clock: worth a word; certificates and tokens may be refused."""

_T = TypeVar("_T")


def check(url: str, environ: Mapping[str, str], portal: str = PORTAL) -> list[Finding]:
    """The way to `url` (https). A service on this machine is asked for its certificate alone."""
    parts = urlsplit(url if "//" in url else f"https://{url}")
    host, port = parts.hostname or "", parts.port or 443
    cafile = environ.get("SSL_CERT_FILE") or None
    near = host in ("localhost", "127.0.0.1", "::1")
    if wrong := proxies.unfit(environ):
        return [Finding("proxy", "bad", *wrong)]
    proxy = proxies.on_the_way(host, environ)
    findings = [*reached(proxy)] if near else [dns(host, proxy), *reached(proxy), captive(portal)]
    tls, date = encrypted(host, port, proxy, cafile)
    findings.append(tls)
    if not near:
        findings.append(clock(date, time.time()))
    return findings


def dns(host: str, proxy: Proxy | None = None) -> Finding:
    """Whether the name is known here."""
    began = time.monotonic()
    found = _within(lambda: socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM))
    took_ms = (time.monotonic() - began) * 1000
    if isinstance(found, list) and found:
        return Finding("dns", "ok", f"{host} is {found[0][4][0]}, {took_ms:.0f} ms")
    why = "no answer" if found is None else str(found)
    if proxy:  # the proxy resolves
        return Finding("dns", "ok", f"{host} is not known here ({why}); the proxy has to know it")
    return Finding("dns", "bad", f"{host}: {why}", "connect the network; check the name server (resolvectl status)")


def reached(proxy: Proxy | None) -> list[Finding]:
    """Whether the proxy that is set takes connections."""
    if proxy is None:
        return []
    try:
        socket.create_connection(proxy.place, PATIENCE_S).close()
    except OSError as error:
        return [Finding("proxy", "bad", f"{proxy}: {error}", f"correct or unset {proxy.variable}")]
    return [Finding("proxy", "ok", f"{proxy} takes connections")]


def captive(url: str) -> Finding:
    """Whether somebody answers in the place of the internet."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    opener = urllib.request.build_opener(Stay)
    try:
        with opener.open(url, timeout=PATIENCE_S) as answer:
            code, where = answer.status, ""
    except urllib.error.HTTPError as error:
        code, where = error.code, error.headers.get("Location", "")
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Finding(
            "portal", "warning", f"not known: {getattr(error, 'reason', error)}", "see the lines on the network"
        )
    if code == 204:
        return Finding("portal", "ok", "none")
    to = f" to {where[:100]}" if where else ""
    remedy = "sign this machine in (a browser behind the same address), or have its address let through"
    return Finding("portal", "bad", f"a portal answers for the internet (HTTP {code}{to})", remedy)


def encrypted(host: str, port: int, proxy: Proxy | None, cafile: str | None) -> tuple[Finding, str]:
    """Whether the service's certificate is good here, and its `Date` for the clock ("" if it gave none)."""
    try:
        context = ssl.create_default_context(cafile=cafile)
    except (OSError, ssl.SSLError) as error:
        return Finding("tls", "bad", f"SSL_CERT_FILE {cafile}: {error}", "correct or unset SSL_CERT_FILE"), ""
    try:
        if proxy:
            line = http.client.HTTPSConnection(*proxy.place, timeout=PATIENCE_S, context=context)
            line.set_tunnel(host, port)
        else:
            line = http.client.HTTPSConnection(host, port, timeout=PATIENCE_S, context=context)
        began = time.monotonic()
        line.connect()
        took_ms = (time.monotonic() - began) * 1000
    except ssl.SSLCertVerificationError as error:
        return _certificate(error, host), ""
    except (OSError, ValueError, http.client.HTTPException) as error:
        if proxy:
            return Finding("tls", "bad", f"{host}:{port} through {proxy}: {error}", proxy.remedy), ""
        remedy = "open port 443 to it in the firewall, or set HTTPS_PROXY"
        return Finding("tls", "bad", f"{host}:{port}: {error}", remedy), ""
    date = ""
    with contextlib.suppress(OSError, http.client.HTTPException):
        line.request("HEAD", "/", headers={"User-Agent": "voice-pipeline-doctor"})
        date = line.getresponse().headers.get("Date", "")
    line.close()
    return Finding("tls", "ok", f"{host}:{port}, {took_ms:.0f} ms"), date


def _certificate(error: ssl.SSLCertVerificationError, host: str) -> Finding:
    words = error.verify_message or str(error)
    if "expired" in words or "not yet valid" in words:
        return Finding("tls", "bad", f"{host}: {words}", "set the clock (timedatectl set-ntp true), then look again")
    remedy = "somebody opens this traffic (a proxy or portal): install its certificate, or have this host let through"
    return Finding("tls", "bad", f"{host}: {words}", remedy)


def clock(date: str, now_s: float) -> Finding:
    """This machine's clock beside a `Date` of HTTP."""
    try:
        there_s = parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return Finding("clock", "skipped", "the service told no time")
    off_s = now_s - there_s
    if abs(off_s) < OFF_S:
        return Finding("clock", "ok", f"within {max(1.0, abs(off_s)):.0f} s of the service's")
    words = f"{abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'} the service's"
    return Finding("clock", "bad" if abs(off_s) > WRONG_S else "warning", words, "timedatectl set-ntp true")


def _within(call: Callable[[], _T]) -> _T | Exception | None:
    """Its result, or its error; None if it takes longer than PATIENCE_S: a resolver can't be told to hurry."""
    results: list[_T | Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except OSError as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    return results[0] if results else None
