"""Sticky events: what holds until changed is sent again to each new subscriber, with its old `seq`. No I/O."""

from __future__ import annotations

AGAIN_NS = 20_000_000
"""The same events go out again at most this often, however many subscribers join."""


class Sticky:
    """The messages that hold now, and which of them are owed to new subscribers."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str | None], list[bytes]] = {}
        self._owed: set[tuple[str, str | None]] = set()
        self._last_sent_ns = -AGAIN_NS

    def hold(self, topic: str, key: str | None, parts: list[bytes]) -> None:
        """Keep a message, in place of the one held under the same topic and key."""
        self._held.pop((topic, key), None)  # so that the order of sending is the order of the latest words
        self._held[topic, key] = parts

    def release(self, topic: str, key: str | None) -> None:
        """Hold it no more. Nothing happens if it was not held."""
        self._held.pop((topic, key), None)

    def joined(self, prefix: bytes) -> None:
        """Somebody subscribed to `prefix`."""
        wanted = prefix.decode(errors="replace")
        self._owed.update(name for name in self._held if name[0].startswith(wanted))

    def due_ns(self) -> int | None:
        """When `take` has something to send; None while nothing is owed."""
        return self._last_sent_ns + AGAIN_NS if self._owed else None

    def take(self, now_ns: int) -> list[list[bytes]]:
        """The messages to send now, oldest first."""
        if not self._owed or now_ns < self._last_sent_ns + AGAIN_NS:
            return []
        messages = [parts for name, parts in self._held.items() if name in self._owed]
        self._owed.clear()
        if messages:
            self._last_sent_ns = now_ns
        return messages


class Seen:
    """Which messages of a writer were already read: `(src, inst, topic, seq)`, seen and not merely lower.

    An old sticky event may come after a newer one of another key, so the highest number says nothing.
    """

    def __init__(self, keep: int = 256) -> None:
        self._keep = keep
        self._seqs: dict[tuple[str, str], tuple[int, dict[int, None]]] = {}

    def first_time(self, src: str, inst: int, topic: str, seq: int) -> bool:
        """True once for each message; False for an older `inst`, whose words no longer hold."""
        known_inst, seqs = self._seqs.get((src, topic), (inst, {}))
        if inst < known_inst:
            return False
        if inst > known_inst:
            seqs = {}
        if seq in seqs:
            return False
        seqs[seq] = None
        if len(seqs) > self._keep:
            del seqs[next(iter(seqs))]
        self._seqs[src, topic] = (inst, seqs)
        return True
