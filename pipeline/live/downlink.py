"""The answer on its way to the speaker: its place in an epoch, what it silences, how much of it is unheard."""

from __future__ import annotations

from pipeline.live import messages as m
from pipeline.live.effects import Effect, Save, Speak, Tell, Trim
from pipeline.live.epochs import RATE, Epochs
from pipeline.live.memory import Memory

_NS = 1_000_000_000
SILENT_PLAYBACK_S = 5.0
"""Playback that reports nothing for so long after an answer must have ended is not there."""


class Downlink:
    """Sound of the service in, pieces of reply out. Every raise of the epoch goes through here."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.epochs = Epochs(memory.epoch)
        self.heard_once = False
        """Playback is there and reports."""
        self._odd = b""
        self._plays_until_ns = 0

    def accept(self, now_ns: int, speech: m.Speech) -> bytes:
        """The whole samples in a piece of sound; half a sample waits for the next piece. Empty if it is stale."""
        if not self.epochs.accepts(now_ns):
            return b""
        pcm = self._odd + speech.pcm
        whole = len(pcm) // 2 * 2
        self._odd = pcm[whole:]
        return pcm[:whole]

    def place(self, now_ns: int, pcm: bytes, rate: int) -> Speak:
        """Give the sound its place after what was said before."""
        samples = len(pcm) // 2 * RATE // rate
        at = self.epochs.place(samples)
        self._plays_until_ns = max(now_ns, self._plays_until_ns) + samples * _NS // RATE
        return Speak(pcm, rate, self.epochs.epoch, at)

    def answer_begins(self, now_ns: int, new_input: bool) -> list[Effect]:
        """The first sound of an answer follows."""
        return self._flush("new_answer", now_ns) if self.epochs.answer_begins(new_input) else []

    def interrupted(self, now_ns: int) -> list[Effect]:
        """The service dropped its answer."""
        self._odd = b""
        return self._flush("interrupted", now_ns) if self.epochs.interrupted() else []

    def barge_in(self, now_ns: int) -> list[Effect]:
        """The person was heard here to speak over the answer: what of it still comes is stale."""
        self._odd = b""
        return self._flush("barge_in", now_ns) if self.epochs.barge_in(now_ns) else []

    def silence(self, now_ns: int, cause: str) -> list[Effect]:
        """Nobody is to hear the rest: whoever it was said to has left, or it takes too long."""
        self._odd = b""
        return self._flush(cause, now_ns) if self.epochs.silence() else []

    def cut_off(self) -> None:
        """The generation is over: by the service's word, or with the line."""
        self._odd = b""
        self.epochs.turn_complete()

    def heard(self, now_ns: int, epoch: int, at: int) -> bool:
        """Playback has heard up to there. True if that is news, so somebody listens."""
        self.heard_once = True
        before = self.epochs.unheard
        if self.epochs.heard(epoch, at):
            self._memory.epoch = self.epochs.epoch
            return False
        if self.epochs.unheard == before:
            return False
        self._plays_until_ns = now_ns + self.epochs.unheard * _NS // RATE
        return True

    def playing(self, now_ns: int) -> bool:
        """Something that was said is still to be heard."""
        return self.epochs.unheard > 0 and now_ns < self._plays_until_ns + SILENT_PLAYBACK_S * _NS

    def _flush(self, cause: str, now_ns: int) -> list[Effect]:
        epoch = self._memory.epoch = self.epochs.epoch
        self._plays_until_ns = now_ns
        return [Tell("flush", {"epoch": epoch, "cause": cause}, sticky=True), Trim(epoch, 0), Save()]
