"""PulseAudio and PipeWire from outside: is a server there, what does it offer, which of it is meant. No PortAudio.

A process that has opened PortAudio once can never be trusted to look again, so whoever waits for a device looks here:
at the server's socket, and at `pactl` where it is installed. Without pactl everything works but names and the guard.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.audio import cards

Kind = Literal["microphone", "speaker"]

ECHO_CANCEL = "echo_cancel"
"""Names the microphone or the speaker whose echo the server itself cancels: both, or it has nothing to compare."""

PACTL_S = 1.0
"""Bound of one pactl: a frozen server never answers, and whoever asks has to beat every 0.5 s and is dead after 2."""
DIAGNOSIS_S = 0.5
"""The same where a stage already stands still, and its 2 s are running."""
FLOWS_S = 0.7
"""In which a source that sleeps by itself wakes up and gives its first sound."""

NOTHING = "auto_null"
"""The sink (`Dummy Output`) of a server without one: who speaks into it is heard by nobody."""

_WORD: dict[Kind, str] = {"microphone": "source", "speaker": "sink"}
CLIENT_ENV: dict[Kind, str] = {"microphone": "PULSE_SOURCE", "speaker": "PULSE_SINK"}
"""What libpulse reads when it connects: PortAudio's own list shows only `pulse` and `default`."""


_RESTART = "the sound server does not answer: restart it (systemctl --user restart pipewire-pulse or pulseaudio)"


class ServerSilent(Exception):
    """The sound server takes connections and answers none: it is frozen."""


@dataclass(frozen=True)
class Endpoint:
    """One source or sink of the server."""

    name: str
    description: str
    channels: int
    rate: int
    default: bool = False
    suspended: bool = False
    """Asleep because nobody uses it, or put to sleep by somebody: the server does not say which."""
    aliases: tuple[str, ...] = ()
    """What it may also be called: USB id, ALSA's names for its card."""

    @property
    def monitor(self) -> bool:
        """A speaker's own sound, offered as a microphone."""
        return self.name.endswith(".monitor")

    @property
    def real(self) -> bool:
        """Something that can hear or be heard: no monitor, and not what a server offers when it has nothing."""
        return not self.monitor and self.name != NOTHING


def sockets(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Paths where a server's unix socket may be, likeliest first. PULSE_SERVER leaves only what it names."""
    if named := environ.get("PULSE_SERVER", "").split():
        paths = [re.sub(r"^\{.*?\}", "", word).removeprefix("unix:") for word in named]
        return [path for path in paths if path.startswith("/")]
    runtime = environ.get("XDG_RUNTIME_DIR")
    paths = [
        os.path.join(environ["PULSE_RUNTIME_PATH"], "native") if environ.get("PULSE_RUNTIME_PATH") else "",
        os.path.join(runtime, "pulse", "native") if runtime else "",
        *(str(path) for path in Path(environ.get("HOME", "/nonexistent"), ".config/pulse").glob("*-runtime/native")),
        "/run/pulse/native",
    ]
    return [path for path in paths if path]


def connect(environ: Mapping[str, str] = os.environ) -> socket.socket | None:
    """A connection to the server's socket, None if nobody listens there. ServerSilent if it takes nobody any more."""
    for path in sockets(environ):
        wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        wire.setblocking(False)
        try:
            wire.connect(path)
        except BlockingIOError as full:  # a frozen server: others have filled its queue of callers
            wire.close()
            raise ServerSilent(_RESTART) from full
        except OSError:
            wire.close()
            continue
        return wire
    return None


def reachable() -> bool:
    """Whether a sound server is there: by its socket, else by what pactl says (tcp, client.conf)."""
    wire = connect()
    if wire is not None:
        wire.close()
        return True
    return pactl("info") is not None


def pactl(*words: str, within_s: float = PACTL_S) -> str | None:
    """Output of `pactl WORDS`; None if it is not installed or fails. ServerSilent after `within_s`."""
    program = shutil.which("pactl")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *words],
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ServerSilent(_RESTART) from error
    except OSError:
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def endpoints(kind: Kind) -> list[Endpoint] | None:
    """What the server offers, monitors included; None if it can't be known (no pactl). ServerSilent if it does not say.

    Never None for a server in trouble: a device would be opened unseen, and nobody would notice it being moved.
    """
    word = _WORD[kind]
    default = (pactl(f"get-default-{word}") or "").strip()
    listed = pactl("--format=json", "list", f"{word}s")
    if listed is not None:
        return parse_json(listed, default, cards.cards())
    listed = pactl("list", "short", f"{word}s")  # pactl before 16 knows no JSON
    if listed is None and shutil.which("pactl"):
        raise ServerSilent(_RESTART)
    return None if listed is None else parse_short(listed, default)


def parse_json(listed: str, default: str, known: Iterable[cards.Card] = ()) -> list[Endpoint]:
    """Endpoints from `pactl --format=json list sources` (or sinks); what is not understood is left out."""
    try:
        entries: list[dict[str, Any]] = json.loads(listed or "[]")
    except ValueError:
        return []
    found = []
    for entry in entries:
        name = str(entry.get("name", ""))
        if name:
            channels, rate = _specification(str(entry.get("sample_specification", "")))
            description, asleep = str(entry.get("description") or name), entry.get("state") == "SUSPENDED"
            properties = entry.get("properties")
            aliases = cards.aliases_of(properties, known) if isinstance(properties, dict) else ()
            found.append(Endpoint(name, description, channels, rate, name == default, asleep, aliases))
    return found


