"""A name service that never answers: the loop goes on, it is said what is missing, and threads do not pile up."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from pipeline.live import names

pytestmark = pytest.mark.unit


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, list[str]]:
    """One that answers when the event is set, and whom it was asked for."""
    answers, asked = threading.Event(), []

    def getaddrinfo(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        assert answers.wait(10)
        if host == "nobody.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(names, "PATIENCE_S", 0.05)
    for proxy in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    return answers, asked


def test_a_resolver_that_hangs_is_named_and_asked_once(resolver: tuple[threading.Event, list[str]]) -> None:
    answers, asked = resolver

    async def dial() -> None:
        for _ in range(3):
            with pytest.raises(socket.gaierror, match="the name service does not answer"):
                await names.known("service.test:443")
        answers.set()
        await names.known("service.test:443")
        await names.known("[::1]:8080")
        with pytest.raises(socket.gaierror, match="not known"):
            await names.known("nobody.test")

    asyncio.run(dial())
    assert asked[0] == "service.test"
    assert asked.count("service.test") <= 2
    assert asked[-2:] == ["::1", "nobody.test"]


def test_a_proxy_asks_by_itself(resolver: tuple[threading.Event, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    asyncio.run(names.known("service.test"))
    assert resolver[1] == []
