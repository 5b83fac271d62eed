"""Echo, double talk, barge-in, voices in noise, noises of a shop, a deaf microphone: the frontend's cores, real speech
and a simulated counter, seeded. Delays are of the audio, not of this machine: they are the same under load."""

from __future__ import annotations

import itertools
import time

import numpy as np

from pipeline.audio.apm import Apm
from pipeline.audio.barge_in import Duck, Verdict
from pipeline.audio.near_end import NearEnd
from pipeline.audio.resample import Resampler
from pipeline.audio.segmenter import SpeechEnded, SpeechStarted
from pipeline.audio.vad import SileroVad
from scripts.benchmarks import pictures
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.rooms import ROOT, Room
from tests.rig import acoustics as ac
from tests.rig.acoustics import RATE, Wave
from tests.rig.ears import Ears, Scene, onset_s
from tests.rig.noises import noises

OUT = ROOT / "bench-results"
DELAYS_MS = (30, 60, 100, 150)
HALF_SPEECH = 0.5
LEGEND = "confirmed: the answer would be cut (here it goes on); restored: a noise"
RED, GREEN, GREY = (200, 40, 40), (20, 130, 60), (130, 130, 130)


def run(room: Room) -> list[Figure]:
    """Half an hour of audio, or a few minutes of it."""
    vad = SileroVad()
    vad.load()
    OUT.mkdir(exist_ok=True)
    found = [*echo(vad, room.quick), own_talk(vad, 60 if room.quick else 600)]
    found += double_talk(vad, 2 if room.quick else 12)
    found += onsets(vad, 6 if room.quick else 30)
    found.append(noise_alone(vad, 60 if room.quick else 1_200))
    found += shop(vad, 1 if room.quick else 12)
    found += [deaf(vad), normal_hour(vad, 300 if room.quick else 3_600)]
    return [*found, *processor(vad, 20 if room.quick else 60)]


def left_percent(before: Wave, after: Wave) -> float:
    """Amplitude of what is left, in percent; 0.63 is an ERLE of 44 dB."""
    return 100 * float(np.sqrt((after**2).mean() / (before**2).mean()))


def echo(vad: SileroVad, quick: bool) -> list[Figure]:
    """ERLE after convergence, second by second."""
    figures = []
    for ppm in (0, 50):
        left = []
        for delay_ms in DELAYS_MS[: 1 if quick else None]:
            counter = ac.counter(40, seed=delay_ms, delay_ms=delay_ms, ppm=ppm, hiss_dbfs=-85)
            mic, voice = ac.as_samples(counter.mic), Ears(vad).hear(counter.mic, counter.played).voice
            for second in range(5, 38, 3):
                part = slice(second * RATE, (second + 3) * RATE)
                left.append(left_percent(mic[part].astype(float), voice[part].astype(float)))
            if delay_ms == 30 and ppm == 50:
                rows = [("the microphone: echo only, 30 ms, 50 ppm", mic[: voice.size]), ("after the canceller", voice)]
                (OUT / "ears-echo.png").write_bytes(pictures.spectrograms("Before and after echo cancellation", rows))
        erle = f"ERLE p50 {-ac.db(float(np.median(left)) / 100):.0f} dB, least {-ac.db(max(left) / 100):.0f} dB"
        figures.append(Figure(f"echo left, drift {ppm} ppm", "% of its amplitude", left, p50=0.63, note=erle))
    return figures