def parse_short(listed: str, default: str) -> list[Endpoint]:
    """Endpoints from `pactl list short sources` (or sinks): columns number, name, driver, specification, state."""
    found = []
    for line in listed.splitlines():
        columns = line.split("\t")
        if len(columns) >= 4:
            channels, rate = _specification(columns[3])
            asleep = columns[4:5] == ["SUSPENDED"]
            found.append(Endpoint(columns[1], columns[1], channels, rate, columns[1] == default, asleep))
    return found


def _specification(text: str) -> tuple[int, int]:
    """Channels and rate of `s16le 2ch 48000Hz`; 2 and 48000 where it says something else."""
    channels, rate = re.search(r"(\d+)ch", text), re.search(r"(\d+)Hz", text)
    return int(channels[1]) if channels else 2, int(rate[1]) if rate else 48_000


def choose(kind: Kind, device: str, offered: Sequence[Endpoint], environ: Mapping[str, str]) -> Endpoint | str:
    """The endpoint that `device` means, or what to do so that there is one.

    `auto` is what PULSE_SOURCE or PULSE_SINK names, else the server's default. Else a name, a part of a name or
    description in any case, a USB id (`046d:0825`), or ALSA's name of the card (`hw:Device`). `echo_cancel` is the one
    that the server cancels the echo of. Of several the default one; where none of them is, they are named and none is
    chosen: which came first was chance, and the next boot would take another. A monitor is never chosen unless it is
    named in full: a machine that listens to its own speaker talks to itself.
    """
    wanted = environ.get(CLIENT_ENV[kind], "") if device == "auto" else device
    for endpoint in offered:
        if endpoint.name == wanted:
            return endpoint
    real = sorted((e for e in offered if e.real), key=lambda e: (not e.default, e.name))
    if not wanted:
        return real[0] if real else f"the sound server offers no {kind}: plug one in"
    matching = [e for e in real if _is_called(wanted, e)] or [e for e in real if _means(wanted, e)]
    if matching and (len(matching) == 1 or matching[0].default or wanted == ECHO_CANCEL):
        return matching[0]
    if matching:
        names = ", ".join(e.name for e in matching)
        return f"{wanted!r} is a part of more than one {kind}'s name: write more of it in the configuration ({names})"
    if wanted == ECHO_CANCEL:
        return f"the sound server cancels no echo for a {kind}: pactl load-module module-echo-cancel, or name another"
    names = ", ".join(e.name for e in real) or "none"
    return f"no {kind} is named {wanted!r}: plug it in, or name another in the configuration (there is: {names})"


def _means(wanted: str, endpoint: Endpoint) -> bool:
    name = endpoint.name.casefold()
    if wanted == ECHO_CANCEL:
        return "echo-cancel" in name.replace("_", "-")
    part = wanted.casefold()
    return part in name or part in endpoint.description.casefold()


def _is_called(wanted: str, endpoint: Endpoint) -> bool:
    """By a whole name, which goes before a part of another's."""
    aliases = {alias.casefold() for alias in (*endpoint.aliases, endpoint.description)}
    return wanted.casefold() in aliases or cards.plain(wanted) in aliases


def asleep(kind: Kind, name: str) -> str:
    """What to do about an endpoint that somebody put to sleep."""
    return (
        f"the {kind} {name} is suspended: press its mute switch again, or wake it "
        f"(pactl suspend-{_WORD[kind]} {name} 0)"
    )


def flows(kind: Kind, name: str) -> bool:
    """Whether a suspended endpoint wakes when it is used; a stream on one that does not would hang. Takes FLOWS_S.

    Asked of `parec` (of a speaker: at its monitor), which can be killed; true where that is not installed.
    """
    program = shutil.which("parec")
    if program is None:
        return True
    source = name if kind == "microphone" else f"{name}.monitor"
    with subprocess.Popen(
        [program, "-d", source, "--raw", "--latency-msec=20"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as listener:
        assert listener.stdout is not None
        ready = select.select([listener.stdout], [], [], FLOWS_S)[0]
        listener.kill()
        return bool(ready and os.read(listener.stdout.fileno(), 1))


def why_silent(kind: Kind, name: str | None) -> str:
    """Why an open stream on `name` (None: the default) stands still, with the remedy. Takes DIAGNOSIS_S at most."""
    otherwise = f"the {kind} {name or 'in use'} stands still: plug it in again, or restart the sound server"
    return known_cause(kind, name) or otherwise


def known_cause(kind: Kind, name: str | None) -> str | None:
    """Why a stream on `name` stands still as far as the server tells, or by its own silence; None if all seems well."""
    try:
        listed = pactl("--format=json", "list", f"{_WORD[kind]}s", within_s=DIAGNOSIS_S)
    except ServerSilent as frozen:
        return str(frozen)
    named = [endpoint for endpoint in parse_json(listed or "", "") if endpoint.name == name]
    if named and named[0].suspended:
        return asleep(kind, named[0].name)
    return None


def connected(kind: Kind, pid: int) -> list[str] | None:
    """Names of the endpoints that process `pid` truly streams from or to; None if it can't be known."""
    word = _WORD[kind]
    listed = pactl("--format=json", "list", "source-outputs" if kind == "microphone" else "sink-inputs")
    names = pactl("list", "short", f"{word}s")
    if listed is None or names is None:
        return None
    return parse_connected(listed, names, word, pid)


def parse_connected(listed: str, names: str, word: str, pid: int) -> list[str]:
    """Names of the `word` (source, sink) of each stream whose client is process `pid`."""
    by_number = dict(line.split("\t")[:2] for line in names.splitlines() if "\t" in line)
    try:
        streams: list[dict[str, Any]] = json.loads(listed or "[]")
    except ValueError:
        return []
    ours = [s for s in streams if s.get("properties", {}).get("application.process.id") == str(pid)]
    return [by_number.get(str(s.get(word)), "") for s in ours]
