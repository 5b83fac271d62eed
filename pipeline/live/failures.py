"""Why a connection failed, in words that say what to do. Pure: a code, a reason or an error in, a `Failure` out.

Everything is tried again, for ever, except a mistake in the configuration: a machine that nobody restarts must find its
own way back when a key is renewed, a clock is set or a quota starts anew. What differs is how often it is tried.
"""

from __future__ import annotations

import errno
import json
import re
import socket
import ssl
from dataclasses import dataclass, replace
from datetime import date

from pipeline.proxies import Proxy

LIVE_MODELS = (
    "gemini-3.8-live",
    "gemini-3.8-live-extended-thinking",
    "gemini-3.1-flash-live-preview",
    "gemini-2.5-flash-native-audio-preview-12-2025",
)
"""Models that hold a spoken conversation, named when the one asked for is not found."""

SOON_S, CALM_S, RARE_S = 0.8, 8.0, 60.0
"""Longest waits between attempts. SOON for what costs the service nothing (no network, refused): the person waits for
an answer, and one attempt a second is one packet. RARE for what only a person or the calendar can mend."""


WRITTEN, LATEST = date(2026, 11, 1), date(2046, 1, 1)
"""A machine that believes to live before or after has a clock that nobody set: without a network it boots in 1970."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One way in which a connection fails."""

    kind: str
    """`network`, `refused`, `timeout`, `tls`, `clock`, `proxy`, `key`, `quota`, `rate`, `invalid`, `exhausted`,
    `model`, `handle`, `unavailable`, `internal`, `lost`, `closed`, `protocol`, `absent` or `configuration`."""
    words: str
    """What happened, for a person."""
    remedy: str = ""
    """What to do about it; empty when waiting is all there is."""
    code: int | None = None
    """Close code of the WebSocket, or HTTP status."""
    wait_cap_s: float = CALM_S
    """Longest wait before the next attempt."""
    forget_handle: bool = False
    """The session cannot be resumed: the next one is fresh."""
    fatal: bool = False
    """The configuration is wrong: trying again cannot help."""

    @property
    def blames_session(self) -> bool:
        """Said by the service of this session, while another one might do."""
        return self.kind in ("internal", "closed") and self.code is not None

    def __str__(self) -> str:
        return f"{self.words}; {self.remedy}" if self.remedy else self.words


