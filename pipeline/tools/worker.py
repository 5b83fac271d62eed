"""`python -m pipeline.tools.worker SOCKET PARENT`: the process in which a person's functions run, one at a time.

Their modules are imported here and nowhere else. Functions run on the main thread, so that what a module made when it
was imported (a SQLite connection) may be used; async ones on one loop that lives as long as the worker. Whatever they
print goes where stderr goes, which the stage reads slowly: who floods it waits, and misses the deadline.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import queue
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.tools import wire
from pipeline.tools.confined import bound_memory, confine
from pipeline.tools.declare import Declaration, Undeclarable, declare, find
from pipeline.tools.results import Unsayable, bounded
from pipeline.tools.types import convert, hints

LONGEST_TRACE = 6_000
"""Characters of a traceback; the end of it says most."""


def main() -> None:
    """Serve the stage until it ends us or itself."""
    line, parent = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    confine(parent)
    asked = wire.messages(line)
    first = next(asked, None)
    if first is None:
        os._exit(0)
    calls: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    # a thread, so that a closed socket ends us in the middle of a function, also where there is no death signal
    threading.Thread(target=_listen, args=(asked, calls), daemon=True).start()
    bound_memory(first["memory_mb"])
    folder = Path(first["folder"])
    sys.path.insert(0, str(folder))
    functions = [_load(use, folder) for use in first["functions"]]
    line.sendall(wire.pack({"loaded": [_described(function) for function in functions]}))
    Runner(functions, first["most_bytes"]).serve(line, calls)


def _listen(asked: Iterator[dict[str, Any]], calls: queue.SimpleQueue[dict[str, Any]]) -> None:
    try:
        for message in asked:
            calls.put(message)
    finally:
        os._exit(0)


Loaded = tuple[Callable[..., Any], Declaration]


def _load(use: str, folder: Path) -> Loaded | str:
    """A function, or why there is none."""
    try:
        function = find(use, folder)
        return function, declare(function, folder)
    except Undeclarable as error:
        return str(error)


def _described(loaded: Loaded | str) -> dict[str, Any]:
    if isinstance(loaded, str):
        return {"wrong": loaded}
    _, told = loaded
    return {"name": told.name, "description": told.description, "parameters": told.parameters}


class Runner:
    """Runs the functions. `functions[i]` is what the index of a call means."""

    def __init__(self, functions: list[Loaded | str], most_bytes: int) -> None:
        self._functions, self._most_bytes = functions, most_bytes
        self._loop = asyncio.Runner()

    def serve(self, line: socket.socket, calls: queue.SimpleQueue[dict[str, Any]]) -> None:
        """Answer one call after the other, for ever."""
        ours = os.getpid()
        while True:
            call = calls.get()
            answer = {"answer": call["call"], **self.run(call["function"], call["args"])}
            if os.getpid() != ours:
                os._exit(0)  # a copy that the function forked and that came back out of it: the answer is the other's
            line.sendall(wire.pack(answer))

    def run(self, index: int, args: dict[str, Any]) -> dict[str, Any]:
        """`result`, or `error` for the model and `traceback` for the log."""
        loaded = self._functions[index]
        if isinstance(loaded, str):
            return {"error": "this function can't be used at present", "traceback": loaded}
        function, told = loaded
        try:
            types = hints(inspect.unwrap(function))
            given = {name: convert(types.get(name, Any), value) for name, value in args.items()}
            value = function(**given)
            if inspect.isawaitable(value):
                value = self._loop.run(_awaited(value))
            return {"result": bounded(value, self._most_bytes)}
        except Unsayable as error:
            return {"error": f"{told.name}: {error}"}
        except BaseException as error:  # SystemExit and its like, too: the model must not wait
            text = "".join(traceback.format_exception(error))
            words = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
            return {"error": f"{told.name} failed: {words[:500]}", "traceback": text[-LONGEST_TRACE:]}


async def _awaited(value: Any) -> Any:
    return await value


if __name__ == "__main__":
    main()
