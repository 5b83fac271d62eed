"""`Stage`: what a person subclasses."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.bus.ring import Place

if TYPE_CHECKING:
    from pipeline.bus.messages import Audio
    from pipeline.stage.brief import Brief
    from pipeline.stage.link import Link
    from pipeline.stage.timers import Timer


class Stage:
    """One process of the pipeline: subclass it, annotate its options, receive audio and events, emit and tell.

    Options are annotated class attributes with defaults; values from YAML are checked against the annotation and set
    before `prime`. A method `on_<name>` receives `event.<name>` from every stage and from the supervisor. Everything
    is called from one loop: what takes longer than a block of audio delays the next one.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    """Streams that it reads. Without this and with `on_audio`: those that its `inputs:` name, else those it emits."""
    emits: ClassVar[tuple[str, ...]] = ()
    """Streams that it produces. Without this: those of its `self.emit("…")` lines."""

    name: str
    inst: int
    log: Any
    """structlog logger with stage and inst bound."""
    brief: Brief
    link: Link

    def prime(self) -> None:
        """Before `go`: imports, models, checks. No lock, socket, device or connection: the one before may still run."""

    def start(self) -> None:
        """After `go`, with the bus up. The state is `live` afterwards unless this says another."""

    def step(self) -> float | None:
        """Called once a turn of the loop; returns the seconds until it wants to be called again at the latest.

        None: only after something has arrived. A stage that owns a device does its blocking read of <= 20 ms here.
        """
        return None

    def on_audio(self, audio: Audio) -> None:
        """A block of a stream that it reads: in order, without gaps, replayed after a loss."""

    def replay_place(self, stream: str) -> Place | None:
        """From where a stream is wanted when this stage starts; None for all that the producer still holds."""
        return None

    def stop(self) -> None:
        """The ordered stop: finish and close, within `grace_s`."""

    clock_offset_ns = 0
    """To the supervisor's clock, from this machine's."""
    grace_s: float = 2.0
    """How long `stop` may take; told by the supervisor."""

    # -- given by the library

    def emit(self, stream: str, audio: Audio) -> None:
        """Publish a block on `stream` and keep it for readers that lose it. Never blocks."""
        self.link.emit(
            audio if audio.stream == stream and audio.replay is None else audio.replace(stream=stream, replay=None)
        )

    def tell(self, event: str, sticky: bool = False, key: str | None = None, **body: Any) -> None:
        """Publish `event.<event>`. A sticky one (one for each `key`) is sent again to each new subscriber."""
        self.link.tell(event, body, sticky=sticky, key=key)

    def unstick(self, event: str, key: str | None = None) -> None:
        """A sticky event holds no more."""
        self.link.unstick(event, key)

    def state(self, name: str, reason: str = "") -> None:
        """Say `live`, `waiting`, `degraded` or `muted`, and why, with the remedy. Sent only when something changed."""
        self.link.state(name, reason)

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Have `callback` called by the main loop; `cancel()` the result to prevent it."""
        return self.link.timers.add(self.now_ns() - self.clock_offset_ns + int(seconds * 1e9), callback)

    def replay_from(self, stream: str, place: Place | None) -> None:
        """Hear a stream again from `place` on (all that is held for None), then go on with the live one."""
        self.link.replay_from(stream, place)

    def trim(self, stream: str, epoch: int, at: int) -> None:
        """Forget blocks of our own stream that end at or before this place: nobody will ask for them again."""
        self.link.trim(stream, (epoch, at))

    def ended(self) -> None:
        """This stage's work is complete: it stops, and that is no crash. From session it ends the pipeline."""
        self.link.end()

    def now_ns(self) -> int:
        """The supervisor's monotonic clock, ns."""
        return time.monotonic_ns() + self.clock_offset_ns

    @property
    def run_dir(self) -> Path:
        """The pipeline's run directory; gone after a reboot."""
        return self.brief.run_dir

    @property
    def state_dir(self) -> Path:
        """What outlives a reboot."""
        return self.brief.state_dir

    @property
    def config_dir(self) -> Path:
        """The folder of the configuration file: relative paths in options start there."""
        return self.brief.config_dir
