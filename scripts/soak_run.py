"""The soak from its arguments to its exit code: 0 if every question was answered, else 1."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from scripts import soak_judge as judging
from scripts import soak_visits as visits
from scripts.soak_faults import Fault, Hand, drawn, script, settle
from scripts.soak_visitor import Visitor
from scripts.soak_world import Footprint, Mouth, Samples, SpeakerEar, TappedMachine, footprint, recording
from tests.rig.machine import Service
from tests.rig.pulse import PulseServer

ROOT = Path(__file__).resolve().parents[1]
EVERY_S = 20.0
"""Between two faults, give or take EVERY_JITTER_S."""
EVERY_JITTER_S = 6.0
FIRST_FAULT_S = 12.0
"""So that the first questions are undisturbed."""
STAGES = ("capture", "frontend", "session", "playback")
ANSWERS = ("Hello and welcome. What would you like to know?",)
SENTENCES = ("not_ill_disposed.wav", "made_amiable.wav")
GOALS = {
    "answered_rate": "1.0",
    "added_by_a_fault_p95_s": "<= 2.5",
    "speech_lost_ms": "0",
}


def main() -> int:
    """Parse, run, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of questions and faults (default 10)")
    parser.add_argument("--seed", type=int, default=None, help="of everything drawn (default: a new one, printed)")
    parser.add_argument("--visits", type=int, default=1000, help="in accelerated time, without sound (default 1000)")
    parser.add_argument("--json", type=Path, default=Path("build/soak.json"), help="where the figures go")
    parser.add_argument("--keep", type=Path, help="a folder for log, events and the service's evidence")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.randrange(1_000_000)
    print(f"soak: {args.minutes:g} min, SEED={seed}", flush=True)
    result: dict[str, Any] = {"seed": seed, "minutes": args.minutes}
    fine = True
    if args.minutes > 0:
        result["kiosk"], fine = soak(args.minutes, seed, args.keep)
    if args.visits > 0:
        result["visits"] = visits.run(args.visits)
        fine = fine and result["visits"]["answered"] == args.visits
        show("visits", result["visits"], {})
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(result, indent=1, default=str) + "\n")
    print(f"figures: {args.json}")
    return 0 if fine else 1