def own_talk(vad: SileroVad, seconds: int) -> Figure:
    """The machine talks, its echo as loud as a visitor."""
    ears = Ears(vad)
    for minute in range(seconds // 60):
        counter = ac.counter(60, seed=1, delay_ms=60, hiss_dbfs=-65)
        played = ac.at_level(ac.talk(60, minute), -20)
        heard = ac.at_level(ac.echoed(played, seed=1, delay_ms=60), -26) + counter.hiss
        ears.hear(heard, played, keep=False)
    note = f"{seconds // 60} minutes, echo at the level of a voice"
    return Figure("speech_started by its own talk", "times", [len(ears.scene.starts())], worst=0, note=note)


def double_talk(vad: SileroVad, scenes: int) -> list[Figure]:
    """People speak over the machine, its echo 6 dB under them."""
    missed_frames, missed, took = [], 0, []
    for seed in range(scenes):
        people = tuple((6.0 + 6 * n, ac.PEOPLE[(seed + n) % 3]) for n in range(5))
        delay_ms = DELAYS_MS[seed % 4]
        counter = ac.counter(38, seed=20 + seed, delay_ms=delay_ms, echo_dbfs=-32, hiss_dbfs=-65, people=people)
        clean = ac.as_samples(counter.near)
        vad.reset()
        truth = np.array([vad.judge(clean[i : i + 512]) for i in range(0, clean.size - 511, 512)]) > HALF_SPEECH
        scene = Ears(vad).hear(counter.mic, counter.played)
        utterances = scene.speech(0, truth.size * 0.032)
        judged = np.array([utterances[round(n * 3.2)] for n in range(truth.size)])
        missed_frames.append(100 * (1 - float(judged[truth].mean())))
        confirmed = [second for second, _ in scene.verdicts("confirmed")]
        for begin, name in people:
            onset = begin + onset_s(ac.person(name))
            said_s = ac.person(name).size / RATE
            caught = [second - onset for second in confirmed if onset - 0.2 < second < begin + said_s]
            missed += not caught
            took += [1000 * caught[0]] if caught else []
        if seed == 0:
            picture(scene, ac.as_samples(counter.mic), "Speaking over the machine, its echo 6 dB under the voice")
    count = 5 * scenes
    note = f"{100 * (count - missed) / count:.1f} % of {count} caught"
    broken = [f"only {note}"] if missed > 0.05 * count else []
    return [
        Figure("speech frames lost in double talk", "% of a scene's", missed_frames, p50=15.0),
        Figure("barge-in: onset to confirmed", "ms", took, p95=400, note=note, broken=broken),
    ]


def picture(scene: Scene, mic: ac.Samples, title: str) -> None:
    """The first 20 s with what was decided."""
    words = {SpeechStarted: ("speech", GREY), Duck: ("", GREY), SpeechEnded: ("", GREY)}
    marks = []
    for second, fact in scene.facts:
        if isinstance(fact, Verdict):
            marks.append((second, fact.verdict, GREEN if fact.verdict == "confirmed" else RED))
        elif isinstance(fact, SpeechStarted):
            marks.append((second, *words[SpeechStarted]))
    end = 20 * RATE
    rows = [("microphone", mic[:end]), ("voice that goes to the service", scene.voice[:end])]
    (OUT / "ears-barge-in.png").write_bytes(pictures.waveforms(title, LEGEND, rows, [m for m in marks if m[0] < 20]))


def onsets(vad: SileroVad, people: int) -> list[Figure]:
    """Real speech, 10 dB over a noise."""
    figures = []
    for kind in ("pink", "babble", "music"):
        late, lost, rng = [], [], np.random.default_rng(11)
        noise = ac.at_level(ac.noise(kind, 4 + 7 * people, 12), -36)
        sound, wanted = noise.copy(), []
        for number in range(people):
            said = ac.at_level(ac.stretched(ac.person(ac.PEOPLE[number % 3]), rng.uniform(0.9, 1.1)), -26)
            begin = int((4 + 7 * number + rng.uniform(0, 0.5)) * RATE)
            sound[begin : begin + said.size] += said[: sound.size - begin]
            wanted.append(begin / RATE + onset_s(said))
        starts = Ears(vad).hear(sound).starts()
        for onset in wanted:
            found = [(s, fact) for s, fact in starts if -0.3 < s - onset < 1.5]
            if not found:
                lost.append(f"the voice at {onset:.1f} s was not heard")
                continue
            late.append(max(1.0, 1000 * (found[0][0] - onset)))
            if found[0][1].preroll_t / 1e9 - 10 > onset:
                lost.append(f"the pre-roll of the voice at {onset:.1f} s begins inside its first sound")
        figures.append(Figure(f"speech_started after onset, {kind}", "ms", late, p50=60, p95=150, broken=lost))
    return figures


def noise_alone(vad: SileroVad, seconds: int) -> Figure:
    """No voice in it."""
    counts = []
    for kind in ("pink", "babble", "music"):
        ears = Ears(vad)
        for minute in range(seconds // 60):
            ears.hear(ac.at_level(ac.noise(kind, 60, 40 + minute), -36), keep=False)
        counts.append(len(ears.scene.starts()) * 3600 / seconds)
    note = f"pink {counts[0]:g}, babble {counts[1]:g}, music {counts[2]:g}; {seconds // 60} minutes of each"
    return Figure("false starts in noise alone", "an hour", counts, worst=2, note=note)


def shop(vad: SileroVad, rounds: int) -> list[Figure]:
    """Coughs, doors, keys and clatter over the machine's talk, 4 dB over a voice's level."""
    flushed, ducks, restored, count = [], 0, 0, 0
    for seed in range(rounds):
        made = noises(seed)
        counter = ac.counter(8 + 2.5 * len(made), seed=60 + seed, delay_ms=60, echo_dbfs=-32, hiss_dbfs=-65)
        for number, sound in enumerate(made.values()):
            begin = int((6 + 2.5 * number) * RATE)
            counter.near[begin : begin + sound.size] += ac.at_level(sound, -22)[: counter.near.size - begin]
        scene = Ears(vad).hear(counter.mic, counter.played)
        flushed += [list(made)[int((second - 6) / 2.5)] for second, _ in scene.verdicts("confirmed")]
        ducks += sum(fact.on for _, fact in scene.facts if isinstance(fact, Duck))
        restored += sum(not fact.on for _, fact in scene.facts if isinstance(fact, Duck))
        count += len(made)
    cut = 100 * len(flushed) / count
    note = f"{count} noises (made in tests/rig/noises.py), {ducks} ducked; cut: {', '.join(flushed) or 'none'}"
    return [
        Figure("noises of a shop that cut an answer", "%", [cut], worst=5, note=note),
        Figure("ducks that are not taken back", "times", [ducks - restored], worst=0),
    ]


def deaf(vad: SileroVad) -> Figure:
    """Replies until it is named: a microphone that hears only its own hiss, one that hums, one unplugged."""
    needed = []
    hum = 0.05 * np.sin(2 * np.pi * 50 * np.arange(5 * RATE) / RATE)
    for kind, mic in (("hiss", ac.counter(5, seed=1).hiss), ("hum", hum), ("zeros", np.zeros(5 * RATE))):
        ears = Ears(vad)
        for reply in range(6):
            ears.hear(mic[: 3 * RATE], ac.at_level(ac.talk(3, reply), -20), keep=False)
            ears.hear(mic[3 * RATE :], keep=False)
            if ears.scene.hearing:
                needed.append(reply + 1)
                break
        else:
            needed.append(99)
        del kind
    return Figure("replies until a deaf microphone is named", "replies", needed, worst=3)


def normal_hour(vad: SileroVad, seconds: int) -> Figure:
    """Visitors, replies at changing volume, noise: nothing may be called deaf."""
    ears, rng = Ears(vad), np.random.default_rng(13)
    for number in range(seconds // 12):
        level = rng.uniform(-50, -25)
        people = ((rng.uniform(0, 2), ac.PEOPLE[number % 3]),) if rng.random() < 0.3 else ()
        delay_ms = DELAYS_MS[number // 50 % 4]
        reply = ac.counter(4, seed=number, delay_ms=delay_ms, echo_dbfs=level, people=people)
        kind, loud = rng.choice(["pink", "music"]), rng.uniform(-60, -38)
        noise = ac.at_level(ac.noise(kind, 12, number), loud)
        ears.hear(reply.mic + noise[: 4 * RATE], reply.played, keep=False)
        visitor = noise[4 * RATE :].copy()
        said = ac.at_level(ac.person(ac.PEOPLE[number % 3]), -26)
        visitor[RATE : RATE + said.size] += said[: visitor.size - RATE]
        ears.hear(visitor, keep=False)
    wrong = [found.reason for found in ears.scene.hearing]
    note = f"{seconds // 60} minutes, {seconds // 12} replies, echo at -50 to -25 dBFS, noise at -60 to -38"
    return Figure("alarms of a microphone that hears", "times", [len(wrong)], worst=0, note=note, broken=wrong)


def processor(vad: SileroVad, seconds: int) -> list[Figure]:
    """Processor time for a second of audio at 48 kHz while the machine talks."""
    counter = ac.counter(seconds, seed=90, hiss_dbfs=-65)
    mic, played = ac.as_samples(counter.mic), ac.as_samples(counter.played)
    up = Resampler(RATE, 48_000)
    device = np.concatenate((up.convert(mic), up.drain()))
    down, apm, near = Resampler(48_000, RATE), Apm(), NearEnd()
    names = ("resampling", "echo cancellation", "voice detection", "voices over the machine's")
    parts: dict[str, list[float]] = {name: [] for name in names}
    for second in range(seconds - 1):
        part = slice(second * RATE, (second + 1) * RATE)
        began = time.process_time()
        for begin in range(second * 48_000, (second + 1) * 48_000, 960):
            down.convert(device[begin : begin + 960])
        resampled = time.process_time()
        for begin in range(part.start, part.stop, 160):
            apm.cancel(mic[begin : begin + 160], played[begin : begin + 160])
        cancelled = time.process_time()
        for begin in range(part.start, part.stop - 511, 512):
            vad.judge(mic[begin : begin + 512])
        detected = time.process_time()
        for begin in range(part.start, part.stop - 511, 512):
            near.lay(begin * 1_000_000_000 // RATE, mic[begin : begin + 512], played[begin : begin + 512])
            near.judge(begin * 1_000_000_000 // RATE)
        times = (began, resampled, cancelled, detected, time.process_time())
        for name, (before, after) in zip(parts, itertools.pairwise(times), strict=True):
            parts[name].append(100 * (after - before))
    everything = [sum(row) for row in zip(*parts.values(), strict=True)]
    note = ", ".join(f"{name} {np.median(values):.2f}" for name, values in parts.items())
    return [Figure("signal processing for a second of audio", "% of a core", everything, p50=3.5, note=note)]
