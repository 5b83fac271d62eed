"""WebRTC's audio processing (AEC3, noise suppression, AGC2) out of the `livekit` package, without its SDK.

Chosen by measurement, simulated counter, 16 kHz, echo 6 dB under the voice, delays of 30, 100 and 150 ms:

                    echo left (ERLE)   50 ppm drift   speech kept in double talk   CPU        memory
    this            56 to 59 dB        55 to 59 dB    84 to 90 %                   0.7 %      8 MB (20 by its SDK)
    pywebrtc-audio  55 to 58 dB        48 to 58 dB    76 to 81 %                   1.4 %      1 MB

Its SDK brings rooms, video and protobuf: 80 ms and 12 MB more. Of all that one call is needed, with messages of five
numbers, so they are written here by hand: `livekit_ffi_request(message) -> message`, protobuf on both sides.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.audio.pcm import Samples

RATE = 16_000
FRAME = 160
"""Samples of a call: 10 ms at 16 kHz, no more and no less."""

# numbers of fields in livekit's `ffi.proto`: request, response
NEW, NEW_ANSWER = 50, 49
PROCESS, PROCESS_ANSWER = 51, 50
REVERSE, REVERSE_ANSWER = 52, 51

_Event = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t)
_ignore = _Event(lambda data, size: None)  # kept for as long as the library may call it


class NoLibrary(Exception):
    """It is not installed, or it is one that this file does not know. The text says what to do."""


def path() -> Path | None:
    """The library's file, None if the package is not installed. Imports nothing."""
    spec = importlib.util.find_spec("livekit")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    files = [Path(place, "rtc", "resources", "liblivekit_ffi.so") for place in places]
    return next((file for file in files if file.is_file()), None)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _numbers(*values: int) -> bytes:
    """A message whose fields 1, 2, 3 … are these numbers."""
    return b"".join(_varint(field << 3) + _varint(value) for field, value in enumerate(values, 1))


def _wrapped(field: int, message: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(message)) + message


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field; IndexError or ValueError for what is no such message."""
    at = 0

    def varint() -> int:
        nonlocal at
        number = shift = 0
        while True:
            byte = message[at]
            at += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    while at < len(message):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        elif tag & 7 == 2:
            size = varint()
            yield tag >> 3, message[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {tag & 7}")


class Library:
    """The library of this process. Loading starts its threads: a process that has it must not fork."""

    def __init__(self) -> None:
        found = path()
        if found is None:
            raise NoLibrary("the package `livekit` is not installed: pip install livekit")
        try:
            self._lib = ctypes.CDLL(str(found))
            begin, self._ask = self._lib.livekit_ffi_initialize, self._lib.livekit_ffi_request
            self._drop = self._lib.livekit_ffi_drop_handle
        except (OSError, AttributeError) as error:
            raise NoLibrary(f"{found}: {error}: install the `livekit` that constraints.txt names") from error
        begin.argtypes = [_Event, ctypes.c_bool, ctypes.c_char_p, ctypes.c_char_p]
        begin.restype = None
        answer, size = ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_size_t)
        self._ask.argtypes = [ctypes.c_char_p, ctypes.c_size_t, answer, size]
        self._ask.restype = ctypes.c_uint64
        self._drop.argtypes = [ctypes.c_uint64]
        self._drop.restype = ctypes.c_bool
        begin(_ignore, False, b"python", b"1")
        self._answer, self._size = ctypes.c_void_p(), ctypes.c_size_t()
        self._at = (ctypes.byref(self._answer), ctypes.byref(self._size))

    def ask(self, request: bytes) -> bytes:
        """One request, its answer."""
        handle = self._ask(request, len(request), *self._at)
        if not handle or not self._answer.value:
            raise NoLibrary("livekit did not take a request: install the `livekit` that constraints.txt names")
        answer = ctypes.string_at(self._answer.value, self._size.value)
        self._drop(handle)
        return answer


_library: Library | None = None


class Apm:
    """One stream of the microphone and the one that is played. For one thread."""

    delay = 128
    """Samples (8 ms) by which its output is late: measured."""

    def __init__(self, *, echo: bool = True, noise: bool = False, gain: bool = False) -> None:
        """Raises NoLibrary. `echo`: cancel it; `noise`: suppress steady noise; `gain`: bring speech to one level."""
        global _library
        if _library is None:
            _library = Library()
        self._library = _library
        answer = self._library.ask(_wrapped(NEW, _numbers(echo, gain, True, noise)))
        try:
            # OwnedApm {handle: {id}} inside NewApmResponse {apm} inside the answer
            message: int | bytes = answer
            for field in (NEW_ANSWER, 1, 1, 1):
                assert isinstance(message, bytes)
                message = dict(_fields(message))[field]
        except (KeyError, IndexError, ValueError, AssertionError) as error:
            raise NoLibrary("livekit answers otherwise than expected: install what constraints.txt names") from error
        assert isinstance(message, int)
        self._buffer = np.zeros(FRAME, np.int16)  # its address is in the requests: processed in place
        fields = _numbers(message, self._buffer.ctypes.data, 2 * FRAME, RATE, 1)
        self._process, self._reverse = _wrapped(PROCESS, fields), _wrapped(REVERSE, fields)
        self.cancel(np.zeros(FRAME, np.int16), np.zeros(FRAME, np.int16))

    def cancel(self, mic: Samples, played: Samples) -> Samples:
        """10 ms of the microphone without the echo of what was `played`, shape (160,) each, `delay` samples late."""
        self._do(self._reverse, REVERSE_ANSWER, played)
        return self._do(self._process, PROCESS_ANSWER, mic)

    def _do(self, request: bytes, expected: int, samples: Samples) -> Samples:
        self._buffer[:] = samples
        answer = self._library.ask(request)
        if answer != _wrapped(expected, b""):
            raise NoLibrary(f"livekit could not process 10 ms: {answer[:200]!r}")
        return self._buffer.copy()
