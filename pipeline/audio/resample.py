"""One rate to another, block by block, with the time of every sample kept.

swresample (through PyAV) is chosen by delay and alias. soxr's stream interface holds back 20 to 120 ms; interpolation
and block-wise polyphase filters let aliases through. Measured here, 20 ms blocks:

    downwards (48 taps, cut at 0.92)  waits 1.6 ms, alias <= -86 dB from 1.03 Nyquist (16 bit's own floor), -3 dB at 0.9
    upwards (32 taps)                 waits 0.7 ms from 24 to 48 kHz, 2 ms from 8 to 16 kHz

    (PyAV's own AudioResampler cannot be told the filter: its 32 taps let -17 dB through at 1.03 and -43 dB at 1.1.)

Each block after the first gives the same number of samples, and output sample k belongs exactly to the time
k / target_rate of the input (an impulse comes out where it went in, a tone has phase error 0): what is held back is a
wait and never a shift.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import av.filter
import numpy as np

from pipeline.audio.pcm import Samples

GAP_NS = 20_000_000
"""A block whose time is farther than this from the end of the one before is no continuation of it."""

_NS = 1_000_000_000


@dataclass(frozen=True)
class Timed:
    """Mono samples and the time `t` (ns) of the first one."""

    t: int
    samples: Samples


def _graph(source_rate: int, target_rate: int) -> av.filter.Graph:
    taps = "filter_size=48:cutoff=0.92" if target_rate < source_rate else "filter_size=32"
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=source_rate, format="s16", layout="mono", time_base=Fraction(1, source_rate))
    chain = (
        graph.add("aresample", f"{target_rate}:{taps}"),
        graph.add("aformat", f"sample_fmts=s16:channel_layouts=mono:sample_rates={target_rate}"),
        graph.add("abuffersink"),
    )
    for after in chain:
        source.link_to(after)
        source = after
    graph.configure()
    return graph


def _pull(graph: av.filter.Graph) -> Iterator[Samples]:
    while True:
        try:
            yield graph.pull().to_ndarray()[0]
        except (av.error.BlockingIOError, av.error.EOFError):  # nothing more for now, nothing more at all
            return


class Resampler:
    """Mono, one stream in one direction. Not for sharing, not for one block each: the filter remembers."""

    def __init__(self, source_rate: int, target_rate: int) -> None:
        self.source_rate = source_rate
        self.target_rate = target_rate
        self._begin()

    def _begin(self) -> None:
        self._taken = 0  # samples in since the last reset
        self._given = 0  # samples out since the last reset
        self._graph = _graph(self.source_rate, self.target_rate)

    def convert(self, samples: Samples) -> Samples:
        """The next samples, shape (m,): as many as are certain by now. Any n, also 0."""
        if not samples.size:
            return np.empty(0, np.int16)  # PyAV would take an empty frame for the end of the stream
        if self.source_rate == self.target_rate:
            self._taken += samples.size
            self._given += samples.size
            return samples
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples)[None, :], format="s16", layout="mono")
        frame.sample_rate = self.source_rate
        frame.pts = self._taken
        frame.time_base = Fraction(1, self.source_rate)
        self._taken += samples.size
        self._graph.push(frame)
        return self._collect()

    def drain(self) -> Samples:
        """What the filter still held, shape (m,); afterwards the next block starts anew."""
        held = np.empty(0, np.int16)
        if self._taken and self.source_rate != self.target_rate:
            self._graph.push(None)
            held = self._collect()
            # The filter pads what it lacks after the last sample; nothing may come out that never went in.
            surplus = self._given - round(self._taken * self.target_rate / self.source_rate)
            held = held[: max(0, held.size - max(0, surplus))]
        self._begin()
        return held

    def _collect(self) -> Samples:
        blocks = list(_pull(self._graph))
        out = np.concatenate(blocks) if blocks else np.empty(0, np.int16)
        self._given += out.size
        return out

    @property
    def position(self) -> tuple[int, int]:
        """Samples in and out since the last reset."""
        return self._taken, self._given


class TimedResampler:
    """A `Resampler` whose blocks carry time, and which starts anew at a gap or a change of rate.

    `t` of the output follows the `t` of the newest input block, so a clock that is slewed upstream is slewed here by
    the same amount. At a gap the held samples of the old side come out first, with their own time.
    """

    def __init__(self, target_rate: int) -> None:
        self.target_rate = target_rate
        self.gaps = 0
        self._swr: Resampler | None = None
        self._offset = 0  # ns: time of input sample 0 of this run, by the newest block

    def push(self, samples: Samples, rate: int, t: int) -> list[Timed]:
        """Blocks that are certain by now, in order. One, none, or two around a gap."""
        out: list[Timed] = []
        if self._swr is not None and (rate != self._swr.source_rate or self._is_gap(t)):
            self.gaps += rate == self._swr.source_rate
            out += self.drain()
        if self._swr is None:
            self._swr = Resampler(rate, self.target_rate)
        taken, given = self._swr.position
        self._offset = t - taken * _NS // rate
        converted = self._swr.convert(samples)
        if converted.size:
            out.append(Timed(self._offset + given * _NS // self.target_rate, converted))
        return out

    def drain(self) -> list[Timed]:
        """What the filter still holds; the next block starts anew."""
        if self._swr is None:
            return []
        given = self._swr.position[1]
        held = self._swr.drain()
        self._swr = None
        return [Timed(self._offset + given * _NS // self.target_rate, held)] if held.size else []

    def _is_gap(self, t: int) -> bool:
        assert self._swr is not None
        expected = self._offset + self._swr.position[0] * _NS // self._swr.source_rate
        return abs(t - expected) > GAP_NS


class Framer:
    """Cuts a timed stream into blocks of one size without waiting for the samples that a filter holds back.

    A resampler gives 294 samples for the first 20 ms and 320 for each 20 ms after. Blocks of 320 from the start would
    leave 294 lying for ever: 18 ms of delay. So the first block after a gap may be short by what filters hold back;
    from then on each block is complete as soon as its input is.
    """

    SHORT_BY = 40
    """Samples by which the first block may be short: the longest filter (8 to 16 kHz) holds back 32."""
    MARGIN = 2
    """Samples kept in hand then, for rates that do not divide and give one sample less now and again."""

    def __init__(self, rate: int, size: int) -> None:
        self.rate = rate
        self.size = size
        self._held = np.empty(0, np.int16)
        self._t = 0
        self._begun = False

    def push(self, block: Timed) -> list[Timed]:
        """Blocks of `size` samples, complete with this one; after a gap the rest of the old side comes first."""
        out: list[Timed] = []
        if self._held.size and abs(block.t - self._t - self._held.size * _NS // self.rate) > GAP_NS:
            out += self.drain()
        self._t = block.t - self._held.size * _NS // self.rate
        self._held = np.concatenate((self._held, block.samples))
        if not self._begun and self._held.size >= self.size - self.SHORT_BY:
            self._begun = True
            if self._held.size < self.size:
                out.append(self._cut(self._held.size - self.MARGIN))
        while self._begun and self._held.size >= self.size:
            out.append(self._cut(self.size))
        return out

    def drain(self) -> list[Timed]:
        """The rest as a short block; the next block starts anew."""
        self._begun = False
        return [self._cut(self._held.size)] if self._held.size else []

    def _cut(self, count: int) -> Timed:
        block = Timed(self._t, self._held[:count])
        self._held = self._held[count:]
        self._t += count * _NS // self.rate
        return block
