"""Which microphone or speaker a configured name means now, or what to do so that there is one. No PortAudio."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.audio import cards, soundserver
from pipeline.audio.soundserver import CLIENT_ENV, Endpoint, Kind

RATE = 48_000
"""Of an endpoint about which nothing is known."""
DEFAULT_CARD = "the default card"
"""Name of what ALSA opens where nothing is chosen."""


@dataclass(frozen=True)
class Found:
    """A device that can be opened: `name` for people; `endpoint` of the sound server, None for plain ALSA."""

    kind: Kind
    name: str
    endpoint: Endpoint | None
    pcm: str = ""
    """What to look for in PortAudio's list, a part of a name; "" where the endpoint or the name says it."""


def find(kind: Kind, device: str) -> Found | str:
    """What `device` (a name, a part of one, or `auto`) means now, or why there is nothing, with the remedy.

    Never touches PortAudio: to be asked each 500 ms until the answer is a device.
    """
    try:
        if not soundserver.reachable():
            return _find_alsa(kind, device)
        offered = soundserver.endpoints(kind)
    except soundserver.ServerSilent as frozen:
        return str(frozen)
    if offered is not None:
        choice = soundserver.choose(kind, device, offered, os.environ)
        if isinstance(choice, str):
            return Found(kind, device, None, device) if device in cards.named_pcms() else choice
        if choice.suspended and not soundserver.flows(kind, choice.name):
            return soundserver.asleep(kind, choice.name)
        return Found(kind, choice.name, choice)
    if device == "auto":
        return Found(kind, os.environ.get(CLIENT_ENV[kind]) or "the sound server's default", None)
    # Without pactl there is no list of what the server has: the name has to be whole, nothing can complete it.
    return Found(kind, device, Endpoint(device, device, 2, RATE))


def _has(pcms: list[str], number: int) -> bool:
    """Whether a card has one of these PCMs, lines of the kernel like `01-00: USB Audio : USB Audio : playback 1`."""
    return any(line.split("-")[0].isdecimal() and int(line.split("-")[0]) == number for line in pcms)


def _find_alsa(
    kind: Kind, device: str, proc: Path = Path("/proc/asound"), sys: Path = Path("/sys/class/sound")
) -> Found | str:
    """A card of the kernel, for machines without a sound server."""
    if device in cards.named_pcms():
        return Found(kind, device, None, device)
    word = "capture" if kind == "microphone" else "playback"
    pcms: list[str] = []
    with contextlib.suppress(OSError):
        pcms = [line for line in (proc / "pcm").read_text().splitlines() if f": {word}" in line]
    if not pcms:
        return (
            f"no sound server and no card with {word}: plug the {kind} in, or start the server "
            "(systemctl --user start pipewire-pulse or pulseaudio; XDG_RUNTIME_DIR or PULSE_SERVER must lead to it)"
        )
    if device == "auto":
        return Found(kind, DEFAULT_CARD, None)
    for card in cards.cards(proc, sys):
        if cards.plain(device) in {alias.casefold() for alias in card.aliases} and _has(pcms, card.number):
            return Found(kind, device, None, f"(hw:{card.number},")
    matching = [line for line in pcms if device.casefold() in line.casefold()]
    names = ", ".join(line.split(":")[1].strip() for line in matching or pcms)
    if len({line.split("-")[0] for line in matching}) > 1:
        return f"{device!r} is a part of more than one {kind}'s name: write more of it in the configuration ({names})"
    if matching:
        return Found(kind, device, None)
    return f"no {kind} is named {device!r}: plug it in, or name another in the configuration (there is: {names})"
