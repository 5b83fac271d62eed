"""The epoch gate: the one place that says whether speech of a generation may still be heard."""

from typing import Literal

Verdict = Literal["drop", "flush", "append"]


class EpochGate:
    """Older than what plays: drop. Newer: flush, then accept. Same: append.

    `event.flush` goes through the same gate, so a late or repeated one does nothing.
    """

    def __init__(self, epoch: int = 0) -> None:
        self.epoch = epoch
        """The newest epoch seen; 0 before any."""

    def judge(self, epoch: int) -> Verdict:
        """The verdict on a frame or flush of `epoch`, which becomes the current one if newer."""
        if epoch < self.epoch:
            return "drop"
        if epoch > self.epoch:
            self.epoch = epoch
            return "flush"
        return "append"
