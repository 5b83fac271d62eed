"""`new stage NAME`: a stage that runs, its test and its configuration, to be changed by hand."""

from __future__ import annotations

import argparse
import contextlib
import keyword
import re
import sys
from pathlib import Path

from pipeline import exits
from pipeline.config.use import builtin_stages

STAGE = '''\
"""{title}: what it does, in one line."""

from pipeline import Audio, Event, Stage, main


class {title}(Stage):
    """Hears `voice`, says `voice`."""

    bypass: bool = False  # `bypass: true` in the YAML lands here, checked

    def on_audio(self, audio: Audio) -> None:
        if self.bypass:
            self.emit("voice", audio)
            return
        self.emit("voice", audio.replace(samples=audio.samples))  # int16, shape (n,): change them here

    def on_speech_started(self, event: Event) -> None:  # any event: a method of its name
        self.log.info("somebody speaks", t=event.body.get("t"))


if __name__ == "__main__":
    main({title})
'''
TEST = """\
from {name} import {title}

from pipeline.testing import Trial, blocks, tone


def test_what_is_heard_is_said() -> None:
    heard = blocks(tone(1000, ms=100))
    with Trial({title}) as trial:
        trial.hear(*heard)
        trial.event("speech_started", t=0)
        assert [audio.pcm for audio in trial.emitted] == [audio.pcm for audio in heard]
"""
CONFIG = """\
# voice-pipeline run {name}.yaml: the demonstration with your stage between frontend and session.
extends: demo.yaml

stages:
  {name}: {{use: "{name}:{title}", inputs: {{voice: frontend/voice}}}}
  session: {{inputs: {{voice: {name}/voice}}}}
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("what", choices=("stage",))
    parser.add_argument("name", metavar="NAME", help="a-z, 0-9 and _: also the name of its file")
    parser.add_argument("--in", dest="folder", type=Path, default=Path(), metavar="DIR", help="default: this folder")


def run(args: argparse.Namespace) -> int:
    """0; 1 if a file is there already or can't be written: then none is."""
    name: str = args.name
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name) or keyword.iskeyword(name):
        print(f"{name!r}: expected a name of a-z, 0-9 and _, a letter first, no word of Python's", file=sys.stderr)
        return exits.CRASH
    if name in builtin_stages():
        print(f"{name!r} is a stage that ships: choose another name, or yours would hide behind it", file=sys.stderr)
        return exits.CRASH
    title = "".join(part.capitalize() for part in name.split("_"))
    texts = {f"{name}.py": STAGE, f"test_{name}.py": TEST, f"{name}.yaml": CONFIG}
    paths = {args.folder / file: text.format(name=name, title=title) for file, text in texts.items()}
    if there := [str(path) for path in paths if path.exists()]:
        print(f"{', '.join(there)}: already there; choose another name, or another folder by --in", file=sys.stderr)
        return exits.CRASH
    try:
        for path, text in paths.items():
            path.write_text(text, "utf-8")
    except OSError as error:
        for half_done in paths:
            with contextlib.suppress(OSError):
                half_done.unlink()
        print(f"{path}: {error.strerror}; choose another folder by --in", file=sys.stderr)
        return exits.CRASH
    for path in paths:
        print(path)
    print(f"next: voice-pipeline run {args.folder / name}.yaml")
    print(f"its test: pip install pytest; python -m pytest {args.folder / f'test_{name}.py'}")
    return exits.OK
