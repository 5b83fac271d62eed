"""The sound card: the only importer of PyAudio.

What PortAudio does to those who trust it, and the rules that follow (all measured):

- After an error of an open stream a second open may spin for ever: raise DeviceLost, exit, never reopen.
- close() from another thread while a read hangs is a segmentation fault: one thread owns the stream.
- A hung read never runs a Python signal handler: leave SIGTERM its default action.
- The list of devices is frozen at initialisation: wait for a device with `find`, which never touches PortAudio.
- Polling a stream whose server has died is a deadlock: `Speaker` asks its wire first.
- Any call may never return, opening included: all are made under a HangWatch, which ends the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pyaudio

from pipeline.audio import soundserver
from pipeline.audio.alsa import narrow as narrow_alsa
from pipeline.audio.devicefind import DEFAULT_CARD
from pipeline.audio.devicefind import Found as Found
from pipeline.audio.devicefind import find as find
from pipeline.audio.deviceguard import HangWatch, MoveWatch, Wire
from pipeline.audio.soundserver import CLIENT_ENV, Kind
from pipeline.exits import WORLD

RATES = (48_000, 44_100)
"""Tried after the wanted rate and before the device's own."""
MAX_CHANNELS = 8
PERIOD = 512
"""Frames a period of the speaker, whose queue holds three: 32 ms at 48 kHz. With 256 sound tore two or three times in
10 s on a busy machine. A deeper queue makes neither start nor silence later, because both drop what is queued; only a
change of volume has to wait for it."""

_STAY = "node.dont-reconnect=true"
"""PipeWire then ends a stream whose device is gone, at once, where it would else lead it to another: the microphone's
to the speaker's own sound. PulseAudio does not know it, and is watched (`MoveWatch`)."""
_REFUSED = "plug it in, end its other user, or let this user open it (group audio)"
"""PortAudio's words for busy, forbidden and gone are the same."""


class DeviceLost(Exception):
    """The device or its server is gone or refuses: this process can't use PortAudio any more. Says what to do."""


# -- PortAudio itself

_silenced: list[Any] = []  # the C callbacks: a collected one is a jump into freed memory


def _silence() -> None:
    """Keep ALSA's and JACK's 80 lines of probing out of stderr; PortAudio's own complaints stay."""
    if _silenced:
        return
    os.environ.setdefault("JACK_NO_START_SERVER", "1")
    alsa = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)(
        lambda *_: None
    )
    jack = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(lambda _: None)
    _silenced.extend((alsa, jack))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(alsa)
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL("libjack.so.0")
        library.jack_set_error_function(jack)
        library.jack_set_info_function(jack)


_portaudio: pyaudio.PyAudio | None = None


def _initialise(found: Found) -> tuple[pyaudio.PyAudio, int, dict[str, Any]]:
    """PortAudio, and index and description of the device. DeviceLost if it is not in PortAudio's list."""
    if found.endpoint is not None:
        os.environ[CLIENT_ENV[found.kind]] = found.endpoint.name  # before the first open: libpulse reads it there
        properties = os.environ.get("PULSE_PROP", "").split()
        os.environ["PULSE_PROP"] = " ".join(dict.fromkeys((*properties, _STAY)))
    opened = portaudio()
    side = "maxInputChannels" if found.kind == "microphone" else "maxOutputChannels"
    listed = [opened.get_device_info_by_index(i) for i in range(opened.get_device_count())]
    usable = [d for d in listed if int(d[side]) > 0]
    for wanted in _names(found):
        for info in usable:
            if re.search(wanted, str(info["name"]), re.IGNORECASE):
                return opened, int(info["index"]), dict(info)
    names = ", ".join(str(d["name"]) for d in usable) or "none"
    raise DeviceLost(f"{found.name}: PortAudio lists no such {found.kind} (it lists: {names}): {_REFUSED}")


def _names(found: Found) -> Sequence[str]:
    """Patterns of PortAudio's names for the device, best first."""
    if found.pcm:
        return (f"^{re.escape(found.pcm)}$", re.escape(found.pcm))
    if found.endpoint is not None or _served():
        return ("^pulse$", "^default$", "^pipewire$")
    return ("^default$", ".") if found.name == DEFAULT_CARD else (re.escape(found.name),)


