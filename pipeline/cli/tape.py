"""`tape info|wav|vtt TAPE`: what is on a tape, its two sides as sound, its words as subtitles."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pipeline import exits
from pipeline.bus.tape import Damaged, Entry, Tape, TapeError
from pipeline.cli.subtitles import cues_of

DAMAGED = 65
"""sysexits' EX_DATAERR: everything before the damage was used."""
RATE = 16_000
RATES = range(1_000, 768_001)
"""Hertz that a message may have."""
LONGEST_S = 6 * 3600
"""Of sound: what the numbers of a damaged tape may ask for at most."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("what", choices=("info", "wav", "vtt"), help="print a summary, or make a WAV or WebVTT file")
    parser.add_argument("tape", type=Path, metavar="TAPE")
    parser.add_argument("out", type=Path, nargs="?", metavar="FILE", help="to write; beside the tape by default")


def run(args: argparse.Namespace) -> int:
    """0; 1 if there is no such tape; 65 if it is torn: what stands before was used."""
    try:
        tape = Tape(args.tape)
    except TapeError as error:
        print(error, file=sys.stderr)
        return exits.CRASH
    reading = _Reading(tape)
    out = args.out or args.tape.with_suffix(f".{args.what}")
    try:
        {"info": _info, "wav": _wav, "vtt": _vtt}[args.what](reading, out)
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"{out}: {error.strerror}; choose another FILE", file=sys.stderr)
        return exits.CRASH
    if reading.damage:
        print(reading.damage, file=sys.stderr)
        return DAMAGED
    return exits.OK


class _Reading:
    """A pass over a tape that remembers the damage instead of raising it."""

    def __init__(self, tape: Tape) -> None:
        self.tape, self.damage = tape, ""

    def __iter__(self) -> Iterator[Entry]:
        try:
            yield from self.tape.entries()
        except Damaged as error:
            self.damage = str(error)


def _info(reading: _Reading, _out: Path) -> None:
    header = reading.tape.header
    counts: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    first: int | None = None
    last = 0
    for entry in reading:
        key = (str(entry.fields.get("src")), entry.topic)
        counts[key] += 1
        pcm = entry.fields.get("pcm")
        sizes[key] += len(pcm) if isinstance(pcm, bytes) else 0
        first, last = entry.ns if first is None else first, entry.ns
    when = header.get("wall_s")
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when)) if isinstance(when, int | float) else "unknown"
    length_s = (last - first) / 1e9 if first is not None else 0.0
    print(f"{reading.tape.path}: {sum(counts.values())} messages in {length_s:.1f} s, recorded {began}")
    print(f"  privacy {header.get('privacy', 'unknown')}, by version {header.get('version', 'unknown')}")
    for (src, topic), count in sorted(counts.items()):
        print(
            f"  {src:>12}  {topic:<24} {count:>8}"
            + (f"  {sizes[src, topic] / 1e6:8.2f} MB" if sizes[src, topic] else "")
        )


def _wav(reading: _Reading, out: Path) -> None:
    """Left: the person as the service was sent them; right: the machine as it was heard."""
    import wave

    import numpy as np

    from pipeline.audio.resample import Timed, TimedResampler

    sides: dict[str, list[Timed]] = {"voice": [], "played": []}
    resamplers: dict[tuple[str, str], TimedResampler] = {}
    for entry in reading:
        fields, name = entry.fields, entry.topic.removeprefix("audio.")
        pcm, rate, t = fields.get("pcm"), fields.get("rate"), fields.get("t")
        if not (isinstance(pcm, bytes) and pcm and isinstance(t, int) and isinstance(rate, int) and rate in RATES):
            continue
        if name in sides and fields.get("replay") is None and fields.get("channels") == 1:
            resampler = resamplers.setdefault((str(fields.get("src")), name), TimedResampler(RATE))
            sides[name] += resampler.push(np.frombuffer(pcm[: len(pcm) & ~1], np.dtype("<i2")), rate, t)
    for (_, name), resampler in resamplers.items():
        sides[name] += resampler.drain()
    if not any(sides.values()):
        print("no sound on this tape: record with --privacy everything to keep it", file=sys.stderr)
    starts = [block.t for blocks in sides.values() for block in blocks]
    began, ended = (min(starts), max(starts)) if starts else (0, 0)
    frames = min(int((ended - began) * RATE / 1e9) + RATE, LONGEST_S * RATE) if starts else 0
    sound = np.zeros((frames, 2), np.dtype("<i2"))
    for channel, blocks in enumerate(sides.values()):
        for block in blocks:
            at = (block.t - began) * RATE // 1_000_000_000
            part = block.samples[: max(0, frames - at)]
            sound[at : at + len(part), channel] = part
    with wave.open(str(out), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(sound.tobytes())
    print(f"{out}: {frames / RATE:.1f} s; left the person, right the machine")


def _vtt(reading: _Reading, out: Path) -> None:
    """One cue for each side's words of a turn, by the clock of the WAV file."""
    cues = cues_of(reading)
    lines = ["WEBVTT", ""]
    for start, end, who, text in cues:
        words = " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())
        lines += [f"{_clock(start)} --> {_clock(max(end, start + 1_000_000))}", f"<v {_name(who)}>{words}", ""]
    out.write_text("\n".join(lines), "utf-8", "replace")
    print(f"{out}: {len(cues)} cues")


def _name(who: str) -> str:
    return re.sub(r"[^\w -]", "", who)[:40] or "somebody"


def _clock(ns: int) -> str:
    return f"{ns // 3_600_000_000_000:02}:{ns // 60_000_000_000 % 60:02}:{ns / 1e9 % 60:06.3f}"
