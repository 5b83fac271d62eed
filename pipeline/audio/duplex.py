"""Full duplex: the microphone without what the speaker says. Pure; times come with the blocks.

While the machine is silent the microphone passes untouched. From the machine's first sound until the room is quiet
again it goes through a canceller, 10 ms at a time, each beside what the speaker said at the same time. The seams are
faded, and a sample keeps its time through all of it.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from pipeline.audio.near_end import NearEnd
from pipeline.audio.pcm import Samples
from pipeline.audio.reference import Reference, position
from pipeline.audio.resample import GAP_NS, Timed
from pipeline.audio.talk import Talk

RATE = 16_000
FRAME = 160
"""Samples of 10 ms."""
AFTER_NS = 1_000_000_000
"""How long the canceller works on after the last sound: the room's echo, and the loudspeaker's own delay."""
LEAD = 120
"""The reference runs ahead of the microphone by 7.5 ms. Both times are estimates, and an echo that comes before its
cause cannot be cancelled: at a delay of 0 ms 25 to 45 dB are lost, from 5 ms on nothing. Each ms delays the voice."""
PRIME = 10 * FRAME
"""Samples of the past that a canceller hears before its first work: its filters have to swing in."""
FADE = 80
"""Samples (5 ms) over which untouched and cancelled sound change places."""
MOVED = RATE * 8 // 1000
"""Samples of the microphone whose time is farther from where they were counted to are laid anew beside the speaker."""
SETTLED = 200
"""Frames (2 s) of the machine's talk in which a canceller learns the room; until then some of it comes through."""
AUDIBLE = 100
"""From which a sample of the speaker teaches it something."""

_NS = 1_000_000_000
_FADE_IN = (np.arange(FADE, dtype=np.float32) + 0.5) / FADE


class Canceller(Protocol):
    """What can stand behind `aec: {use: module:Class}`. Constructed without arguments; one thread."""

    delay: int
    """Samples by which its output is late."""

    def cancel(self, mic: Samples, played: Samples) -> Samples:
        """10 ms at 16 kHz: microphone and speaker at the same time, shape (160,) int16 each; the microphone without
        the speaker, shape (160,)."""


def _as_samples(out: Any) -> Samples:
    """What a canceller gave, as 160 samples: floats are rounded, NaN is silence. ValueError for another shape."""
    found = np.asarray(out)
    if found.shape != (FRAME,):
        raise ValueError(f"aec: expected {FRAME} samples from `cancel`, got the shape {found.shape}")
    if found.dtype == np.int16:
        return found
    finite = np.nan_to_num(found.astype(np.float64), nan=0.0, posinf=32767, neginf=-32768)
    return np.clip(np.rint(finite), -32768, 32767).astype(np.int16)


def _mixed(before: Samples, after: Samples) -> Samples:
    """From one to the other over their first `FADE` samples; `after` from there on."""
    out = after.copy()
    count = min(FADE, before.size, after.size)
    ramp = _FADE_IN[:count]
    out[:count] = np.rint(before[:count] * (1 - ramp) + after[:count] * ramp).astype(np.int16)
    return out