def _served() -> bool:
    try:
        return soundserver.reachable()
    except soundserver.ServerSilent:
        return True


@dataclass(frozen=True)
class Format:
    rate: int
    channels: int


def _ladder(wanted: Sequence[int], info: dict[str, Any], channels: Sequence[int]) -> list[Format]:
    """What to try, in order: for each rate the wished channel counts."""
    rates = list(dict.fromkeys((*wanted, *RATES, int(info["defaultSampleRate"]))))
    return [Format(rate, count) for rate in rates for count in dict.fromkeys(channels)]


def _open(found: Found, wanted: Sequence[int], channels: Sequence[int], frames: int) -> tuple[Any, Format]:
    """A stream in the first format that opens. `frames` 0: 20 ms. DeviceLost with the last error otherwise."""
    portaudio, index, info = _initialise(found)
    side = "input" if found.kind == "microphone" else "output"
    error: Exception | None = None
    for form in _ladder(wanted, info, channels):
        try:
            stream = portaudio.open(
                format=pyaudio.paInt16,
                channels=form.channels,
                rate=form.rate,
                frames_per_buffer=frames or form.rate // 50,
                **{side: True, f"{side}_device_index": index},
            )
        except (OSError, ValueError) as refused:
            error = refused
            if "Invalid sample rate" in str(refused) or "Invalid number of channels" in str(refused):
                continue
            break  # a device that is busy or gone is not tried again: the next open may never return
        return stream, form
    raise DeviceLost(f"{found.name}: the {found.kind} does not open ({error}): {_REFUSED}")


def _hang_watch(found: Found, give_up: Callable[[str], NoReturn]) -> HangWatch:
    name = found.endpoint.name if found.endpoint else None
    return HangWatch(lambda: soundserver.why_silent(found.kind, name), give_up)


def die_hung(reason: str) -> NoReturn:
    """For a process without a better last word."""
    print(reason, file=sys.stderr, flush=True)
    os._exit(WORLD)


class Microphone:
    """An open microphone: blocks of 20 ms. One thread, from the first call to the last.

    A call that does not return ends in `give_up`, in another thread, with the reason; it must end the process.
    """

    def __init__(self, found: Found, *, rate: int = 16_000, give_up: Callable[[str], NoReturn] = die_hung) -> None:
        native = min(found.endpoint.channels if found.endpoint else 2, MAX_CHANNELS)
        # All that it has: what a server makes of two is not ours to say. PipeWire adds them up, 3 dB louder, and clips.
        channels = (native, 2, 1)
        self._hang_watch = _hang_watch(found, give_up)
        with self._hang_watch:
            self._stream, form = _open(found, (rate,), channels, 0)
        self.rate, self.channels = form.rate, form.channels
        self.frames = form.rate // 50
        self.name = found.name
        self._endpoint = found.endpoint.name if found.endpoint else None
        self.watch = MoveWatch("microphone", self._endpoint)

    def read(self) -> bytes:
        """The next block; blocks for up to 20 ms. DeviceLost if the microphone is gone."""
        try:
            with self._hang_watch:
                # A late reader is served what was kept; with the exception PyAudio would close the stream instead.
                return bytes(self._stream.read(self.frames, exception_on_overflow=False))
        except OSError as error:
            raise DeviceLost(f"{self.name}: the microphone is gone ({error}): plug it in again") from error

    def waiting(self) -> int:
        """Frames that a read would give without blocking (about 1000 at most are told). DeviceLost as from `read`.

        Polling a server that has died is a deadlock, which the watch ends: after a read there is hardly the time.
        """
        with self._hang_watch:
            frames = int(self._stream.get_read_available())
        if frames < 0:  # PyAudio returns the error instead of raising it
            raise DeviceLost(f"{self.name}: the microphone is gone (error {frames}): plug it in again")
        return frames

    def why_silent(self) -> str:
        """Why it gives no sound, with the remedy."""
        return soundserver.why_silent("microphone", self._endpoint)

    def close(self) -> None:
        """Release it. Only between two reads, never after DeviceLost."""
        self.watch.close()
        with self._hang_watch, contextlib.suppress(OSError):
            self._stream.close()
        self._hang_watch.close()


