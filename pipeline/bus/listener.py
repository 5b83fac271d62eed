"""Everything that passes on a pipeline's bus, for taps and tapes: across restarts, with every gap told.

A listener reads only. What it does not take in time its writer keeps, HIGH_WATER messages at most, and drops the newest
beyond that for this listener alone: nobody else can notice.
"""

from __future__ import annotations

import json
import math
import os
import select
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.bus import codec, curve, ends
from pipeline.bus.patterns import Patterns
from pipeline.bus.producer import HIGH_WATER
from pipeline.bus.sticky import Seen

LOOK_S = 0.5
"""How often the connection file is looked at: for a pipeline that is not up yet, and for new stages."""
AT_ONCE = 500
"""Messages of one stage read before the next stage's turn."""
ASIDE_S = 0.008
"""Who listens in steps aside when a block comes, and reads when it has passed through the stages: they are woken by the
same block, on the same few cores, and what five taps do in that moment each stage waits for."""
PROMPT_S, PROMPT_EACH_S = 0.05, 1.0
"""So much of the time it does not, so that there are latencies: of two blocks of each stream a second."""


class Heard(NamedTuple):
    """One message."""

    ns: int
    """Monotonic ns at which it was read."""
    topic: str
    fields: dict[str, Any]
    """Its map, stamp and all; version checked."""
    missed: int
    """Messages of this stage and topic that are missing just before it."""
    late_ms: float | None
    """From being sent to being here. None: it came while the listener stood aside, nobody knows when."""


class Listener:
    """Subscribes to every stage of the pipeline whose run directory `find` returns, as soon as there is one.

    By our own ends, where they are to be had: with libzmq's every block of sound wakes two threads of each tap instead
    of one, and beside five taps that made the 99th percentile of a block's way to the service half as long again.
    """

    def __init__(self, find: Callable[[], Path | None], patterns: Sequence[str] = ()) -> None:
        self._find, self._patterns = find, Patterns(patterns)
        self._lines: dict[str, ends.Reads] = {}
        self._poll = select.poll()
        self._unread: list[ends.Reads] = []
        """Whose turn was over before they were empty: their descriptors may not say so again."""
        self._batch: deque[Heard] = deque()
        self._gaps = Gaps(time.monotonic_ns())
        self._looked = -LOOK_S
        self.found: Path | None = None
        """The run directory in use; None while there is none."""
        self.malformed = 0

    def close(self) -> None:
        """Leave everybody."""
        for line in self._lines.values():
            line.close()

    @property
    def more(self) -> bool:
        """Whether another message is at hand."""
        return bool(self._batch)

    def heard(self, for_s: float = math.inf) -> Iterator[Heard]:
        """Messages as they were sent, for so long."""
        until = time.monotonic() + for_s
        while (left_s := until - time.monotonic()) > 0:
            if self._batch:
                yield self._batch.popleft()
                continue
            self._look()
            self._gather(min(left_s, LOOK_S))

    def _gather(self, wait_s: float) -> None:
        """What has come by the time that something comes, after `wait_s` at most."""
        ready, woke_ns = self._ready(wait_s), time.monotonic_ns()
        aside = (woke_ns / 1e9 + os.getpid() / 7) % PROMPT_EACH_S > PROMPT_S  # not all taps at once
        if ready and aside:
            time.sleep(ASIDE_S)
            ready = [*ready, *(line for line in self._ready(0.0) if line not in ready)]
        found = [message for line in ready for message in self._read(line, woke_ns if aside else None)]
        self._batch.extend(sorted(found, key=lambda message: int(message.fields["sent"])))

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked, self.found = now, self._find()
        if self.found is None:
            return
        try:
            told = json.loads((self.found / "bus.json").read_text())
            endpoints, guard = told["endpoints"], told.get("curve")
        except (OSError, ValueError, KeyError):  # it is just being started or is gone: the next look
            return
        if guard is not None:
            curve.be(curve.Identity.from_wiring(guard))
        for endpoint in endpoints.values():
            if endpoint not in self._lines:
                self._lines[endpoint] = line = ends.subscriber(None, endpoint, self._patterns.topics, HIGH_WATER)
                self._poll.register(line.fileno, select.POLLIN)

    def _ready(self, wait_s: float) -> list[ends.Reads]:
        """Who has something, or is to be dialled again; after `wait_s` at most."""
        now_ns = time.monotonic_ns()
        due = {line: line.due_ns for line in self._lines.values()} if self.found is not None else {}
        unread, self._unread = self._unread, []
        early = [*unread, *(line for line in self._lines.values() if line.waits)]
        wait_s = min([wait_s, *((due_ns - now_ns) / 1e9 for due_ns in due.values() if due_ns is not None)])
        announced = {fd for fd, _ in self._poll.poll(0 if early else max(0, math.ceil(wait_s * 1000)))}
        now_ns = time.monotonic_ns()
        return [
            line for line in self._lines.values()
            if line.fileno in announced or line in early or (due.get(line) or now_ns + 1) <= now_ns
        ]  # fmt: skip

    def _read(self, line: ends.Reads, woke_ns: int | None) -> Iterator[Heard]:
        """`woke_ns`: what was sent by then came then; None: it comes now."""
        for _ in range(AT_ONCE):
            if (parts := line.receive()) is None:
                return
            try:
                stamp, fields = codec.stamped(parts)
            except codec.Malformed:
                self.malformed += 1
                continue
            if not self._patterns.fit(stamp.src, stamp.topic):
                continue
            missed = self._gaps.missed(stamp, fields)
            if missed is not None:
                now_ns = time.monotonic_ns()
                came_ns = now_ns if woke_ns is None else woke_ns
                late_ms = (came_ns - stamp.sent) / 1e6 if came_ns >= stamp.sent else None
                yield Heard(now_ns, stamp.topic, fields, missed, late_ms)
        self._unread.append(line)


class Gaps:
    """What is missing, and what came before: by the numbers that every writer gives its messages."""

    def __init__(self, since_ns: int) -> None:
        """`since_ns`: when listening began. What was sent earlier is sticky and says nothing of losses."""
        self._since_ns = since_ns
        self._newest: dict[tuple[str, str], tuple[int, int]] = {}
        self._seen = Seen()

    def missed(self, stamp: codec.Stamp, fields: dict[str, Any]) -> int | None:
        """How many are missing before this one; None if it is a sticky event that came before."""
        audio = not stamp.topic.startswith("event.")
        if not audio and not self._seen.first_time(stamp.src, stamp.inst, stamp.topic, stamp.seq):
            return None
        if fields.get("replay") is not None or stamp.sent < self._since_ns:
            return 0
        inst, newest = self._newest.get((stamp.src, stamp.topic), (stamp.inst, stamp.seq - 1))
        if stamp.inst > inst:  # a new process counts from 0: what it said before it was found again is missing
            newest = -1 if audio else stamp.seq - 1
        if stamp.inst < inst or stamp.seq <= newest:
            return 0
        self._newest[stamp.src, stamp.topic] = (stamp.inst, stamp.seq)
        return stamp.seq - newest - 1