class LineFailed(Exception):
    """A connection could not be made, or is no more. `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def at_home(failure: Failure) -> Failure:
    """Of the simulator: it runs on this machine, so no network is to blame."""
    if failure.kind not in ("lost", "refused", "timeout", "network"):
        return failure
    words = f"the simulator does not answer: {failure.words}"
    return replace(failure, words=words, remedy="its stage is started again; if not, its last lines in the log say why")


def of_close(code: int, reason: str, *, model: str = "", resuming: bool = False) -> Failure:
    """The meaning of a close code and the words that came with it.

    `resuming`: the connection offered a handle and was not set up; any 1007 or 1008 then blames the handle first,
    because a fresh session is the cheap way to find out.
    """
    said = reason.strip() or "no reason given"
    words = f"the service closed the connection: {code} {said}"
    low = said.lower()
    if "quota" in low or "billing" in low:
        return Failure("quota", words, "check the plan and the billing of the key's project", code, RARE_S)
    if "api key" in low or "api_key" in low or "unauthenticated" in low or "permission" in low:
        return Failure("key", words, "check GOOGLE_API_KEY or GEMINI_API_KEY", code, RARE_S)
    if ("session" in low and ("handle" in low or "not found" in low)) or "session expired" in low:
        return Failure("handle", words, "a fresh session follows", code, SOON_S, forget_handle=True)
    if code == 1008 and re.search(r"model|not found|not supported|implemented", low) and not resuming:
        return Failure("model", words, f"set `model` to one of: {', '.join(LIVE_MODELS)}", code, RARE_S, True)
    if code in (1007, 1008) and resuming:
        return Failure("handle", words, "a fresh session follows", code, SOON_S, forget_handle=True)
    if code == 1007 and re.search(r"token|context|too long|exceed", low):
        return Failure(
            "exhausted",
            words,
            "a fresh session follows; or set live.context_window_compression",
            code,
            SOON_S,
            forget_handle=True,
        )
    if code == 1007:
        remedy = f"check `model` ({model}), `language`, `voice` and the fields under `live`" if model else ""
        return Failure("invalid", words, remedy, code, CALM_S, forget_handle=True)
    return _of_plain_code(code, words, low)


def _of_plain_code(code: int, words: str, low: str) -> Failure:
    if code == 1006:
        return Failure("lost", "the connection was lost (1006)", "check the network of this machine", code, SOON_S)
    if code == 1008:
        return Failure("closed", words, "", code, CALM_S)
    if code in (1011, 1012, 1013) and "unavailable" in low:
        return Failure("unavailable", words, "", code, CALM_S)
    if code == 1011:
        return Failure("internal", words, "", code, CALM_S)
    return Failure("closed", words, "", code, SOON_S if code in (1000, 1001, 1012) else CALM_S)


def of_status(status: int, body: str = "", *, model: str = "") -> Failure:
    """The meaning of an HTTP status that came instead of a WebSocket, or of an error message inside of one."""
    said = _message(body)
    words = f"the service answered {status}" + (f": {_short(said)}" if said else "")
    if "api key" in body.lower() or status in (401, 403):
        return Failure("key", words, "check GOOGLE_API_KEY or GEMINI_API_KEY", status, RARE_S)
    if status == 404:
        return Failure("model", words, f"check `model` ({model}) and GOOGLE_GEMINI_BASE_URL", status, RARE_S)
    if status == 407:
        return Failure("proxy", words, "the proxy in HTTPS_PROXY asks for a user and a password", status, RARE_S)
    if status == 511 or 300 <= status < 400:
        words = f"a portal of this network answered in place of the service ({status})"
        return Failure("network", words, "log in to the network once, in a browser of this machine", status, CALM_S)
    if status == 429:
        remedy = "too many sessions or requests for this key: give this machine one of its own, or raise its limits"
        return Failure("rate", words, remedy, status, RARE_S)
    if status >= 500:
        return Failure("unavailable", words, "", status, CALM_S)
    return Failure("invalid", words, "check GOOGLE_GEMINI_BASE_URL", status, CALM_S, forget_handle=True)


def of_error(error: BaseException, where: str, today: date | None = None) -> Failure:
    """The meaning of an error of the network or of TLS on the way to `where`, host and port. `today`: the date here."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(error, where, today or date.today())
    if isinstance(error, ssl.SSLError):
        said = getattr(error, "reason", None) or str(error)
        return Failure("tls", f"TLS with {where} failed: {said}", "is that address a TLS server?", None, CALM_S)
    if isinstance(error, socket.gaierror):
        return Failure(
            "network",
            f"the name of {where} is not known ({error.strerror})",
            "check the network and the DNS of this machine",
            None,
            SOON_S,
        )
    if isinstance(error, ConnectionRefusedError):
        remedy = "a firewall or a portal of this network? voice-pipeline doctor"
        return Failure("refused", f"{where} refuses connections", remedy, None, SOON_S)
    if isinstance(error, TimeoutError):
        return Failure("timeout", f"{where} does not answer", "check the network of this machine", None, SOON_S)
    if isinstance(error, ConnectionError | EOFError):
        return Failure(
            "lost",
            f"the connection to {where} broke ({type(error).__name__})",
            "check the network of this machine",
            None,
            SOON_S,
        )
    if isinstance(error, OSError) and error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN):
        return Failure(
            "network", f"no network to {where} ({error.strerror})", "check the network of this machine", None, SOON_S
        )
    if isinstance(error, OSError):
        return Failure("network", f"no connection to {where} ({error.strerror or error})", "", None, SOON_S)
    return Failure(
        "protocol",
        f"{where} spoke no Live API ({type(error).__name__}: {_short(str(error))})",
        "check GOOGLE_GEMINI_BASE_URL and the proxy",
        None,
        CALM_S,
    )


def of_proxied(error: BaseException, where: str, proxy: Proxy) -> Failure:
    """As `of_error`, of a line through a proxy: it is that which refuses, or can't be found."""
    if not isinstance(error, OSError) or isinstance(error, ssl.SSLError):
        return of_error(error, where)
    return replace(of_error(error, str(proxy)), kind="proxy", remedy=proxy.remedy)


def _of_certificate(error: ssl.SSLCertVerificationError, where: str, today: date) -> Failure:
    said = error.verify_message or str(error)
    words = f"the certificate of {where} is refused: {said}"
    if "not yet valid" in said or not WRITTEN <= today < LATEST:
        clock = f"this machine believes that it is {today.isoformat()}: set its clock, or let its time service do it"
        return Failure("clock", words, clock, None, CALM_S)
    if "expired" in said:
        remedy = f"is it {today.isoformat()}? If not, set the clock of this machine; if so, whoever runs {where} must"
        return Failure("clock", words, f"{remedy} renew it", None, CALM_S)
    remedy = "somebody on the way opens TLS: log in to this network's portal, or name its proxy in SSL_CERT_FILE"
    return Failure("tls", words, remedy, None, CALM_S)


def _message(body: str) -> str:
    """What an HTTP error says to people: the service wraps it into JSON, others into a page."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return "" if body.lstrip().startswith("<") else body.strip()


def _short(text: str, limit: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
