"""Try a stage of your own: feed it audio and events, look at what comes out. No processes, no sockets, no sleeping.

```python
from pipeline.testing import Trial, tone

def test_gain_doubles() -> None:
    with Trial(Gain, db=6.0) as trial:
        trial.hear(tone(1000, rate=16_000, ms=20))
        assert abs(trial.emitted[0].samples).max() == pytest.approx(2000, rel=0.01)
```

Time is the trial's: `trial.pass_time(1.5)` runs timers and `step` as the loop of a process would.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import structlog

from pipeline.bus.messages import Audio, Event
from pipeline.bus.ring import Place
from pipeline.config.options import build_options
from pipeline.stage.brief import Brief
from pipeline.stage.link import Link
from pipeline.stage.stage import Stage
from pipeline.stage.timers import Timers

STEP_S = 0.02
"""How often a stage's `step` is called at least while time passes."""
BLOCK_MS = 20


@dataclass(frozen=True)
class Told:
    """An event that the stage told."""

    name: str
    body: dict[str, Any]
    sticky: bool
    key: str | None


@dataclass(frozen=True)
class Asked:
    """A replay that the stage asked for."""

    stream: str
    place: Place | None


class Trial:
    """One stage at work, from `prime` on entering to `stop` on leaving. For stages without `async def run`."""

    def __init__(self, cls: type[Stage], *, name: str = "", folder: Path | None = None, **options: Any) -> None:
        """`options` as the YAML would have them; `folder` is the configuration's. Raises OptionError."""
        if hasattr(cls, "run"):
            raise TypeError(f"{cls.__name__} has `run`: await it in a test of your own; a trial turns the plain loop")
        self.emitted: list[Audio] = []
        """Blocks, in order."""
        self.told: list[Told] = []
        self.asked: list[Asked] = []
        self.trimmed: list[tuple[str, Place]] = []
        self.states: list[tuple[str, str]] = []
        """(state, reason), each change; begins `live` unless the stage says another in `start`."""
        self.ended = False
        self.now_ns = 1_000_000_000_000
        self._seq = 0
        self._folder = tempfile.TemporaryDirectory(prefix="trial-")
        here = Path(self._folder.name)
        stage = self.stage = cls()
        stage.name, stage.inst = name or cls.__name__.lower(), 1
        stage.brief = Brief(stage.name, 1, here, here, folder or here, "", "", {}, {}, options=options)
        stage.log = structlog.get_logger().bind(stage=stage.name)
        self._bench = _Bench(self)
        stage.link = cast("Link", self._bench)
        # Not the class's: two trials side by side have two clocks.
        stage.now_ns = lambda: self.now_ns  # type: ignore[method-assign]
        for option, value in build_options(cls, options).items():
            setattr(stage, option, value)

    def __enter__(self) -> Self:
        self.stage.prime()
        self.stage.start()
        if not self.states:
            self.states.append(("live", ""))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.stage.stop()
        finally:
            self._folder.cleanup()

    def hear(self, *blocks: Audio) -> None:
        """Blocks arrive, at once; the clock stands still."""
        for block in blocks:
            self.stage.on_audio(block)

    def event(self, name: str, *, src: str = "test", **body: Any) -> None:
        """`event.<name>` arrives. Without a method for it nothing happens, as on the bus."""
        event = Event(name, body, src, 1, self.now_ns)
        listener = getattr(self.stage, f"on_{name}", None) or getattr(self.stage, "on_event", None)
        if listener is not None:
            listener(event)

    def pass_time(self, seconds: float) -> None:
        """Let time pass: what the stage wants to be called for in it is called, in order."""
        until_ns = self.now_ns + int(seconds * 1e9)
        while self.now_ns < until_ns:
            self._bench.timers.run(self.now_ns)
            wanted_s = self.stage.step()
            wait_ns = int(min(STEP_S, max(wanted_s if wanted_s is not None else STEP_S, 0.001)) * 1e9)
            due_ns = self._bench.timers.due_ns()
            self.now_ns = min(until_ns, self.now_ns + wait_ns, max(due_ns or until_ns, self.now_ns + 1))
        self._bench.timers.run(self.now_ns)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Bodies of the events of that name that it told."""
        return [told.body for told in self.told if told.name == name]

    @property
    def state(self) -> str:
        """Its state now."""
        return self.states[-1][0]


class _Bench:
    """What a stage's link is in a process: here it writes down."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self.timers = Timers()
        self.stopping = False

    def emit(self, audio: Audio) -> None:
        self._trial.emitted.append(audio)

    def tell(self, event: str, body: dict[str, Any], *, sticky: bool = False, key: str | None = None) -> None:
        self._trial.told.append(Told(event, dict(body), sticky, key))

    def unstick(self, event: str, key: str | None = None) -> None:
        pass

    def state(self, name: str, reason: str = "") -> None:
        if not self._trial.states or self._trial.states[-1] != (name, reason):
            self._trial.states.append((name, reason))

    def replay_from(self, stream: str, place: Place | None) -> None:
        self._trial.asked.append(Asked(stream, place))

    def trim(self, stream: str, place: Place) -> None:
        self._trial.trimmed.append((stream, place))

    def end(self) -> None:
        self._trial.ended = True


def tone(
    peak: int, *, stream: str = "voice", rate: int = 16_000, ms: int = 1000, hz: float = 440.0, t: int = 0
) -> Audio:
    """One block of a mono sine of `ms`, at place `t` (ns)."""
    return _made(lambda n: peak * math.sin(2 * math.pi * hz * n / rate), stream, rate, ms, t)


def silence(*, stream: str = "voice", rate: int = 16_000, ms: int = 1000, t: int = 0) -> Audio:
    """One block of mono zeros of `ms`, at place `t` (ns)."""
    return _made(lambda n: 0.0, stream, rate, ms, t)


def blocks(audio: Audio, ms: int = BLOCK_MS) -> list[Audio]:
    """A long block cut into pieces of `ms` with their places, as a producer would send it."""
    frames = audio.rate * ms // 1000
    whole = [audio.from_place(at) for at in range(0, audio.frames, frames)]
    return [piece.replace(pcm=piece.pcm[: frames * 2 * piece.channels]) for piece in whole]


def _made(sample: Callable[[int], float], stream: str, rate: int, ms: int, t: int) -> Audio:
    values = (round(sample(n)) for n in range(rate * ms // 1000))
    pcm = b"".join(value.to_bytes(2, "little", signed=True) for value in values)
    return Audio(stream, pcm, rate, 1, t=t)
