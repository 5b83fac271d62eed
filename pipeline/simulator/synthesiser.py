"""A synthesiser of this machine, run as a program: its licence stays its own, its crash stays out of ours."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from pipeline.simulator.clips import Samples, decode

PROGRAMS = ("espeak-ng", "espeak")
"""Looked for in this order. Both take the same arguments."""

LONGEST_S = 10.0
"""Rendering a sentence takes some 25 ms; a program that takes this long hangs."""

WORDS_A_MINUTE = 165


class Silent(Exception):
    """The synthesiser gave no sound; the text says why."""


def program() -> str | None:
    """The installed synthesiser, or None."""
    return next((path for path in map(shutil.which, PROGRAMS) if path), None)


def synthesise(path: str, text: str, language: str) -> Samples:
    """`text` as 24 kHz mono, shape (n,). Raises `Silent`.

    A language the program does not know is spoken in the program's own default voice.
    """
    for voice in (["-v", language.lower()], []):
        with tempfile.TemporaryDirectory(prefix="simulator-speech-") as folder:
            wav = Path(folder) / "speech.wav"
            command = [path, *voice, "-s", str(WORDS_A_MINUTE), "-w", str(wav), "--stdin"]
            try:
                done = subprocess.run(
                    command, input=text.encode("utf-8", "replace"), capture_output=True, timeout=LONGEST_S, check=False
                )
                if done.returncode == 0:
                    return decode(wav)
                failure = done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.returncode}"
            except (OSError, ValueError, subprocess.TimeoutExpired) as error:
                raise Silent(f"{path}: {error}") from error
    raise Silent(f"{path}: {failure}")
