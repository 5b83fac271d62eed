"""The one writer of the epoch: which generation of speech may still be heard.

It is raised whenever what was said before must no longer be heard, and never otherwise: a raise with nothing to
silence would be harmless, a missing one lets two answers be heard one after the other. Strictly increasing, also across
restarts: a new session goes on above what playback says it heard, and above the store.
"""

from __future__ import annotations

RATE = 24_000
"""Hertz in which places in an epoch are counted."""
STALE_S = 3.0
"""After a local flush, audio of the old generation is dropped until the service has noticed, but no longer than so."""
ROUNDING = 240
"""10 ms: resampling at the speaker may count a little more than was sent; another life's epoch differs by more."""
_NS = 1_000_000_000


class Epochs:
    """Where in which epoch the next sample goes, and what of it was heard."""

    def __init__(self, above: int = 0) -> None:
        self.epoch = above + 1
        self.at = 0
        """Place of the next sample, in samples of 24 kHz since the epoch began."""
        self.heard_at = 0
        """Place in this epoch up to which playback says it was heard."""
        self._stale_until_ns: int | None = None

    @property
    def unheard(self) -> int:
        """Samples of 24 kHz that were sent and, as far as is known, not yet heard."""
        return max(0, self.at - self.heard_at)

    def heard(self, epoch: int, at: int) -> bool:
        """Playback heard up to `at` of `epoch`. True if that made this session move above an epoch of another life."""
        if epoch > self.epoch or (epoch == self.epoch and at > self.at + ROUNDING):
            # Something that this life never sent: the store was lost, and playback knows better.
            self._start(epoch + 1)
            return True
        if epoch == self.epoch:
            self.heard_at = max(self.heard_at, min(at, self.at))
        return False

    def interrupted(self) -> bool:
        """The service dropped the answer. True if the epoch was raised: something unheard had to be silenced."""
        if self._stale_until_ns is not None:  # the late echo of a local flush, which has raised already
            self._stale_until_ns = None
            return False
        return self._raise_if_unheard()

    def barge_in(self, now_ns: int) -> bool:
        """The person was heard here to speak over the answer. True if raised."""
        if not self._raise_if_unheard():
            return False
        self._stale_until_ns = now_ns + int(STALE_S * _NS)
        return True

    def silence(self) -> bool:
        """Nobody may hear the rest of what was said. True if raised."""
        return self._raise_if_unheard()

    def answer_begins(self, new_input: bool) -> bool:
        """The first sample of an answer follows. True if raised: it answers new input while the old still plays.

        Speech that goes on after a tool answers no new input: it is appended.
        """
        return new_input and self._raise_if_unheard()

    def turn_complete(self) -> None:
        """The service has ended the generation that a local flush made stale."""
        self._stale_until_ns = None

    def accepts(self, now_ns: int) -> bool:
        """False while audio belongs to the generation that a local flush has silenced."""
        if self._stale_until_ns is not None and now_ns >= self._stale_until_ns:
            self._stale_until_ns = None
        return self._stale_until_ns is None

    def place(self, samples: int) -> int:
        """Take room for `samples` (of 24 kHz); where they begin."""
        at = self.at
        self.at += samples
        return at

    def _raise_if_unheard(self) -> bool:
        if self.unheard == 0:
            return False
        self._start(self.epoch + 1)
        return True

    def _start(self, epoch: int) -> None:
        self.epoch, self.at, self.heard_at = epoch, 0, 0
