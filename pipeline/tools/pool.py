"""Who runs the calls: workers for functions, a bounded number of them, and one process for all MCP servers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.tools.process import Process

DROPPED_S = 5.0
"""For the process of the servers to let a late call go; longer, and it hangs itself."""
AGAIN_S = 5.0
"""Before a process that died without having done anything is started again unasked."""
AT_ONCE_S = 0.2
"""Before one that had."""

Starter = Callable[[], Process]
Answered = Callable[[str, Mapping[str, Any]], None]
"""Id of a call and its message: `result`, or `error` and perhaps `traceback`."""


class Workers:
    """Processes that run one function at a time. More than `most` calls wait, for no longer than their deadlines."""

    def __init__(self, start: Starter, most: int, on_answer: Answered, warm: Process | None = None) -> None:
        """`warm`: one that was started before the loop ran."""
        self._start, self._most, self._on_answer = start, most, on_answer
        self._loop = asyncio.get_running_loop()
        self._idle: list[Process] = []
        self._busy: dict[str, Process] = {}
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque()
        self._useful: set[int] = set()
        """Pids of those that have loaded or answered something."""
        if warm is not None:
            self._useful.add(warm.pid)
            self._take(warm)
        else:
            self._keep_warm()

    def run(self, call_id: str, function: int, args: Mapping[str, Any]) -> None:
        """Run a function as soon as there is a worker for it."""
        self._waiting.append((call_id, {"call": call_id, "function": function, "args": dict(args)}))
        self._next()

    def drop(self, call_id: str, *, late: bool) -> None:
        """Nobody waits for this call. What runs is ended: there is no other way out of a function."""
        self._waiting = deque(item for item in self._waiting if item[0] != call_id)
        if (process := self._busy.pop(call_id, None)) is not None:
            process.kill()

    def close(self) -> None:
        """End all of them."""
        for process in [*self._idle, *self._busy.values()]:
            process.close()

    @property
    def count(self) -> int:
        """Processes at present."""
        return len(self._idle) + len(self._busy)

    def _next(self) -> None:
        while self._waiting:
            if not self._idle and self.count >= self._most:
                return
            call_id, message = self._waiting.popleft()
            try:
                process = self._idle.pop() if self._idle else self._new()
            except OSError as error:
                self._on_answer(call_id, {"error": f"this machine has no room for another process: {error}"})
                continue
            self._busy[call_id] = process
            process.send(message)

    def _new(self) -> Process:
        process = self._start()
        self._take(process)
        self._idle.remove(process)
        return process

    def _take(self, process: Process) -> None:
        process.on_message = lambda message: self._on_message(process, message)
        process.on_end = lambda how: self._on_end(process, how)
        process.attach(self._loop)
        self._idle.append(process)

    def _on_message(self, process: Process, message: Mapping[str, Any]) -> None:
        self._useful.add(process.pid)
        call_id = message.get("answer")
        if call_id is None or self._busy.get(call_id) is not process:
            return
        del self._busy[call_id]
        self._idle.append(process)
        self._on_answer(call_id, message)
        self._next()

    def _on_end(self, process: Process, how: str) -> None:
        if process in self._idle:
            self._idle.remove(process)
        useful = process.pid in self._useful
        self._useful.discard(process.pid)
        ended = [call_id for call_id, busy in self._busy.items() if busy is process]
        for call_id in ended:
            del self._busy[call_id]
            self._on_answer(call_id, {"error": "", "ended": how})
        self._next()
        if useful:
            self._keep_warm()
        else:
            self._loop.call_later(AGAIN_S, self._keep_warm)

    def _keep_warm(self) -> None:
        """Have one at hand, so that a call need not wait for imports."""
        if self.count == 0:
            try:
                self._take(self._start())
            except OSError:
                self._loop.call_later(AGAIN_S, self._keep_warm)


class Servers:
    """The process that speaks with MCP servers. `on_offers` gets what each server offers, or what is wrong with it."""

    def __init__(self, start: Starter, on_answer: Answered, on_offers: Callable[[Mapping[str, Any]], None]) -> None:
        self._start, self._on_answer, self._on_offers = start, on_answer, on_offers
        self._loop = asyncio.get_running_loop()
        self._process: Process | None = None
        self._useful = False
        """The present one has spoken with a server."""
        self._open: set[str] = set()
        self._dropping: dict[str, asyncio.TimerHandle] = {}
        self._begin()

    def run(self, call_id: str, server: str, name: str, args: Mapping[str, Any]) -> None:
        """Call a function of a server."""
        if self._process is None:
            self._on_answer(call_id, {"error": f"{name} can't be used at present"})
            return
        self._open.add(call_id)
        self._process.send({"call": call_id, "server": server, "name": name, "args": dict(args)})

    def drop(self, call_id: str, *, late: bool) -> None:
        """Nobody waits for this call. `late`: its deadline has passed, which says something of the server."""
        if call_id not in self._open or self._process is None:
            return
        self._open.discard(call_id)
        self._process.send({"drop": call_id, "late": late})
        self._dropping[call_id] = self._loop.call_later(DROPPED_S, self._process.kill)

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.close()

    def _begin(self) -> None:
        try:
            process = self._process = self._start()
        except OSError:
            self._loop.call_later(AGAIN_S, self._begin)
            return
        process.on_message = self._on_message
        process.on_end = self._on_end
        process.attach(self._loop)

    def _on_message(self, message: Mapping[str, Any]) -> None:
        if "offers" in message:
            self._useful = True
            self._on_offers(message)
        elif "dropped" in message:
            if (timer := self._dropping.pop(message["dropped"], None)) is not None:
                timer.cancel()
        elif (call_id := message.get("answer")) in self._open:
            self._open.discard(call_id)
            self._on_answer(call_id, message)

    def _on_end(self, how: str) -> None:
        self._process = None
        for timer in self._dropping.values():
            timer.cancel()
        self._dropping.clear()
        ended, self._open = self._open, set()
        for call_id in ended:
            self._on_answer(call_id, {"error": "", "ended": how})
        self._loop.call_later(AT_ONCE_S if self._useful else AGAIN_S, self._begin)
        self._useful = False
