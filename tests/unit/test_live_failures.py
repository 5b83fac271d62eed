"""Each way in which a connection fails has its words, its remedy and its own pace of trying again."""

from __future__ import annotations

import errno
import random
import socket
import ssl
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.live import effects as fx
from pipeline.live.backoff import FIRST_S, SPREAD, STEADY_S, Backoff
from pipeline.live.failures import CALM_S, RARE_S, SOON_S, Failure, of_close, of_error, of_status
from pipeline.live.news import News

pytestmark = pytest.mark.unit

MODEL = "models/X is not found for API version v1beta, or is not supported for bidiGenerateContent."
QUOTA = "You exceeded your current quota, please check your plan…"


@pytest.mark.parametrize("status", [302, 307, 511])
def test_a_portal_in_between_is_named_with_its_remedy_apart(status: int) -> None:
    failure = of_status(status, "<html>Welcome to our Wi-Fi</html>")
    [_, told, _] = News("gemini", "").down(failure, 1, 0.1)
    assert vars_of(told)["kind"] == "network"
    assert "portal" in vars_of(told)["reason"]
    assert vars_of(told)["remedy"] == "log in to the network once, in a browser of this machine"


@pytest.mark.parametrize(
    "failure",
    [of_close(1006, ""), of_error(ConnectionRefusedError(), "127.0.0.1:1"), of_error(TimeoutError(), "127.0.0.1:1")],
    ids=lambda failure: failure.kind,
)
def test_a_simulator_that_is_gone_is_named_and_no_network_is_blamed(failure: Failure) -> None:
    for effect in News("simulator", "").down(failure, 1, 0.1):
        words = effect.reason if isinstance(effect, fx.State) else str(vars_of(effect)["reason"])
        assert "the simulator does not answer" in words
        assert "network" not in words
    [_, told, _] = News("gemini", "").down(of_close(1006, ""), 1, 0.1)
    assert "check the network" in vars_of(told)["reason"]


def vars_of(effect: fx.Effect) -> Mapping[str, Any]:
    assert isinstance(effect, fx.Tell | fx.Note)
    return effect.body if isinstance(effect, fx.Tell) else effect.fields


@pytest.mark.parametrize(
    ("code", "reason", "kind", "cap_s", "forget"),
    [
        (1006, "", "lost", SOON_S, False),
        (1007, "Request contains an invalid argument.", "invalid", CALM_S, True),
        (1007, "Invalid session handle", "handle", SOON_S, True),
        (1007, "The input token count exceeds the maximum number of tokens allowed.", "exhausted", SOON_S, True),
        (1007, "API key not valid. Please pass a valid API key.", "key", RARE_S, False),
        (1008, MODEL, "model", RARE_S, True),
        (1008, "BidiGenerateContent session not found", "handle", SOON_S, True),
        (1008, "The operation was aborted.", "closed", CALM_S, False),
        (1011, QUOTA, "quota", RARE_S, False),
        (1011, "Internal error encountered.", "internal", CALM_S, False),
        (1011, "The service is currently unavailable.", "unavailable", CALM_S, False),
        (1000, "", "closed", SOON_S, False),
        (1001, "", "closed", SOON_S, False),
    ],
)
def test_close_codes(code: int, reason: str, kind: str, cap_s: float, forget: bool) -> None:
    failure = of_close(code, reason)
    assert (failure.kind, failure.wait_cap_s, failure.forget_handle) == (kind, cap_s, forget)
    assert not failure.fatal
    assert reason in failure.words
    assert str(code) in failure.words


def test_while_resuming_the_handle_is_blamed_first() -> None:
    assert of_close(1007, "Request contains an invalid argument.", resuming=True).kind == "handle"
    assert of_close(1008, "Requested entity was not found.", resuming=True).forget_handle


def test_a_model_that_is_not_found_names_those_that_are() -> None:
    assert "gemini-3.8-live" in of_close(1008, MODEL).remedy


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, "key"), (403, "key"), (404, "model"), (407, "proxy"), (429, "rate"), (503, "unavailable"), (400, "invalid")],
)
def test_statuses(status: int, kind: str) -> None:
    failure = of_status(status, "some body")
    assert (failure.kind, failure.code) == (kind, status)


def _certificate(words: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = words
    return error


@pytest.mark.parametrize(
    ("error", "kind", "hint"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "refused", ""),
        (TimeoutError(), "timeout", "network"),
        (socket.gaierror(-3, "Temporary failure in name resolution"), "network", "DNS"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "network", "network"),
        (ConnectionResetError(), "lost", "network"),
        (_certificate("certificate is not yet valid"), "clock", "clock"),
        (_certificate("self-signed certificate"), "tls", "SSL_CERT_FILE"),
        (ssl.SSLError(1, "wrong version number"), "tls", "TLS"),
        (RuntimeError("what is this"), "protocol", "proxy"),
    ],
)
def test_errors_on_the_way(error: Exception, kind: str, hint: str) -> None:
    failure = of_error(error, "service.test:443")
    assert failure.kind == kind
    assert hint in failure.remedy
    assert "service.test:443" in failure.words


@given(st.floats(0.05, 100), st.integers(0, 2_000), st.integers())
def test_waits_double_up_to_the_cap_spread_by_chance_for_ever(cap_s: float, attempts: int, seed: int) -> None:
    backoff = Backoff(random.Random(seed).random)
    for number in range(attempts):
        plain = min(cap_s, FIRST_S * 2 ** min(number, 40))
        assert plain * (1 - SPREAD) <= backoff.next_s(cap_s) <= plain * (1 + SPREAD)
    assert backoff.attempts == attempts


def test_a_service_that_accepts_and_closes_is_not_dialled_in_a_hot_loop() -> None:
    backoff = Backoff(lambda: 0.5)
    waits = []
    for _ in range(20):
        backoff.worked(lived_s=0.01, answered=False)
        waits.append(backoff.next_s(CALM_S))
    assert sum(waits) > 60
    backoff.worked(lived_s=STEADY_S, answered=False)
    assert backoff.next_s(CALM_S) == FIRST_S
    backoff.next_s(CALM_S)
    backoff.worked(lived_s=0.01, answered=True)
    assert backoff.next_s(CALM_S) == FIRST_S


@pytest.mark.parametrize(
    ("words", "today", "kind", "hint"),
    [
        ("certificate is not yet valid", date(1970, 1, 1), "clock", "1970-01-01"),
        ("certificate is not yet valid", date(2027, 1, 1), "clock", "set its clock"),
        ("certificate has expired", date(2099, 1, 1), "clock", "2099-01-01"),
        ("certificate has expired", date(2027, 1, 1), "clock", "renew"),
        ("unable to get local issuer certificate", date(1970, 1, 1), "clock", "1970-01-01"),
        ("unable to get local issuer certificate", date(2027, 1, 1), "tls", "SSL_CERT_FILE"),
    ],
)
def test_a_clock_that_was_never_set_is_told_from_a_bad_certificate(
    words: str, today: date, kind: str, hint: str
) -> None:
    failure = of_error(_certificate(words), "service.test:443", today)
    assert failure.kind == kind
    assert hint in failure.remedy
