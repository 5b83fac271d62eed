"""The microphones and speakers of this machine, by the names that a configuration uses."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from pipeline.audio import devices, soundserver
from pipeline.audio.devicefind import Found
from pipeline.audio.soundserver import Kind


@dataclass(frozen=True)
class Listed:
    """A line of `devices`: the name that a configuration would use, and the rates that it takes."""

    kind: Kind
    name: str
    description: str
    channels: int
    rates: tuple[int, ...]
    default: bool


TRIED_RATES = (8_000, 16_000, 24_000, 44_100, 48_000, 96_000)


def listed(kind: Kind) -> list[Listed]:
    """Every microphone or speaker of this machine; none while the server is frozen: `find` says so.

    Initialises PortAudio: for a process of its own only.
    """
    try:
        offered = soundserver.endpoints(kind) if soundserver.reachable() else None
    except soundserver.ServerSilent:
        return []
    if offered is not None:
        real = sorted((e for e in offered if e.real), key=lambda e: (not e.default, e.name))
        return [
            Listed(kind, e.name, e.description, e.channels, _working_rates(Found(kind, e.name, e)), e.default)
            for e in real
        ]
    return _listed_by_portaudio(kind)


def _working_rates(found: Found) -> tuple[int, ...]:
    try:
        index = devices.index_of(found)
    except devices.DeviceLost:
        return ()
    return tuple(rate for rate in TRIED_RATES if devices.takes(index, found.kind, rate))


def _listed_by_portaudio(kind: Kind) -> list[Listed]:
    """Without a list from the server: ALSA's own devices, or the server's default alone."""
    portaudio = devices.portaudio()
    side = "Input" if kind == "microphone" else "Output"
    ask = getattr(portaudio, f"get_default_{side.lower()}_device_info")
    default: dict[str, Any] = {}
    with contextlib.suppress(OSError):  # there is none
        default = dict(ask())
    found = []
    for index in range(portaudio.get_device_count()):
        info = portaudio.get_device_info_by_index(index)
        if channels := int(info[f"max{side}Channels"]):
            rates = tuple(rate for rate in TRIED_RATES if devices.takes(index, kind, rate))
            name = str(info["name"])
            found.append(Listed(kind, name, name, channels, rates, index == default.get("index")))
    return found