class Duplex:
    """Blocks of the microphone in, one stream out; `talk` and `reference` are told what the speaker says by others."""

    def __init__(
        self,
        canceller: Canceller,
        talk: Talk,
        reference: Reference,
        near: NearEnd | None = None,
        *,
        wait_ms: int = 50,
        always: bool = False,
    ) -> None:
        """`near` is told what the canceller works on. `wait_ms`: how long a block waits for what the speaker said
        meanwhile, which is told 5 to 25 ms late, and `LEAD`. `always`: the canceller also suppresses noise or levels
        speech, and never rests."""
        self._near = near
        self._canceller, self._talk, self._reference = canceller, talk, reference
        self._wait_ns, self._always = wait_ms * 1_000_000, always
        self.cancelling = False
        """The canceller is at work."""
        self._learned = 0  # frames from which it has learned the room
        self._jumps = 0  # of the reference, seen
        self._held = np.empty(0, np.int16)  # microphone, not gone on yet
        self._t = 0  # of the first held sample
        self._at = 0  # and its place beside the speaker
        self._past = np.empty(0, np.int16)  # microphone, untouched, up to the first held sample
        self._skip = 0  # samples of output that lie before what has gone out already
        self._owed = 0  # samples before the first held one that have not gone out yet
        self._fresh = self._begun = False

    def renew(self, canceller: Canceller) -> None:
        """The way from speaker to microphone is another: begin anew. Measured with a delay that changes by 30 ms or
        more: what was learned lets the machine's talk through for 3 s, a new canceller for less than 1, and softer."""
        self._canceller, self._learned = canceller, 0
        if self._near is not None:
            self._near.renew()
        self._prime()

    @property
    def settled(self) -> bool:
        """The canceller knows the room."""
        return self._learned >= SETTLED

    def push(self, block: Timed, now_ns: int) -> list[Timed]:
        """A block of the microphone; those that are ready, in order."""
        out: list[Timed] = []
        if self._begun and abs(block.t - self._t - self._held.size * _NS // RATE) > GAP_NS:
            out += self._break()
        self._begun = True
        self._t = block.t - self._held.size * _NS // RATE
        self._held = np.concatenate((self._held, block.samples))
        return out + self.release(now_ns)

    def release(self, now_ns: int) -> list[Timed]:
        """What need not wait any more."""
        out: list[Timed] = []
        if not self.cancelling and self._held.size and self._wanted():
            self._begin()
        while self.cancelling and self._held.size >= FRAME and self._ready(now_ns):
            moved = abs(position(self._t) - self._at) > MOVED
            if moved:
                self._at = position(self._t)
            if moved or self._jumps != self._reference.jumps:  # the delay may have changed with it
                self._jumps = self._reference.jumps
                self._learned = min(self._learned, SETTLED // 2)
            self.cancelling = self._wanted()
            out.append(self._work(last=not self.cancelling))
        if not self.cancelling and self._held.size:
            out.append(Timed(self._t, self._held))
            self._advance(self._held.size)
        return [block for block in out if block.samples.size]

    def wait_s(self, now_ns: int) -> float | None:
        """When `release` has something to give at the latest; None: nothing waits."""
        if not self.cancelling or self._held.size < FRAME:
            return None
        return max(0.0, (self._t + FRAME * _NS // RATE + self._wait_ns - now_ns) / 1e9)

    def _wanted(self) -> bool:
        return self._always or self._t < self._talk.end_ns + AFTER_NS

    def _ready(self, now_ns: int) -> bool:
        """What the speaker said with this frame is known, or will not come."""
        if self._reference.end >= self._at + LEAD + FRAME or not self._talk.coming(self._t):
            return True
        return now_ns - self._t - FRAME * _NS // RATE >= self._wait_ns

    def _begin(self) -> None:
        self.cancelling, self._fresh = True, True
        self._at, self._skip, self._owed = position(self._t), self._canceller.delay, 0
        self._prime()

    def _prime(self) -> None:
        past, silence = self._past[self._past.size % FRAME :], np.zeros(FRAME, np.int16)
        for begin in range(0, past.size, FRAME):
            self._canceller.cancel(past[begin : begin + FRAME], silence)

    def _work(self, *, last: bool) -> Timed:
        """One frame through the canceller; the `last` one fades into untouched sound, with all that is owed."""
        raw = np.concatenate((self._past, self._held[:FRAME]))
        played = self._reference.read(self._at + LEAD, FRAME)
        out = _as_samples(self._canceller.cancel(self._held[:FRAME], played))
        if self._near is not None:
            self._near.lay(self._t, self._held[:FRAME], played)
        self._learned += bool(np.abs(played).max() > AUDIBLE)
        skipped = min(self._skip, FRAME)
        self._skip -= skipped
        t = self._t - self._owed * _NS // RATE
        same = raw[raw.size - self._owed - FRAME :]  # untouched, from the first sample that goes out now
        out = out[skipped:]
        if self._fresh and out.size:
            self._fresh = False
            out = _mixed(same, out)
        if last:
            out = _mixed(out, same)
        self._owed += FRAME - out.size
        self._advance(FRAME)
        self._at += FRAME
        return Timed(t, out)

    def _advance(self, count: int) -> None:
        self._past = np.concatenate((self._past, self._held[:count]))[-PRIME:]
        self._held = self._held[count:]
        self._t += count * _NS // RATE

    def _break(self) -> list[Timed]:
        """The microphone's time jumps: what is owed goes out untouched, and nothing before is remembered."""
        owed = self._owed if self.cancelling else 0
        raw = np.concatenate((self._past, self._held))
        rest = Timed(self._t - owed * _NS // RATE, raw[raw.size - owed - self._held.size :])
        self._held, self._past = np.empty(0, np.int16), np.empty(0, np.int16)
        self.cancelling = False
        return [rest] if rest.samples.size else []
