"""Function calls that the client has not answered."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.simulator.actions import Send
from pipeline.simulator.turn import Turn


class Calls:
    """The open calls of one connection; `numbers` makes their ids unique over the server's life."""

    def __init__(self, numbers: Iterator[int]) -> None:
        self._numbers = numbers
        self._open: dict[str, Turn] = {}
        self.last = Send({})
        """The call that left last."""

    def make(self, turn: Turn, function: str, args: Mapping[str, Any]) -> Send:
        """A call for `turn`."""
        name = f"function-call-{next(self._numbers)}"
        self._open[name] = turn
        self.last = Send({"toolCall": {"functionCalls": [{"id": name, "name": function, "args": args}]}})
        return self.last

    def answered(self, name: str) -> Turn | None:
        """Whose call was `name`; None if no such call is open."""
        return self._open.pop(name, None)

    def cancel(self, turn: Turn) -> Send:
        """All open calls of `turn`."""
        ids = [name for name, owner in self._open.items() if owner is turn]
        for name in ids:
            del self._open[name]
        return Send({"toolCallCancellation": {"ids": ids}})
