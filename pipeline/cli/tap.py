"""`tap [--json] [PATTERN…]`: print what passes on a running pipeline's bus. It can neither slow it nor speak on it."""

from __future__ import annotations

import argparse
import fnmatch
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import zmq

from pipeline import exits
from pipeline.bus import codec
from pipeline.bus.consumer import Consumer
from pipeline.bus.messages import Audio, Event
from pipeline.cli.running import find_run


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="topics: event.*, audio.voice; all by default")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, pcm as its byte count")
    parser.add_argument("--name", help="the pipeline's name, when several run")
    parser.add_argument("--run", type=Path, metavar="DIR", help="the pipeline's run directory")


def run(args: argparse.Namespace) -> int:
    """Print until interrupted, or until the pipeline is gone for good."""
    run_dir = find_run(args)
    if run_dir is None:
        return exits.CRASH
    connection = json.loads((run_dir / "bus.json").read_text())
    began_ns = time.monotonic_ns()
    for stamp, message in messages(connection["endpoints"]):
        if not matches(stamp.topic, args.patterns):
            continue
        line = as_json(stamp, message) if args.json else as_text(stamp, message, began_ns)
        print(line, flush=True)
    return exits.OK


def matches(topic: str, patterns: list[str]) -> bool:
    """True if the topic fits a pattern (shell wildcards), or if there is none."""
    return not patterns or any(fnmatch.fnmatchcase(topic, pattern) for pattern in patterns)


def as_json(stamp: codec.Stamp, message: Audio | Event) -> str:
    """One object: the stamp, then the fields of the message."""
    fields: dict[str, Any] = {"topic": stamp.topic, "src": stamp.src, "inst": stamp.inst, "seq": stamp.seq}
    fields["sent"] = stamp.sent
    if isinstance(message, Audio):
        fields |= {**codec.audio_fields(message), "pcm": len(message.pcm)}
    else:
        fields["body"] = dict(message.body)
    return json.dumps(fields, ensure_ascii=False, default=repr)


def as_text(stamp: codec.Stamp, message: Audio | Event, began_ns: int) -> str:
    """One line for a person: seconds since the tap began, who, what."""
    head = f"{(stamp.sent - began_ns) / 1e9:9.3f}  {stamp.src:>10}  {stamp.topic:<20}"
    if isinstance(message, Event):
        return f"{head} " + " ".join(f"{key}={value}" for key, value in message.body.items())
    place = f"epoch={message.epoch} at={message.at}" if message.epoch is not None else f"t={message.t}"
    marks = " gated" * message.gated + " replay" * (message.replay is not None)
    return f"{head} {message.duration_ns / 1e6:.0f} ms {message.rate} Hz x{message.channels} {place}{marks}"


def messages(endpoints: Mapping[str, str]) -> Iterator[tuple[codec.Stamp, Audio | Event]]:
    """Everything that the stages say, as it comes; follows restarts, for a stage's endpoint stays the same."""
    context: zmq.Context[Any] = zmq.Context()
    poller = zmq.Poller()
    consumers = [Consumer(context, endpoint, ("event.", "audio.")) for endpoint in endpoints.values()]
    for consumer in consumers:
        poller.register(consumer.socket, zmq.POLLIN)
    while True:
        poller.poll()
        for consumer in consumers:
            consumer.drain(time.monotonic_ns())
            while (message := consumer.next()) is not None:
                yield message
