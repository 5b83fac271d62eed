"""The loop of a stage with `async def run`: the same turns, driven by asyncio."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Container
from typing import TYPE_CHECKING, Any

from pipeline import exits

if TYPE_CHECKING:
    from pipeline.stage.link import Link
    from pipeline.stage.stage import Stage

SAME_S = 0.001
"""A timer that is set for that much before or after need not be set anew."""


def run(stage: Stage, link: Link) -> None:
    """Run `stage.run()` and the bus in one asyncio loop until either ends. What `run` raises comes out here."""
    asyncio.run(_run(stage, link))


async def _run(stage: Any, link: Link) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    turns = _Turns(link, loop, stopped)
    link.wake = turns.soon
    for descriptor in link.descriptors():
        loop.add_reader(descriptor, turns.now, (descriptor,))
    if link.brief.lifeline is not None:
        loop.add_reader(link.brief.lifeline, os._exit, exits.CRASH)
    turns.soon()
    work = asyncio.create_task(stage.run())
    stop = asyncio.create_task(stopped.wait())
    await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
    turns.close()
    if turns.error is not None:
        work.cancel()
        raise turns.error
    if work.done():
        work.result()
        if not link.stopping:
            raise RuntimeError("run() returned: a stage whose work is complete says self.ended()")
    work.cancel()
    stop.cancel()
    await asyncio.wait({work}, timeout=stage.grace_s)


class _Turns:
    """Calls `link.turn` when a socket has something, a timer is due, or a send may have eaten the socket's edge.

    A descriptor of libzmq announces once, and only a turn that empties the socket arms it again. What
    there is to do after a turn waits for those whom the turn has woken: audio that it brought goes on first.
    """

    def __init__(self, link: Link, loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
        self._link, self._loop, self._stopped = link, loop, stopped
        self._settling: asyncio.Handle | None = None
        self._later: asyncio.TimerHandle | None = None
        self._wait_s: float | None = None
        self._wanted = self._turning = self._closed = False
        self.error: Exception | None = None
        """What a callback of the stage raised: asyncio would only log it, and the stage would live on half dead."""

    def soon(self) -> None:
        """Have a turn after the present one."""
        self._wanted = True
        self._settle_soon()

    def now(self, ready: Container[int] = ()) -> None:
        """One turn. `ready`: descriptors that announced something."""
        if self._turning or self._closed:
            return
        self._turning, self._wanted = True, False
        try:
            self._wait_s = self._link.turn(ready)
        except Exception as error:
            self.error = error
            self._stopped.set()
            return
        finally:
            self._turning = False
        if self._link.stopping:
            self._stopped.set()
            return
        self._settle_soon()

    def _settle_soon(self) -> None:
        if self._settling is None and not self._closed:
            self._settling = self._loop.call_soon(self._settle)

    def _settle(self) -> None:
        """Another turn at once if there is something to do, else one when it is time."""
        self._settling = None
        ready = self._link.announced()
        if ready or self._wanted or self._wait_s == 0.0:
            self.now(ready)
            return
        due_s = None if self._wait_s is None else self._loop.time() + self._wait_s
        if self._later is not None:
            if due_s is not None and abs(self._later.when() - due_s) < SAME_S:
                return
            self._later.cancel()
        self._later = None if due_s is None else self._loop.call_at(due_s, self._on_time)

    def _on_time(self) -> None:
        self._later = None
        self.now()

    def close(self) -> None:
        """No more turns."""
        self._closed = True
        for handle in (self._settling, self._later):
            if handle is not None:
                handle.cancel()
