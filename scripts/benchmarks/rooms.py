"""Where a benchmark happens: a folder of its own, a private sound server, a pipeline as a person starts it."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.benchmarks.server import Server
from tests.rig.machine import Machine
from tests.rig.pulse import PulseServer

ROOT = Path(__file__).resolve().parents[2]


class Pipeline(Machine):
    """A `Machine` that can be asked whether it still runs, and stopped as a person would."""

    def check(self) -> None:
        """Raises RuntimeError with the end of its log when it has ended."""
        if self.process.poll() is not None:
            raise RuntimeError("the pipeline has ended:\n" + "\n".join(self.log.read()[-30:]))

    def stop(self, within_s: float = 20.0) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(within_s)


@dataclass
class Room:
    """What every benchmark is given."""

    quick: bool = False
    full: bool = False
    minutes: float = 0.5
    """Of each half of `calm`."""
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def times(self, full: int, usual: int, quick: int) -> int:
        """How often something is repeated. All parts as usual take half an hour together, the full ones two."""
        return quick if self.quick else full if self.full else usual

    def home(self, name: str) -> Path:
        """A folder that goes with the room; the path is short, for a socket's path holds 107 bytes."""
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix=f"b-{name}-")))

    def close(self) -> None:
        """Remove the folders."""
        self._stack.close()

    def say(self, words: str) -> None:
        """What is going on, on the terminal."""
        print(words, file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def sound(self) -> Iterator[PulseServer]:
        """A sound server with a virtual microphone and speaker, settled."""
        with PulseServer() as pulse:
            yield pulse

    def machine(
        self, home: Path, config: str, sets: Sequence[str], server: Server, pulse: PulseServer | None
    ) -> Pipeline:
        """`voice-pipeline run CONFIG` that dials `server`, with the sound of `pulse`."""
        places = {name: pulse.env[name] for name in ("XDG_RUNTIME_DIR", "HOME")} if pulse else {}
        return Pipeline(home, config, sets, {**server.environ, **places})
