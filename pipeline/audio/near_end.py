"""A second opinion on who speaks while the machine does. Pure; times come with the frames.

A canceller that leaves nothing of the machine's voice also suppresses the beginning of a soft one over it, for 100 to
400 ms. A linear filter suppresses nothing. What it leaves of the echo is speech to a detector; but how much that may be
is known from what it took out. So what it leaves counts where it is far louder than that explains, and only together
with the canceller's own output, which `listening` asks to stand out of the room.

Of 155 words, letters and sentences in 17 languages, 98 % instead of 95 % are caught as somebody who speaks over the
machine, half of them 50 ms sooner, and 19 of 20 within 320 ms instead of 410.
"""

from __future__ import annotations

import numpy as np

from pipeline.audio.linear import BLOCK, BLOCKS, Floats, LinearCanceller
from pipeline.audio.pcm import Samples
from pipeline.audio.reference import RATE, SLIP, Line, position
from pipeline.audio.silero import HOP
from pipeline.audio.vad import SileroVad

EXCESS_DB = 14.0
"""By how much what is left is louder than the machine's voice explains. Its own reaches 13 in one hop of 100, 15 in one
of 1000; a voice 6 dB over the echo has 14 within 150 ms in three of four."""
FIRST_LEAK = 0.3
"""Of the echo's power in what is left, before it is known."""
MOST_LEAK, LEAST_LEAK = 4.0, 1e-4
RISES, FALLS = 0.05, 0.06
"""How fast it follows, with each hop: a word of somebody else does not make it much larger."""
HOLD = 0.6
"""Of an echo's power, in the next hop: the room's tail is longer than the filter."""
ROOM_RISES = 1.005
"""The room's own noise is the least that is left, which rises by 0.7 dB a second."""
ROOM = 4.0
"""How far a noise goes beyond its least."""
FIT_MEMORY = 0.8
"""What is remembered of how well the filter fits, with each hop."""
FITS = 0.4
"""A filter that fits takes as much out of the microphone as it says; somebody else's voice leaves it at 0.4 at least in
99 hops of 100. One for a room that has changed adds an echo: below 0 within 0.1 s, and its error is speech."""
DOUBT = RATE
"""Samples (1 s) after which one that did not fit is believed again."""

_EDGES = np.unique(np.round(np.geomspace(5, 220, 17)).astype(int))  # bins of 31 Hz: 160 to 6900 Hz
_WINDOW = np.hanning(HOP).astype(np.float32)
_FULL_SCALE = np.float32(1 / 32768)


class Excess:
    """How far what is left goes beyond what the echo explains; hops in order."""

    def __init__(self) -> None:
        bands = _EDGES.size - 1
        self._leak = np.full(bands, FIRST_LEAK)
        self._echo = np.zeros(bands)
        self._room = np.full(bands, 1e-2)

    def push(self, left: Floats, echo: Floats) -> float:
        """One hop of each, shape (512,), 1.0 is full scale; in dB."""
        heard = _bands(left)
        self._echo = np.maximum(HOLD * self._echo, _bands(echo))
        self._room = np.minimum(ROOM_RISES * self._room, np.maximum(heard, 1e-6))
        leaked, room = self._leak * self._echo, ROOM * self._room
        over = np.clip(heard / (leaked + room), 0.1, 3.0)
        learned = self._leak * np.where(over > 1, 1 + RISES * (over - 1), 1 - FALLS * (1 - over))
        self._leak = np.where(leaked > room, np.clip(learned, LEAST_LEAK, MOST_LEAK), self._leak)
        return 10 * float(np.log10((heard.sum() + 1e-9) / (leaked + room).sum()))


class NearEnd:
    """Told by a canceller what it works on; asked hop by hop while the machine sounds."""

    def __init__(self) -> None:
        """Reads the detector's weights. OSError if their file is missing."""
        self._vad = SileroVad()
        self._vad.load()
        self._mic, self._played = Line(), Line()
        self._since = 0  # position from which on both are known without a gap
        self._next = -1  # position after the newest hop
        self.renew()

    def renew(self) -> None:
        """The way from speaker to microphone is another."""
        self._canceller, self._excess = LinearCanceller(), Excess()
        self._taken = self._echo = 0.0  # energy out of the microphone, and of the echo that should have been in it
        self._doubted = 0  # position until which the filter is not believed

    def lay(self, t: int, mic: Samples, played: Samples) -> None:
        """A frame from `t` ns on: the microphone, and what the speaker said at the same time."""
        if abs(position(t) - self._mic.end) > SLIP:
            self._since = position(t)
        self._mic.lay(t, mic)
        self._played.lay(t, played)

    def judge(self, t: int) -> float:
        """Probability (0 to 1) that in the hop from `t` ns on somebody else speaks; 0 for one that is not known."""
        at = position(t)
        if abs(at - self._next) <= SLIP:
            at = self._next  # times are estimates; samples are not
        elif self._since <= at <= self._mic.end - HOP:
            self._canceller.resume(self._played.read(at - BLOCK * BLOCKS, BLOCK * BLOCKS) * _FULL_SCALE)
            self._vad.reset()
        if not self._since <= at <= self._mic.end - HOP:
            return 0.0
        self._next = at + HOP
        mic, played = self._mic.read(at, HOP) * _FULL_SCALE, self._played.read(at, HOP) * _FULL_SCALE
        parts = [self._canceller.cancel(mic[n : n + BLOCK], played[n : n + BLOCK]) for n in range(0, HOP, BLOCK)]
        left, echo = (np.concatenate(part) for part in zip(*parts, strict=True))
        probability = self._vad.judge(np.clip(np.rint(left * 32768), -32768, 32767).astype(np.int16))
        excess_db = self._excess.push(left, echo)
        if not self._fits(mic, left, echo):
            self._doubted = at + DOUBT
        return probability if excess_db >= EXCESS_DB and at >= self._doubted else 0.0

    def _fits(self, mic: Floats, left: Floats, echo: Floats) -> bool:
        self._taken = FIT_MEMORY * self._taken + float(mic @ mic - left @ left)
        self._echo = FIT_MEMORY * self._echo + float(echo @ echo)
        return self._taken >= FITS * self._echo - 1e-6


def _bands(sound: Floats) -> Floats:
    """Power in each band."""
    spectrum = np.fft.rfft(sound * _WINDOW)
    return np.asarray(np.add.reduceat(spectrum.real**2 + spectrum.imag**2, _EDGES)[:-1])
