"""Server-side voice activity detection: where in the incoming audio a person speaks.

By energy over a noise floor. The floor is the lowest 50 ms of the last two seconds, so a fan that is switched on
counts as speech for two seconds and then no more, and the gaps between words keep it down while someone talks. Time
here is the audio's own (samples), never a clock: a burst of late audio is heard exactly as it would have been in time.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RATE = 16_000
FRAME = 160
FRAME_MS = 10
SILENCE_DBFS = -96.0

_SMOOTHED_FRAMES = 5
_BLOCK_FRAMES = 20
_BLOCKS = 10
_FIRST_FLOOR_DBFS = -58.0
_LOWEST_FLOOR_DBFS = -70.0


@dataclass(frozen=True)
class Detection:
    """Settings of one session, all in milliseconds and decibels.

    `prefix_ms` of speech commit a start; `silence_ms` of silence commit an end. Speech is louder than `floor +
    margin_db` and than `quietest_dbfs`; once begun it may be `slack_db` quieter.
    """

    prefix_ms: int = 60
    silence_ms: int = 500
    margin_db: float = 10.0
    quietest_dbfs: float = -48.0
    slack_db: float = 3.0


@dataclass(frozen=True)
class Edge:
    """Speech began (`started`) or ended at `sample`, counted at 16 kHz from the first sample of the stream."""

    started: bool
    sample: int


class VoiceActivity:
    """Feed it 16 kHz mono audio in any pieces; it answers with the edges of speech in order."""

    def __init__(self, detection: Detection) -> None:
        self.detection = detection
        self.speaking = False
        self._seen = 0
        self._rest = np.empty(0, np.int16)
        self._recent: deque[float] = deque(maxlen=_SMOOTHED_FRAMES)
        self._lows: deque[float] = deque([_FIRST_FLOOR_DBFS], maxlen=_BLOCKS)
        self._low = 0.0
        self._in_block = 0
        self._loud_ms = 0
        self._first_loud = 0
        self._loud_until = 0

    @property
    def floor_dbfs(self) -> float:
        """The noise floor as it is taken to be now."""
        return max(min(self._lows), _LOWEST_FLOOR_DBFS)

    def hear(self, samples: npt.NDArray[np.int16]) -> list[Edge]:
        """The edges found in these samples, shape (n,)."""
        joined = np.concatenate([self._rest, samples]) if self._rest.size else samples
        whole = joined.size // FRAME
        self._rest = joined[whole * FRAME :].copy()
        if not whole:
            return []
        frames = joined[: whole * FRAME].reshape(whole, FRAME).astype(np.float32) / 32768.0
        power = np.mean(frames * frames, axis=1)
        levels = np.maximum(10.0 * np.log10(power + 1e-12), SILENCE_DBFS)
        edges = []
        for level in levels.tolist():
            edge = self._judge(level)
            if edge is not None:
                edges.append(edge)
        return edges

    def end(self) -> Edge | None:
        """The stream pauses here: speech under way ends now."""
        self._rest = np.empty(0, np.int16)
        self._loud_ms = 0
        if not self.speaking:
            return None
        self.speaking = False
        return Edge(False, self._loud_until)

    def _judge(self, level: float) -> Edge | None:
        start = self._seen
        self._seen += FRAME
        self._learn_floor(level)
        wanted = max(self.floor_dbfs + self.detection.margin_db, self.detection.quietest_dbfs)
        loud = level > (wanted - self.detection.slack_db if self.speaking else wanted)
        if loud:
            self._loud_until = self._seen
        if self.speaking:
            if (self._seen - self._loud_until) * 1000 < self.detection.silence_ms * RATE:
                return None
            self.speaking = False
            self._loud_ms = 0
            return Edge(False, self._loud_until)
        if loud and not self._loud_ms:
            self._first_loud = start
        # A click decays twice as fast as speech gathers, so clicks in a row are no word.
        self._loud_ms = self._loud_ms + FRAME_MS if loud else max(0, self._loud_ms - 2 * FRAME_MS)
        if not loud or self._loud_ms < self.detection.prefix_ms:
            return None
        self.speaking = True
        return Edge(True, self._first_loud)

    def _learn_floor(self, level: float) -> None:
        self._recent.append(level)
        smooth = sum(self._recent) / len(self._recent)
        self._low = smooth if self._in_block == 0 else min(self._low, smooth)
        self._in_block += 1
        if self._in_block == _BLOCK_FRAMES:
            self._lows.append(self._low)
            self._in_block = 0
