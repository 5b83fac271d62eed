"""A proxy that is dead, or that nobody can read, is named by its variable, and not the service behind it."""

from __future__ import annotations

import asyncio

import pytest

from pipeline.live import gemini
from pipeline.live.failures import Failure, LineFailed
from pipeline.live.service import Target

pytestmark = pytest.mark.unit

TARGET = Target("gemini", "service.test:443", key="nobody")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("https", "http", "all", "wss", "no"):
        monkeypatch.delenv(f"{kind}_proxy", raising=False)
        monkeypatch.delenv(f"{kind}_proxy".upper(), raising=False)


def failure_of_dialling() -> Failure:
    with pytest.raises(LineFailed) as caught:
        asyncio.run(gemini.dial(TARGET, "m", {}))
    return caught.value.failure


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY"])
def test_a_proxy_that_refuses(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    failure = failure_of_dialling()
    assert failure.words == f"the proxy 127.0.0.1:1 ({variable}) refuses connections"
    assert (failure.kind, variable in failure.remedy) == ("proxy", True)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_a_proxy_that_nobody_can_read(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "rubbish::/")
    gemini.warm_up.cache_clear()
    gemini.warm_up()
    failure = failure_of_dialling()
    assert (failure.kind, failure.fatal, variable in failure.words) == ("proxy", False, True)