def soak(minutes: float, seed: int, keep: Path | None) -> tuple[dict[str, Any], bool]:
    """The kiosk part. Figures, and whether every question was answered."""
    home = Path(tempfile.mkdtemp(prefix="soak-"))
    script_file = home / "script.yaml"
    script_file.write_text(script(seed, int(minutes * 12) + 20, ANSWERS))
    with PulseServer() as pulse:
        settle(pulse)
        service = Service(home, str(script_file), audio=home / "service")
        ear, mouth = SpeakerEar(pulse.env), Mouth(pulse.env, "mic_feed")
        places = {name: pulse.env[name] for name in ("XDG_RUNTIME_DIR", "HOME")}
        sets = ["stages.session.service=gemini", "stages.session.greeting=null"]
        # nobody hears the speaker here: the front end would be right to call a microphone deaf that does not either
        sets += ["stages.capture.device=mic", "stages.playback.device=speaker", "stages.frontend.self_test=none"]
        try:
            with TappedMachine(home, "kiosk.yaml", sets, {**service.environ, **places}) as machine:
                try:
                    run = Run(machine, pulse, service, ear, mouth, seed)
                    verdict, first, last = run.through(minutes * 60)
                finally:
                    (home / "log.txt").write_text("\n".join(machine.log.read()))
                    (home / "events.jsonl").write_text("".join(_line(event) for event in machine.said))
        finally:
            mouth.close()
            ear.close()
            service.kill()
    search(verdict, home / "service", machine)
    for name, stretches in (("mic", machine.mic), ("voice", machine.voice)):
        for each in stretches:
            (home / f"{name}-{each.begin:.3f}.s16le").write_bytes(each.pcm)
    rows = judging.figures(verdict) | {"footprint_first": vars(first), "footprint_last": vars(last)}
    rows["service_faults"] = dict(Counter(fault.kind for fault in verdict.faults if fault.kind.startswith("service: ")))
    tell(verdict, rows, run.began)
    fine = not verdict.unanswered and bool(verdict.asked)
    if keep is not None or not fine:
        kept = keep or Path("build") / f"soak-{seed}"
        shutil.copytree(home, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.bus", "control", "runtime"))
        print(f"evidence: {kept}")
    shutil.rmtree(home, ignore_errors=True)
    return rows, fine


class Run:
    """Questions and faults, side by side in one loop."""

    def __init__(
        self,
        machine: TappedMachine,
        pulse: PulseServer,
        service: Service,
        ear: SpeakerEar,
        mouth: Mouth,
        seed: int,
    ) -> None:
        self._machine, self._service, self._mouth, self._ear = machine, service, mouth, ear
        self._hand = Hand(machine, pulse, service, ear)
        self._faults, self._seed = drawn(seed), seed
        self._dice = random.Random(f"moments {seed}")
        self.struck: list[Fault] = []
        self.began = 0.0

    def through(self, seconds: float) -> tuple[judging.Verdict, Footprint, Footprint]:
        """The whole of it; what was held at the begin and at the end."""
        machine = self._machine
        machine.until(lambda: machine.live(*STAGES) and self._up())
        self.began = time.monotonic()
        answer_s = self._usual_answer_s()
        sentences = [recording(ROOT / "tests" / "recordings" / name) for name in SENTENCES]
        visitor = Visitor(self._seed, self._mouth, self._ear, sentences, answer_s)
        first: Footprint | None = None
        end = time.monotonic() + seconds
        next_fault = time.monotonic() + FIRST_FAULT_S
        while time.monotonic() < end or not visitor.resting:
            now = time.monotonic()
            machine.pump()
            self._hand.look()
            if now >= next_fault and now < end - 5 and not self._hand.busy:
                self._strike()
                next_fault = now + EVERY_S + self._dice.uniform(-EVERY_JITTER_S, EVERY_JITTER_S)
            visitor.look(broken=self._hand.busy, asks=now < end)
            if first is None and len(visitor.questions) == 2 and visitor.resting:
                first = footprint(machine)
            if machine.process.poll() is not None:
                raise SystemExit(
                    f"the pipeline ended with {machine.process.returncode}:\n" + "\n".join(machine.log.read()[-40:])
                )
            time.sleep(0.01)
        machine.until(lambda: machine.live(*STAGES) and self._up())
        last = footprint(machine)
        self._note_service_faults()
        for fault in self.struck:
            fault.changes = self._changes(fault)
        for question in visitor.questions:
            question.captured_s = judging.covered_s(question.starts, question.ends, machine.mic)
        return judging.judge(visitor.questions, self.struck), first or last, last

    def _up(self) -> bool:
        said = self._machine.of("connection")
        return bool(said and said[-1].body["up"])

    def _usual_answer_s(self) -> float:
        """How long an answer sounds when nothing is wrong."""
        began = len(self._ear.loud)
        asked = self._machine.command("say", "Hello?")
        assert asked.returncode == 0, asked.stderr
        machine = self._machine
        machine.until(lambda: machine.of("turn_ended"))
        machine.until(lambda: self._ear.loud[began:] and time.monotonic() - self._ear.loud[-1] > 1.0)
        return len(self._ear.loud[began:]) * 0.01

    def _strike(self) -> None:
        fault = next(self._faults)
        self._hand.strike(fault)
        self.struck.append(fault)
        print(
            f"  {time.monotonic() - self.began:6.1f} s  {fault.kind}"
            + (f" for {fault.lasts_s:g} s" if fault.lasts_s else ""),
            flush=True,
        )

    def _note_service_faults(self) -> None:
        for line in self._service.log():
            if line["event"] == "fault":
                at = line["ns"] / 1e9
                kind = f"close {line['close']}" if "close" in line else "goAway"
                self.struck.append(Fault(f"service: {kind}", (), 0.0, at, at))

    def _changes(self, fault: Fault) -> dict[str, tuple[int, int]]:
        """Who went down and came up how often until something else struck them. The service's own faults are the
        session's alone."""
        found = {}
        for who in fault.touches:
            later = [other for other in self.struck if other.at > fault.at]
            if who in STAGES and who != "session":
                later = [other for other in later if not other.kind.startswith("service: ")]
            until = min((other.at for other in later), default=float("inf"))
            name, good = ("connection", "up") if who == "connection" else ("stage", "state")
            was, down, up = True, 0, 0
            for event in self._machine.of(name, fault.at):
                if event.sent / 1e9 >= until or (name == "stage" and event.body["stage"] != who):
                    continue
                fit = event.body[good] in (True, "live")
                down, up, was = down + (was and not fit), up + (fit and not was), fit
            found[who] = (down, up)
        return found


def search(verdict: judging.Verdict, evidence: Path, machine: TappedMachine) -> None:
    """What of each question arrived at the service."""
    received = []
    for index in sorted(evidence.glob("*.jsonl")):
        sound = np.frombuffer(index.with_suffix(".s16le").read_bytes(), "<i2")
        blobs = [json.loads(line) for line in index.read_text().splitlines() if line.endswith("}")]
        received.append((sound, [(blob["ns"] / 1e9, blob["first"], blob["samples"]) for blob in blobs]))
    for number, question in enumerate(verdict.questions):
        following = verdict.questions[number + 1 :]
        until = following[0].began if following else float("inf")
        arrived: list[Samples] = []
        for sound, blobs in received:
            places = [(first, first + count) for at, first, count in blobs if question.began <= at < until]
            if places:
                arrived.append(sound[places[0][0] : places[-1][1]])
        judging.pieces_lost(question, arrived, machine.mic, machine.voice)


def tell(verdict: judging.Verdict, rows: dict[str, Any], began: float) -> None:
    """The table, and each thing that was not as it should be."""
    show("kiosk", rows, GOALS)
    for question in verdict.questions:
        words = []
        if question.answer is None:
            words.append("not answered" if question.could_be_heard else "said into a dead microphone")
        if question.lost_s:
            words.append(f"{question.lost_s * 1000:.0f} ms lost, at {question.lost_at}")
        if words:
            near = [
                f"{fault.kind} at {fault.at - began:.1f}"
                for fault in verdict.faults
                if abs(fault.at - question.ends) < 20
            ]
            print(f"  question {question.number} at {question.began - began:.1f} s: {', '.join(words)}; near: {near}")
    for fault in verdict.faults:
        if any(change != (1, 1) for change in fault.changes.values()):
            print(f"  {fault.kind} at {fault.at - began:.1f} s: down and up {fault.changes}")


def show(title: str, rows: dict[str, Any], goals: dict[str, str]) -> None:
    """Name, figure, goal."""
    print(f"{title}:")
    for name, value in rows.items():
        if isinstance(value, dict):
            value = json.dumps(value)
        print(f"  {name:<32} {value!s:<12} {'goal ' + goals[name] if name in goals else ''}".rstrip())


def _line(event: Any) -> str:
    return (
        json.dumps({"at": event.sent / 1e9, "src": event.src, "name": event.name, "body": event.body}, default=str)
        + "\n"
    )
