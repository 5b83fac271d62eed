"""Tools as a process on a bus of the test's own, which speaks as session, playback and frontend."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.rig.fakes import Speaks
from tests.rig.nursery import Nursery

RIG = Path(__file__).parent
ALL = [
    "status",
    "slow_async",
    "sleeps",
    "spins",
    "hangs_natively",
    "segfaults",
    "floods",
    "forks",
    "forks_and_returns_twice",
    "ten_megabytes",
    "long_list",
    "unsayable",
    "raises",
    "leaves",
    "devours",
]


class Counter:
    """The stage with its options, and what it says. Use as a context manager."""

    def __init__(self, place: Path, **options: Any) -> None:
        self.place = place
        shutil.copy(RIG / "bad_tools.py", place)
        given = {"functions": [f"bad_tools:{name}" for name in ALL], "deadline_s": 1.0, **options}
        self._wiring: dict[str, Any] = {"use": "pipeline.stages.tools:Tools", "options": given}
        self.nursery = Nursery(place, {"tools": self._wiring, "session": {}, "playback": {}})
        self.session = Speaks(self.nursery, "session")
        self._calls = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.session.__exit__()
        self.nursery.__exit__()

    def start(self, restarts: int = 0) -> None:
        """Start it (again); returns when its functions are declared."""
        self._wiring["restarts"] = restarts
        before = len(self.bodies("tools"))
        self.nursery.start("tools")
        self.nursery.until(lambda: len(self.bodies("tools")) > before)

    def replace_session(self) -> None:
        """As if it had been killed and started again."""
        self.session.__exit__()
        self.session = Speaks(self.nursery, "session", inst=2)

    def bodies(self, name: str, **fields: Any) -> list[Mapping[str, Any]]:
        """Bodies of its events so far that have these fields."""
        found = [event.body for event in self.nursery.events(name, "tools")]
        return [body for body in found if fields.items() <= body.items()]

    def call(self, name: str, args: Mapping[str, Any] | None = None, call_id: str = "", sticky: bool = False) -> str:
        """Have a function called; its id."""
        self._calls += 1
        call_id = call_id or f"call-{self._calls}"
        self.session.event(
            "tool_call", sticky=sticky, key=call_id, id=call_id, name=name, args=dict(args or {}), turn=1
        )
        return call_id

    def answer(self, call_id: str, deadline_s: float = 20.0) -> Mapping[str, Any]:
        """The response to a call."""
        found = self.nursery.until(lambda: self.bodies("tool_result", id=call_id), deadline_s)
        return dict(found[-1]["response"])

    def ask(self, name: str, **args: Any) -> Mapping[str, Any]:
        """Call a function and wait for its response."""
        return self.answer(self.call(name, args))

    @property
    def stderr(self) -> str:
        """What the stage wrote."""
        return (self.place / "tools.stderr").read_text()
