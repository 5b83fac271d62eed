"""Sound cards by what the kernel and ALSA's own files call them: number, id, USB id, a name in `.asoundrc`."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_CARD = re.compile(r"^\s*(\d+) \[(\S+)\s*\]: (?:\S+ - )?(.*)$")
_PCM = re.compile(r"^\s*pcm\s*\.\s*!?\s*[\"']?([\w-]+)", re.MULTILINE)
_HW = re.compile(r"^(?:plug)?hw:(?:card=)?([^,]+)", re.IGNORECASE)
USB_ID = re.compile(r"^[0-9a-f]{4}:[0-9a-f]{4}$", re.IGNORECASE)


@dataclass(frozen=True)
class Card:
    """One card: its number changes with the order of plugging in, its id and USB id do not."""

    number: int
    id: str
    name: str
    usb: str = ""
    """`vendor:product`, four hexadecimal digits each; "" for what is not on USB."""

    @property
    def aliases(self) -> tuple[str, ...]:
        """What it may be called in a configuration."""
        return tuple(word for word in (f"hw:{self.number}", f"hw:{self.id}", self.id, self.name, self.usb) if word)


def cards(proc: Path = Path("/proc/asound"), sys: Path = Path("/sys/class/sound")) -> list[Card]:
    """Those that the kernel has now."""
    try:
        lines = (proc / "cards").read_text(errors="replace").splitlines()
    except OSError:
        return []
    found = [match.groups() for line in lines if (match := _CARD.match(line))]
    return [Card(int(number), name, text.strip(), _usb_id(sys / f"card{number}")) for number, name, text in found]


def _usb_id(card: Path) -> str:
    """The device of a USB card is one interface of it; the ids are a folder higher."""
    try:
        above = (card / "device").resolve().parent
        return ":".join((above / part).read_text().strip().lower() for part in ("idVendor", "idProduct"))
    except OSError:
        return ""


def plain(device: str) -> str:
    """`plughw:CARD=Device,0` as `hw:device`: of ALSA's spellings the one in `aliases`, in small letters."""
    match = _HW.match(device)
    return f"hw:{match[1]}".casefold() if match else device.casefold()


def aliases_of(properties: Mapping[str, object], known: Iterable[Card]) -> tuple[str, ...]:
    """What a sound server's endpoint may also be called, by its properties and the card behind it."""

    def said(key: str) -> str:
        return str(properties.get(key, "")).strip()

    vendor, product = (said(f"device.{part}.id").lower().removeprefix("0x") for part in ("vendor", "product"))
    usb = f"{vendor:0>4}:{product:0>4}" if vendor and product else ""
    number = said("alsa.card") or said("api.alsa.card")
    card = next((card for card in known if str(card.number) == number), None)
    words = (
        usb,
        said("alsa.card_name"),
        said("alsa.long_card_name"),
        said("alsa.id"),
        f"hw:{number}" if number else "",
    )
    return tuple(dict.fromkeys(word for word in (*words, *(card.aliases if card else ())) if word))


def named_pcms(environ: Mapping[str, str] = os.environ) -> set[str]:
    """PCMs that a person has named in `~/.asoundrc` or `/etc/asound.conf`; PortAudio lists them by that name."""
    found: set[str] = set()
    for path in (Path(environ.get("HOME", "/nonexistent"), ".asoundrc"), Path("/etc/asound.conf")):
        with contextlib.suppress(OSError):
            found |= set(_PCM.findall(path.read_text(errors="replace")))
    return found - {"default"}
