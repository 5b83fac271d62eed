"""`tap [--json] [--wav FILE] [PATTERN…]`: print what passes on the bus. It can neither slow it nor speak on it."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline import exits, places
from pipeline.audio.wav_file import GrowingWav
from pipeline.bus.listener import Heard, Listener
from pipeline.bus.patterns import Patterns
from pipeline.cli import running


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    what = "topics (event.*, audio.voice) or edges (gain/voice, session/*, frontend/event.*); all by default"
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help=what)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, pcm as its byte count")
    parser.add_argument("--wav", type=Path, metavar="FILE", help="write the sound of the first stream that fits")
    running.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print until interrupted; waits for a pipeline that is not up yet, and for the next one after its end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits it ignored
    running.look_on()
    listener = Listener(_saying_strangers(running.wait_for(args), Patterns(args.patterns)), args.patterns)
    ear = _Ear(args.wav) if args.wav is not None else None
    began_ns = time.monotonic_ns()
    try:
        for message in listener.heard():
            if message.missed:
                _say_gap(message, as_json=args.json)
            if ear is not None:
                ear.hear(message)
            line = as_json(message) if args.json else as_text(message, began_ns)
            print(line, flush=not listener.more)
    except _Unwritable as error:
        print(error, file=sys.stderr)
        return exits.CRASH
    finally:
        listener.close()
        if ear is not None:
            ear.close()
    return exits.OK


def _saying_strangers(find: Callable[[], Path | None], patterns: Patterns) -> Callable[[], Path | None]:
    """`find`, and a word on stderr, once, of a stage in the patterns that the pipeline found does not have."""
    said: list[str] = []

    def look() -> Path | None:
        run_dir = find()
        if run_dir is not None and (stages := _stages(run_dir)) and (unknown := patterns.strangers(stages)) != said:
            said[:] = unknown
            if unknown:
                named = ", ".join(repr(name) for name in unknown)
                print(f"waiting: no stage is called {named}; the stages are {', '.join(stages)}", file=sys.stderr)
        return run_dir

    return look


def _stages(run_dir: Path) -> list[str]:
    try:
        return list(json.loads(places.connection_file(run_dir).read_text())["endpoints"])
    except (OSError, ValueError, KeyError, TypeError):  # it is just being started
        return []


def as_json(message: Heard) -> str:
    """One object: topic, the stamp, then the fields of the message."""
    fields = _counted(message.fields)
    fields.pop("v", None)
    if isinstance(body := fields.get("body"), Mapping):
        fields["body"] = _counted(body)
    return json.dumps({"topic": message.topic, **fields}, ensure_ascii=False, default=repr)


def as_text(message: Heard, began_ns: int) -> str:
    """One line for a person: seconds since the tap began, how late it came where that is known, who, what."""
    fields = message.fields
    late = f"{message.late_ms:5.1f} ms" if message.late_ms is not None else " " * 8
    head = f"{(fields['sent'] - began_ns) / 1e9:9.3f} {late}  {fields['src']:>10}  {message.topic:<20}"
    body = fields.get("body")
    if isinstance(body, Mapping):
        return f"{head} " + " ".join(f"{key}={_short(value)}" for key, value in body.items())
    pcm, rate, channels = fields.get("pcm"), fields.get("rate"), fields.get("channels")
    if not isinstance(pcm, bytes) or not isinstance(rate, int) or not isinstance(channels, int) or rate * channels < 1:
        return f"{head} " + " ".join(f"{key}={_short(value)}" for key, value in fields.items() if key not in _STAMP)
    place = f"epoch={fields['epoch']} at={fields.get('at')}" if "epoch" in fields else f"t={fields.get('t')}"
    marks = " gated" * (fields.get("gated") is True) + " replay" * (fields.get("replay") is not None)
    ms = len(pcm) / 2 / channels / rate * 1000
    return f"{head} {ms:.0f} ms {rate} Hz x{channels} {level_dbfs(pcm):6.1f} dBFS {place}{marks}"


_STAMP = {"v", "src", "inst", "seq", "sent"}


def level_dbfs(pcm: bytes) -> float:
    """RMS of s16le of any number of channels."""
    from pipeline.audio.pcm import level, to_samples  # here: a tap on events needs no numpy

    return level(to_samples(pcm[: len(pcm) & ~1])).rms_dbfs


def _counted(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Sound and pictures as their number of bytes."""
    return {key: len(value) if isinstance(value, bytes) else value for key, value in fields.items()}


def _short(value: Any) -> str:
    return f"<{len(value)} bytes>" if isinstance(value, bytes) else str(value)


def _say_gap(message: Heard, *, as_json: bool) -> None:
    src, missed = message.fields["src"], message.missed
    if as_json:
        print(json.dumps({"gap": missed, "src": src, "topic": message.topic}), flush=True)
    else:
        print(f"{'':>20}  {src:>10}  {message.topic:<20} -- {missed} missing here --", flush=True)


class _Unwritable(Exception):
    """The file can't be written; the text says which and why."""


class _Ear:
    """The sound of one stream, into a WAV file that can be played while it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: tuple[str, str, int, int] | None = None
        self._file: GrowingWav | None = None

    def hear(self, message: Heard) -> None:
        """Write a live block of the first stream that came; what was replayed came before. Raises _Unwritable."""
        fields = message.fields
        pcm, rate, channels = fields.get("pcm"), fields.get("rate"), fields.get("channels")
        if not isinstance(pcm, bytes) or not isinstance(rate, int) or not isinstance(channels, int):
            return
        stream = (str(fields["src"]), message.topic, rate, channels)
        if self._file is None:
            try:
                self._file = GrowingWav(self._path, rate, channels=channels)
            except OSError as error:
                raise _Unwritable(f"{self._path}: {error.strerror}; choose another place for --wav") from error
            self._stream = stream
            print(f"{self._path}: {stream[0]}/{message.topic.removeprefix('audio.')}", file=sys.stderr)
        if stream == self._stream and fields.get("replay") is None:
            self._file.write(pcm)

    def close(self) -> None:
        """Nothing follows."""
        if self._file is not None:
            self._file.close()
