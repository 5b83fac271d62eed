"""Whether a process that still exists also works: start deadlines, beats, deafness. Pure; times are seconds.

A stage beats from its main loop, never from a thread of its own, so a beat says that the loop turns. A stage that
turns and yet takes in nothing of what its producer sends is deaf, which for the person is the same as dead.

Who was ready to run and got no processor is not hung but starved: the time that the kernel had it wait for one is
not counted as silence, up to STARVED_S. On a machine that is not overloaded that is nothing, whatever a hung one does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

START_S = 20.0
"""To be primed, and again to go live once told to: imports and models on a loaded small board. Its own clock, because
a stage that imports cannot beat and one that never comes so far would never be judged by its beats."""
BEAT_S = 2.0
"""Without a beat for this long it hangs: four missed in a row."""
DOUBT_S = 1.0
"""Silent for so long, it is looked at what the kernel did with a process; before, nobody pays for that."""
STARVED_S = 6.0
"""Most that is put down to others: a loading model that takes 0.4 s takes 6 s on a machine with fifteen others at work,
and who is silent for longer is of no use to the person either."""
DEAF_S = 2.0
DEAF_FRAMES = 25
"""A producer that sent so many blocks in DEAF_S (half of the usual cadence of 20 ms) was certainly speaking."""
STEADY = ("mic", "voice")
"""Streams that never pause while their writer is live: zeros are sent where there is nothing to hear."""
DUMB, DUMB_S = "gives nothing", 5.0
"""How it is said of one that does."""
APART_S = 0.25
KEPT = 32
"""Beats remembered of a process, at least APART_S apart however often it beats: four windows and more."""


@dataclass(frozen=True)
class Counts:
    """Blocks since the start of a process, as one beat told them."""

    at: float
    taken: Mapping[str, int]
    """In, by stream."""
    sent: Mapping[str, int]
    """Out, by stream."""


@dataclass
class Pulse:
    """What one process has shown of itself."""

    deadline: float | None
    """By when the start, or its second half after `go`, must be done; None when nothing is owed."""
    live_since: float | None = None
    last_beat: float | None = None
    counts: deque[Counts] = field(default_factory=lambda: deque(maxlen=KEPT))
    """Of beats in state `live` or `degraded`, without a break."""
    starved_s: float = 0.0
    """How much of the present silence the process was kept waiting for a processor."""
    _waited_s: float | None = None
    """As `kept_waiting` was told first in the present silence."""

    @classmethod
    def begun(cls, now: float) -> Pulse:
        """Of a process started just now."""
        return cls(deadline=now + START_S)

    def primed(self) -> None:
        """It waits for `go`, for as long as we like."""
        self.deadline = None

    def told_to_go(self, now: float) -> None:
        """`go` was sent."""
        self.deadline = now + START_S

    def live(self, now: float) -> None:
        """Its start is complete: from now on it owes beats."""
        self.deadline = None
        if self.live_since is None:
            self.live_since = self.last_beat = now

    def beat(self, now: float, state: str, taken: Mapping[str, int], sent: Mapping[str, int]) -> None:
        """A beat came. Only what is counted at work says anything about deafness; a degraded stage reads on, too."""
        if self.live_since is not None:
            self.last_beat = now
        self.starved_s, self._waited_s = 0.0, None
        if state not in ("live", "degraded"):
            self.counts.clear()
            return
        if len(self.counts) > 1 and now - self.counts[-2].at < APART_S:
            self.counts.pop()
        self.counts.append(Counts(now, taken, sent))

    def newest(self, span_s: float) -> tuple[Counts, Counts] | None:
        """A beat that is at least `span_s` old, and the newest one; None if it has not been at work for so long."""
        older = (counts for counts in reversed(self.counts) if self.counts[-1].at - counts.at >= span_s)
        first = next(older, None)
        return None if first is None else (first, self.counts[-1])

    def doubtful(self, now: float) -> bool:
        """Whether it has been silent for so long that it matters why."""
        return self.last_beat is not None and now - self.last_beat > DOUBT_S

    def kept_waiting(self, total_s: float) -> None:
        """For so long, since it began, it has been ready to run and was not run."""
        if self._waited_s is None:
            self._waited_s = total_s
        self.starved_s = min(STARVED_S, total_s - self._waited_s)

    def forgive(self, late_s: float) -> None:
        """The supervisor itself did not look for `late_s`: nobody else is to blame for that time."""
        if self.deadline is not None:
            self.deadline += late_s
        if self.last_beat is not None:
            self.last_beat += late_s
        self.counts.clear()  # beats of several moments read at one moment cannot be compared with anybody's


def hang(pulse: Pulse, now: float) -> str:
    """Why this process must be ended, or ""."""
    if pulse.deadline is not None and now > pulse.deadline:
        return f"not started within {START_S:g} s"
    if pulse.last_beat is None or pulse.live_since is None:
        return ""
    silent_s, starved_s = now - pulse.last_beat, pulse.starved_s
    if silent_s - starved_s <= BEAT_S:
        return ""
    return f"no beat for {silent_s:.1f} s" + (f", {starved_s:.1f} of it without a processor" if starved_s > 0.1 else "")


def deafness(reader: Pulse, producers: Mapping[str, Pulse]) -> str:
    """Why this process counts as deaf, or "". `producers` are the processes it reads, by stream.

    Over the reader's newest beats that span DEAF_S it took in nothing of a stream, while in its producer's beats of
    that same time DEAF_FRAMES were sent. Both were live throughout, else their beats are not kept: a producer that
    has just returned is still being asked for its replay.
    """
    if (span_of := reader.newest(DEAF_S)) is None:
        return ""
    first, last = span_of
    for stream, producer in producers.items():
        if last.taken.get(stream, 0) != first.taken.get(stream, 0):
            continue
        if not producer.counts or producer.counts[0].at > first.at:
            continue
        span = [counts.sent.get(stream, 0) for counts in producer.counts if first.at <= counts.at <= last.at]
        if span and span[-1] - span[0] >= DEAF_FRAMES:
            return f"deaf: took in nothing of {stream} while {span[-1] - span[0]} blocks were sent"
    return ""


def dumbness(pulse: Pulse, inputs: Iterable[str], emits: Iterable[str]) -> str:
    """Which steady stream this process, live and well, has sent nothing of for DUMB_S, or "". Who is given nothing of
    the steady streams that it reads is not to blame."""
    if (span_of := pulse.newest(DUMB_S)) is None:
        return ""
    first, last = span_of
    reads = [stream for stream in inputs if stream in STEADY]
    if reads and all(last.taken.get(stream, 0) == first.taken.get(stream, 0) for stream in reads):
        return ""
    silent = [s for s in emits if s in STEADY and last.sent.get(s, 0) == first.sent.get(s, 0)]
    return f"{DUMB}: no block of {silent[0]} for more than {DUMB_S:g} s" if silent else ""