class Speaker:
    """An open speaker, for a writer that polls and never blocks. One thread, from the first call to the last.

    A call that does not return ends in `give_up`, in another thread, with the reason; it must end the process.
    """

    def __init__(self, found: Found, *, give_up: Callable[[str], NoReturn] = die_hung) -> None:
        self.name = found.name
        self._wanted = "auto" if found.name == DEFAULT_CARD else found.name
        self._endpoint = found.endpoint.name if found.endpoint else None
        self._bare = found.endpoint is None and not _served()
        self._hang_watch = _hang_watch(found, give_up)
        with self._hang_watch:
            self._stream, form = _open(found, RATES, (1, 2), PERIOD)
        self.rate, self.channels = form.rate, form.channels
        self._wire = Wire()
        self.watch = MoveWatch("speaker", self._endpoint)
        self.capacity = self._room()
        """Frames that the device's queue holds: three periods."""

    def free(self) -> int:
        """Frames that can be written without blocking, counted by the device in whole periods.

        `capacity` at most: PipeWire, run dry, has room for more than it will queue, and whoever took that as the count
        of what has sounded would be ahead of the speaker.
        """
        return min(self.capacity, self._room())

    def _room(self) -> int:
        with self._native():
            frames = int(self._stream.get_write_available())
        if frames < 0:  # PyAudio returns the error instead of raising it
            raise DeviceLost(f"{self.name}: the speaker is gone (error {frames}): plug it in again")
        return frames

    def write(self, pcm: bytes) -> None:
        """Mono s16le, no more frames than `free`."""
        if self.channels == 2:
            pcm = np.repeat(np.frombuffer(pcm, np.int16), 2).tobytes()
        with self._native():
            self._stream.write(pcm, exception_on_underflow=False)

    def flush(self) -> None:
        """Silence at once: what is queued is dropped, and the stream takes sound again (1 to 10 ms)."""
        with self._native():
            self._stream.stop_stream()
            self._stream.start_stream()

    def rest(self) -> None:
        """Nothing will be said for long: the device and its server may sleep. Only `check` and `wake` until then."""
        with self._native():
            self._stream.stop_stream()

    def wake(self) -> None:
        """Take sound again, from an empty queue."""
        with self._native():
            self._stream.start_stream()

    def check(self) -> None:
        """DeviceLost if it is gone, as far as is known without touching it: for one that rests."""
        if self.watch.moved:
            raise DeviceLost(f"{self.watch.moved}: plug it in again")
        if not self._wire.alive():
            raise DeviceLost(f"{self.name}: the sound server has gone: start it again")
        if self._bare and isinstance(gone := find("speaker", self._wanted), str):
            raise DeviceLost(gone)

    def why_stuck(self) -> str | None:
        """Why it takes no more sound, with the remedy; None if the server knows of nothing."""
        return soundserver.known_cause("speaker", self._endpoint)

    @contextlib.contextmanager
    def _native(self) -> Iterator[None]:
        """Around each call of PortAudio: DeviceLost if the server has gone or the call fails."""
        if not self._wire.alive():
            raise DeviceLost(f"{self.name}: the sound server has gone: start it again")
        try:
            with self._hang_watch:
                yield
        except OSError as error:
            raise DeviceLost(f"{self.name}: the speaker is gone ({error}): plug it in again") from error

    def close(self) -> None:
        """Release it. Never after DeviceLost."""
        self.watch.close()
        self._wire.close()
        with self._hang_watch, contextlib.suppress(OSError):
            self._stream.close()
        self._hang_watch.close()


def portaudio() -> pyaudio.PyAudio:
    """PortAudio, initialised: for a process that lists devices and opens none."""
    global _portaudio
    _silence()
    if _portaudio is None:
        if _served():
            narrow_alsa()
        _portaudio = pyaudio.PyAudio()
    return _portaudio


def index_of(found: Found) -> int:
    """PortAudio's number of a device. DeviceLost if it lists no such one."""
    return _initialise(found)[1]


def takes(index: int, kind: Kind, rate: int) -> bool:
    """Whether a device takes mono of `rate`."""
    side = "input" if kind == "microphone" else "output"
    try:
        return bool(
            portaudio().is_format_supported(
                rate, **{f"{side}_device": index, f"{side}_channels": 1, f"{side}_format": pyaudio.paInt16}
            )
        )
    except (ValueError, OSError):
        return False
