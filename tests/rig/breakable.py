"""The kiosk on a private sound server whose devices break: what is shown of it meanwhile, and how soon it is whole."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.bus.messages import Event
from pipeline.pids import kept_waiting_s
from tests.rig.machine import ROOT, Machine
from tests.rig.pulse import PulseServer

STAGES = ("capture", "frontend", "session", "playback")
QUESTION = ROOT / "tests" / "recordings" / "made_amiable.wav"
SHOWN_S = 3.0
"""Within this a fault is shown, and within this of its end the stage is at work again."""


def build_shim(folder: Path) -> dict[str, str]:
    """Compile the failing sound card; the environment that puts it into a machine. Its FAULT_FILE is `folder`/fault."""
    library = folder / "alsa_shim.so"
    source = Path(__file__).with_name("alsa_shim.c")
    subprocess.run(["cc", "-O1", "-Wall", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "FAULT_FILE": str(folder / "fault")}


class BreakableKiosk(Machine):
    """`run kiosk.yaml` with the simulator as the service."""

    def __init__(self, home: Path, pulse: PulseServer, *sets: str, **environ: str) -> None:
        places = {name: pulse.env[name] for name in ("XDG_RUNTIME_DIR", "HOME")}
        simulator = (
            f"stages.simulator={{script: {ROOT}/tests/rig/short_answers.yaml, notice: false,"
            " journal: service.jsonl, audio: service}"
        )
        super().__init__(home, "kiosk.yaml", [simulator, *sets], places | environ)
        self.pulse = pulse
        self.report: list[str] = []
        """What was measured, a line a fault."""
        self._starved_s = 0.0

    def __exit__(self, *whatever: object) -> None:
        super().__exit__(*whatever)
        print("\n".join(self.report))

    def ready(self) -> None:
        """Until it listens and can answer."""
        self.until(lambda: self.live(*STAGES) and self.events("connection", up=True))
        self.until(lambda: all(self.shown(stage)[0] in ("live", "degraded") for stage in STAGES))

    def shown(self, stage: str) -> tuple[str, str]:
        """State and reason that the supervisor shows of a stage."""
        said = self.events("stage", stage=stage)
        return (str(said[-1].body["state"]), str(said[-1].body["reason"])) if said else ("", "")

    def suffers(self, stage: str, fault: str, pattern: str, strike: Callable[[], object]) -> None:
        """`strike`, and within SHOWN_S the stage is shown degraded for a reason that matches `pattern`."""
        begun = time.monotonic()
        strike()
        self.within(SHOWN_S, lambda: self.degraded_for(stage, pattern))
        self.report.append(f"{stage}: {fault}: shown after {time.monotonic() - begun:.2f} s: {self.shown(stage)[1]}")

    def degraded_for(self, stage: str, pattern: str) -> bool:
        """Whether it is shown degraded for such a reason."""
        state, reason = self.shown(stage)
        return state == "degraded" and re.search(pattern, reason) is not None

    def recovers(self, stage: str, mend: Callable[[], object], within_s: float = SHOWN_S) -> None:
        """`mend`, and the stage is shown live within `within_s` and stays it."""
        before, begun = len(self.events("stage", stage=stage)), time.monotonic()
        mend()

        def live() -> bool:
            later = self.events("stage", stage=stage)[before:]
            return bool(later) and later[-1].body["state"] == "live"

        if self.shown(stage)[0] != "live":
            self.within(within_s, live)
        self.report.append(f"{stage}: live {time.monotonic() - begun:.2f} s after that")

    def within(self, bound_s: float, enough: Callable[[], object]) -> None:
        """`until`, but time in which this machine did not let us or the supervisor run does not count."""
        begun, starved_s = time.monotonic(), self.starved_s()

        def done() -> object:
            return enough() or time.monotonic() - begun - (self.starved_s() - starved_s) > bound_s

        self.until(done)
        assert enough(), f"not within {bound_s} s: " + "\n".join(self.out.read()[-8:])

    def starved_s(self) -> float:
        """Seconds that the supervisor and this test wanted to run and did not, so far."""
        asleep = time.monotonic()
        time.sleep(0.005)
        self._starved_s += max(0.0, time.monotonic() - asleep - 0.02)
        return self._starved_s + kept_waiting_s(self.process.pid)

    def states_since(self, stage: str, begun_ns: int) -> list[str]:
        """States shown of a stage since then."""
        return [str(e.body["state"]) for e in self.events("stage", stage=stage) if e.sent > begun_ns]

    def asks_and_is_answered(self, question: Path = QUESTION) -> None:
        """The next question is answered, and the answer heard to its end."""
        turns = len(self.answered())
        self.pulse.play(question)
        self.until(lambda: len(self.answered()) > turns, 15)
        self.until(lambda: self.heard_all(), 10)

    def answered(self) -> list[Event]:
        """Turns that were answered."""
        return self.events("turn_ended", outcome="answered")

    def heard_all(self) -> bool:
        """Whether the last answer was heard to its end."""
        last = self.events("heard")[-1].body
        return bool(last["at"] >= last["buffered_to"] > 0)

    def status(self, stage: str) -> dict[str, object]:
        """What a person is told of it."""
        return dict(json.loads(self.command("status", "--json").stdout)["stages"][stage])
