"""The answer at the speaker's monitor, sample by sample, while who plays it dies, stands still or loses its speaker."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.bus.messages import Audio
from tests.rig.breakable import BreakableKiosk
from tests.rig.ear import Ear
from tests.rig.monitor import Compared, at_the_speaker, compare
from tests.rig.pulse import PulseServer

pytestmark = [pytest.mark.device, pytest.mark.timeout(120), pytest.mark.both_servers]

AGAIN_MS = 140.0
"""What is said twice at most: 100 ms since the last `heard`, 32 ms of queue that sound on when their owner is dead."""
PERIOD_MS = 11.0
"""What a server that ran dry may lose: one period."""
EDGE_MS = 3.0
"""At each seam: what has left the speaker is an estimate, and a resampler that begins in the midst of a word swings."""


@pytest.fixture
def plug(pulse: PulseServer) -> Callable[[], None]:
    """Plugs in the sink `plug`, that sounds at the speaker; without it all streams are led elsewhere."""
    pulse.load_null_sink("elsewhere")
    pulse.pactl("set-default-sink", "elsewhere")

    def load() -> None:
        words = "sink_name=plug master=speaker channels=2 remix=no sink_properties=device.description=plug"
        pulse.pactl("load-module", "module-remap-sink", *words.split())

    load()
    return load


def test_what_is_heard_are_the_answers_samples_in_order_whatever_happens(
    pulse: PulseServer, plug: Callable[[], None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    options = ("stages.playback.volume=100", "stages.playback.device=plug")
    with BreakableKiosk(tmp_path_factory.mktemp("k"), pulse, *options) as kiosk, Ear(pulse.env) as ear:
        kiosk.ready()

        def unplug() -> None:
            pulse.unload_sink("plug")
            kiosk.until(lambda: kiosk.degraded_for("playback", "."))
            plug()

        faults: dict[str, Callable[[], object]] = {
            "none": lambda: None,
            "killed": lambda: kiosk.kill("playback"),
            "stopped": lambda: kiosk.kill("playback", signal.SIGSTOP),
            "unplugged": unplug,
        }
        for name, strike in faults.items():
            compared, blind_ms = heard_of_an_answer(kiosk, ear, strike)
            kiosk.report.append(f"{name}: steps {compared.steps} ms, lost {compared.lost}, strange {compared.strange}")
            holds(compared, struck=name != "none", blind_ms=blind_ms if name == "unplugged" else 0.0)


def heard_of_an_answer(kiosk: BreakableKiosk, ear: Ear, strike: Callable[[], object]) -> tuple[Compared, float]:
    """Have it answer, strike in mid-answer; what was heard, and how long the strike took, ms."""
    turns, begun = len(kiosk.answered()), time.monotonic()
    answers = len(kiosk.events("audible"))
    kiosk.command("say", "Tell the visitor the price of a ticket.")
    first = kiosk.until(lambda: kiosk.events("audible")[answers:])[0].body

    def blocks() -> list[Audio]:
        return [b for b in kiosk.audio("reply") if b.epoch == first["epoch"] and (b.at or 0) >= first["at"]]

    kiosk.until(lambda: kiosk.events("heard")[-1].body["at"] > first["at"] + 12_000)
    struck = time.monotonic()
    strike()
    blind_ms = (time.monotonic() - struck) * 1000
    kiosk.until(lambda: len(kiosk.answered()) > turns)
    kiosk.until(lambda: kiosk.events("heard")[-1].body["at"] == max((b.at or 0) + b.frames for b in blocks()))
    last = time.monotonic()
    kiosk.until(lambda: time.monotonic() - last > 0.2)  # what the ear has is behind by its own buffer
    whole = np.concatenate([b.samples for _, b in sorted({b.at or 0: b for b in blocks()}.items())])
    return compare(at_the_speaker(whole, 24_000), ear.sound(begun)), blind_ms


def holds(compared: Compared, *, struck: bool, blind_ms: float) -> None:
    """In order, nothing twice or lost beyond the bounds, nothing else. `blind_ms`: the wrong speaker had the sound."""
    steps = compared.steps
    jumps = [step for step in steps if abs(step) > EDGE_MS]
    tears = len(steps)
    assert sum(step < 0 for step in jumps) <= struck, steps
    assert min([0.0, *jumps]) >= -AGAIN_MS, steps
    assert compared.lost <= EDGE_MS * tears + PERIOD_MS * max(0, tears - struck) + blind_ms, compared
    assert compared.strange <= EDGE_MS * (1 + tears), compared
