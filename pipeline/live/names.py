"""Whether the name of the service is known, asked before it is dialled: a resolver that never answers can't be hurried.

asyncio asks in threads of its own, each of which stays in the question for 10 to 30 s after the dialling was given up:
they become more with each try, and a stage that is told to stop waits for them until it is killed.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import urllib.request
from concurrent.futures import Future
from urllib.parse import urlsplit

PATIENCE_S = 4.0
"""Less than a try to connect takes, so that it is known what did not answer."""

_asked: dict[str, Future[None]] = {}
"""One question at a time for each name."""


async def known(where: str) -> None:
    """Wait until the name in `where`, HOST or HOST:PORT, is resolved, by a proxy if one is set. Raises socket.gaierror,
    also for a resolver that takes longer than PATIENCE_S: the same question is waited for by who comes next."""
    host = urlsplit(f"//{where}").hostname or where
    if "https" in urllib.request.getproxies() and not urllib.request.proxy_bypass(host):
        return
    asked = _asked.get(host)
    if asked is None or asked.done():
        asked = _asked[host] = Future()
        asked.set_running_or_notify_cancel()  # from here on no cancelled wait ends it
        threading.Thread(target=_ask, args=(host, asked), daemon=True).start()
    try:
        await asyncio.wait_for(asyncio.wrap_future(asked), PATIENCE_S)
    except TimeoutError:
        raise socket.gaierror(socket.EAI_AGAIN, "the name service does not answer") from None


def _ask(host: str, asked: Future[None]) -> None:
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        asked.set_exception(error)
    else:
        asked.set_result(None)
